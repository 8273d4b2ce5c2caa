-- Whose a job is: the id of a key, or "cert:" and the name of a certificate; null where nobody in particular
-- has submitted it.
alter table jobs add column owner text;

-- Bytes of input that owners have sent in the last day on which they sent any. No table of a user's begins so.
create table _spent (
    owner text    not null primary key,
    day   integer not null,                        -- of UTC, from 1970 on
    bytes integer not null
) without rowid;
