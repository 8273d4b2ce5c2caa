-- Sources that are watched for new data, and what is known of their items: of the files of a folder, or of
-- the one thing behind a URL (whose name is empty). Times are milliseconds since 1970, UTC.

create table sources (
    name            text collate "C" not null primary key,
    fingerprint     text    not null,              -- of where it is and what becomes of it
    polls           bigint  not null,
    changes         bigint  not null,
    errors          bigint  not null,
    submissions     bigint  not null,              -- part of the key of the next one
    failures        bigint  not null,              -- in a row
    last_polled_ms  bigint,
    last_changed_ms bigint,
    last_job        text,
    last_error      text
);

create table source_items (
    source          text collate "C" not null,
    item            text collate "C" not null,
    status          text    not null,              -- new, submitting, open, done, gave up
    due             bigint  not null,              -- 1: has changed, and was not dealt with
    sha256          text,
    etag            text,
    last_modified   text,
    bytes           bigint,                        -- of the file
    modified_ns     bigint,
    job             text,
    tries           bigint  not null,
    retry_ms        bigint  not null,
    error           text,
    primary key (source, item)
);
