alter table jobs add column owner text collate "C";

create table _spent (
    owner text collate "C" not null primary key,
    day   bigint not null,
    bytes bigint not null
);
