-- What a replacement of a whole table writes into the history before it happens: nothing of it has happened
-- until the table has come to this change. Null where it was written with the change itself.
alter table row_history add column ahead integer;
create index row_history_ahead on row_history (table_id, ahead) where ahead is not null;
