-- Jobs that were deleted, or whose time was over: who asks for one is told that it is gone, and not that
-- there never was one. Kept as long as the keys are.
create table gone (
    job     text    not null primary key,
    gone_ms integer not null
) without rowid;

create index gone_by_age on gone (gone_ms);
