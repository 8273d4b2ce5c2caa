create table gone (
    job     text collate "C" not null primary key,
    gone_ms bigint not null
);

create index gone_by_age on gone (gone_ms);
