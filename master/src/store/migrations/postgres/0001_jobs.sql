-- Jobs, what they are counted from, and what came out: the same tables and columns as in SQLite, whose
-- migrations 1 to 3 say what each of them holds. Texts that are ids, names or keys are compared by their
-- bytes, as they are there, whatever language the database is set to.

create table jobs (
    id              text collate "C" not null primary key,
    name            text collate "C" not null,
    state           text   not null,
    priority        text   not null,
    spec            text   not null,
    opened_ms       bigint not null,
    expected        bigint,
    keep_input      bigint not null,
    resumable       bigint not null,
    repairs         text collate "C",
    first_task      bigint not null,
    received_bytes  bigint not null default 0,
    received_crc32c bigint not null default 0,
    bytes           bigint,
    crc32c          bigint,
    ended_ms        bigint,
    error           text,
    records         bigint,
    rejected        bigint,
    rows            bigint,
    result_sha256   text,
    view            text
);

create index jobs_by_end on jobs (ended_ms) where ended_ms is not null;

create index jobs_by_repaired on jobs (repairs) where repairs is not null;

create table inputs (
    job           text collate "C" not null references jobs (id) on delete cascade,
    number        bigint not null,
    name          text   not null,
    path          text   not null,
    layout        text   not null,
    columns       text   not null,
    header_lines  bigint not null,
    header_bytes  bigint not null,
    header_crc32c bigint not null,
    primary key (job, number)
);

create table tasks (
    job         text collate "C" not null references jobs (id) on delete cascade,
    number      bigint not null,
    input       bigint not null,
    byte_offset bigint not null,
    bytes       bigint not null,
    crc32c      bigint not null,
    records     bigint,
    rejects     bigint,
    blank_lines bigint,
    lines       bigint,
    groups      bigint,
    run_bytes   bigint,
    run_crc32c  bigint,
    slave       text,
    attempt     bigint,
    primary key (job, number)
);

create table keys (
    key         text collate "C" not null primary key,
    job         text collate "C" not null,
    fingerprint text   not null,
    created_ms  bigint not null
);

create index keys_by_age on keys (created_ms);
create index keys_by_job on keys (job);

-- Whose turn it is: each master that starts counts the epoch up, and each transaction sees to it that the
-- epoch is still its master's own. One that was taken for dead, and was not, so writes nothing more.
create table tally_lock (
    one    bigint not null primary key check (one = 1),
    epoch  bigint not null,
    -- The data folder that has the files of these jobs; the same stands in its file `store-id`.
    folder text   not null
);
