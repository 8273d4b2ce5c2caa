-- Where the input of a job lies that is counted without an upload, and where a result is written that the
-- master does not keep: paths of the master's machine.
alter table jobs add column in_place text;
alter table jobs add column result_path text;
