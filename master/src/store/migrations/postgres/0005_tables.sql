-- Tables: what is declared, what changed, and what was applied. The rows of a table, and each of its
-- aggregates, are SQL tables of their own. The same as for SQLite.

create table tables (
    id bigint generated always as identity primary key,
    name text collate "C" not null unique,
    definition text not null,
    created_ms bigint not null,
    version bigint not null default 0,
    row_count bigint not null default 0,
    kept_from bigint not null default 0
);

create table operations (
    table_id bigint not null references tables (id) on delete cascade,
    message_id text collate "C" not null,
    fingerprint bigint not null,
    outcome text not null,
    version bigint,
    applied_ms bigint not null,
    primary key (table_id, message_id)
);
create index operations_by_time on operations using brin (applied_ms);

create table row_history (
    table_id bigint not null references tables (id) on delete cascade,
    version bigint not null,
    row_key text collate "C" not null,
    change text not null,
    row_values text,
    changed_ms bigint not null,
    until_ms bigint not null,
    primary key (table_id, version)
);
-- Keys may be longer than a B-tree takes.
create index row_history_by_key on row_history using hash (row_key);
create index row_history_by_until on row_history using brin (until_ms);

create table ingests (
    job text primary key,
    table_id bigint not null references tables (id) on delete cascade,
    through text,
    counts text not null,
    done bigint not null,
    changed_ms bigint not null
);
