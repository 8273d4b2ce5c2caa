-- Tables: what is declared, what changed, and what was applied. The rows of a table, and each of its
-- aggregates, are SQL tables of their own.

create table tables (
    id integer primary key,
    name text not null unique,
    -- The definition, as JSON.
    definition text not null,
    created_ms integer not null,
    -- Number of the last change.
    version integer not null default 0,
    -- Rows that there are.
    row_count integer not null default 0,
    -- The changes after this one are all kept.
    kept_from integer not null default 0
);

-- Message ids that were applied, and what came of them. Their order is that of time.
create table operations (
    id integer primary key,
    table_id integer not null references tables (id) on delete cascade,
    message_id text not null,
    -- Of the operation's content: the same id with other content is refused.
    fingerprint integer not null,
    outcome text not null,
    version integer,
    applied_ms integer not null,
    unique (table_id, message_id)
);

-- What rows were before they were changed, and that they were deleted.
create table row_history (
    table_id integer not null references tables (id) on delete cascade,
    -- The change that made the row what is kept here.
    version integer not null,
    -- JSON: the value, or an array where the key has several columns.
    row_key text not null,
    change text not null,
    -- JSON: the values of the columns, in order; null where the change was a deletion.
    row_values text,
    changed_ms integer not null,
    -- When it was changed again; for a deletion, when it was deleted.
    until_ms integer not null,
    primary key (table_id, version)
) without rowid;
create index row_history_by_key on row_history (table_id, row_key, version);
create index row_history_by_until on row_history (until_ms);

-- What each ingest has applied: with the rows themselves, so that nothing is applied twice.
create table ingests (
    job text primary key,
    table_id integer not null references tables (id) on delete cascade,
    -- JSON: the last key that has been applied; null before the first.
    through text,
    -- JSON: what it has come to so far.
    counts text not null,
    done integer not null,
    changed_ms integer not null
);
