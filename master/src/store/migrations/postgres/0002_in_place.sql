alter table jobs add column in_place text;
alter table jobs add column result_path text;
