-- As in SQLite; here a table is replaced in one transaction, and nothing is written ahead.
alter table row_history add column ahead bigint;
