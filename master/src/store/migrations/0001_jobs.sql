-- Jobs, what they are counted from, and what came out. Times are milliseconds since 1970, UTC;
-- checksums are CRC-32C.

create table jobs (
    id              text    not null primary key,  -- UUID v7: sorts by when the job was opened
    name            text    not null,
    state           text    not null,              -- receiving, running, succeeded, failed, cancelled
    priority        text    not null,              -- high, default, low
    spec            text    not null,              -- JSON
    opened_ms       integer not null,
    expected        integer,                       -- bytes of input, where they were announced
    keep_input      integer not null,              -- 1: the spool stays as long as the result
    resumable       integer not null,              -- 1: a broken upload may be taken up again
    repairs         text,                          -- the job whose rejects this one corrects
    first_task      integer not null,              -- number of its first task among those of that job
    received_bytes  integer not null default 0,    -- of the upload, as sent; durable
    received_crc32c integer not null default 0,
    bytes           integer,                       -- of (decompressed) input, once all of it is there
    crc32c          integer,
    ended_ms        integer,
    error           text,                          -- why it failed
    records         integer,
    rejected        integer,
    rows            integer,                       -- of the result
    result_sha256   text,
    view            text                           -- the ended job as it is shown: JSON
);

create index jobs_by_end on jobs (ended_ms) where ended_ms is not null;

create index jobs_by_repaired on jobs (repairs) where repairs is not null;

create table inputs (
    job          text    not null references jobs (id) on delete cascade,
    number       integer not null,
    name         text    not null,
    path         text    not null,
    layout       text    not null,                 -- JSON
    columns      text    not null,                 -- JSON
    header_lines integer not null,
    header_bytes integer not null,
    header_crc32c integer not null,
    primary key (job, number)
) without rowid;

create table tasks (
    job         text    not null references jobs (id) on delete cascade,
    number      integer not null,
    input       integer not null,
    byte_offset integer not null,                  -- in the (decompressed) input
    bytes       integer not null,
    crc32c      integer not null,
    -- Its answer, once there is one:
    records     integer,
    rejects     integer,
    blank_lines integer,
    lines       integer,
    groups      integer,
    run_bytes   integer,
    run_crc32c  integer,
    slave       text,
    attempt     integer,
    primary key (job, number)
) without rowid;

-- Keys under which jobs were submitted. They outlive their jobs, so that a late repeat is never
-- taken for a new request.
create table keys (
    key         text    not null primary key,
    job         text    not null,
    fingerprint text    not null,                  -- of what the request asked for, without its input
    created_ms  integer not null
) without rowid;

create index keys_by_age on keys (created_ms);
create index keys_by_job on keys (job);
