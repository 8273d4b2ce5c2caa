//! Every bound in one place, each with its unit and its reason.

/// Bytes in one gRPC message of a task's or partial's data. 1 MiB measured best: smaller frames pay
/// per message, larger ones leave the cache.
pub const FRAME_BYTES: usize = 1 << 20;

/// Largest gRPC message that either side decodes, in bytes: a frame and its envelope, with room.
pub const MAX_MESSAGE_BYTES: usize = 2 * FRAME_BYTES;

/// Largest single CSV record in bytes. A quote that is never closed turns the rest of a file into
/// one record; this keeps that from filling memory.
pub const MAX_RECORD_BYTES: usize = 16 << 20;

/// Largest CSV header in bytes.
pub const MAX_HEADER_BYTES: usize = 1 << 20;

/// Smallest task, in bytes, that intake aims for.
pub const MIN_TASK_BYTES: u64 = 16 << 20;

/// Largest task, in bytes, that intake aims for. A task may be longer by its last record.
pub const MAX_TASK_BYTES: u64 = 256 << 20;

/// Most columns that a spec may group by.
pub const MAX_GROUP_COLUMNS: usize = 16;

/// Most aggregates in a spec.
pub const MAX_AGGREGATES: usize = 16;

/// Longest column name in a spec, in bytes.
pub const MAX_NAME_BYTES: usize = 256;

/// Most attempts at one task before its job fails.
pub const MAX_ATTEMPTS: u32 = 4;

/// Uncompressed payload that a block of a run aims for, in bytes.
pub const RUN_BLOCK_BYTES: usize = 64 << 10;

/// Rejects that an error message or a job's status names in full.
pub const NAMED_REJECTS: usize = 10;

/// Most worker threads that a slave may claim.
pub const MAX_WORKERS: u32 = 1024;

/// Longest key of a request (`Idempotency-Key`, `message_id`), in bytes.
pub const MAX_KEY_BYTES: usize = 128;

/// Longest name of a table or of one of its columns, in bytes: PostgreSQL cuts off what is longer than 63.
pub const MAX_TABLE_NAME_BYTES: usize = 63;

/// Most columns of a table.
pub const MAX_TABLE_COLUMNS: usize = 64;

/// Most key columns of a table.
pub const MAX_TABLE_KEY_COLUMNS: usize = 4;

/// Most aggregates of a table.
pub const MAX_TABLE_AGGREGATES: usize = 16;

/// Longest text in a column that is indexed (key columns, and those that an aggregate groups by), in bytes:
/// four of them fit into an entry of a PostgreSQL B-tree, which has 2,704 bytes.
pub const MAX_ROW_KEY_BYTES: usize = 640;

/// Longest text in any other column of a table, in bytes.
pub const MAX_FIELD_BYTES: usize = 1 << 20;

/// Largest gRPC message of the service for tables, in bytes: a row of fifteen of the longest texts, with room.
/// Larger rows go over HTTP.
pub const MAX_TABLE_MESSAGE_BYTES: usize = 16 << 20;
