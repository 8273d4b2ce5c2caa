-- Where the input of a job lies that is counted without an upload: a path of the master's machine.
alter table jobs add column in_place text;
