-- The table that a job's records go into, and how rows are treated that are not in its file: merge or
-- replace.
alter table jobs add column ingest_table text;
alter table jobs add column ingest_mode text;
