-- Sources that are watched for new data, and what is known of their items: of the files of a folder, or of
-- the one thing behind a URL (whose name is empty). Times are milliseconds since 1970, UTC.

create table sources (
    name            text    not null primary key,
    fingerprint     text    not null,              -- of where it is and what becomes of it
    polls           integer not null,
    changes         integer not null,
    errors          integer not null,
    submissions     integer not null,              -- part of the key of the next one
    failures        integer not null,              -- in a row
    last_polled_ms  integer,
    last_changed_ms integer,
    last_job        text,
    last_error      text
) without rowid;

create table source_items (
    source          text    not null,
    item            text    not null,
    status          text    not null,              -- new, submitting, open, done, gave up
    due             integer not null,              -- 1: has changed, and was not dealt with
    sha256          text,
    etag            text,
    last_modified   text,
    bytes           integer,                       -- of the file
    modified_ns     integer,
    job             text,
    tries           integer not null,
    retry_ms        integer not null,
    error           text,
    primary key (source, item)
) without rowid;
