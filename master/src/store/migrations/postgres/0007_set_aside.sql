-- Slaves that have lied, by name and by what they showed of themselves (a certificate; empty where that was
-- nothing): they are not let in again until an operator says so.
create table _slaves_set_aside (
    name       text collate "C" not null,
    credential text collate "C" not null,
    reason     text not null,
    since_ms   bigint not null,  -- milliseconds since 1970, UTC
    primary key (name, credential)
);

-- Of a task that was to be counted twice: 1 where a second slave said the same, 0 where there was none.
alter table tasks add column verified bigint;
