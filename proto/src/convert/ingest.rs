//! Ingests on the wire.

use tally_common::api::{IngestCounts, IngestMode, IngestView};

use super::{WireError, wrong};
use crate::v1;

/// The wire form of a mode.
pub fn ingest_mode_to_wire(mode: IngestMode) -> v1::IngestMode {
    match mode {
        IngestMode::Merge => v1::IngestMode::Merge,
        IngestMode::Replace => v1::IngestMode::Replace,
    }
}

/// A mode from the wire.
///
/// # Errors
/// [`WireError`] where it has no meaning.
pub fn ingest_mode_from_wire(mode: i32) -> Result<IngestMode, WireError> {
    match v1::IngestMode::try_from(mode) {
        Ok(v1::IngestMode::Unspecified | v1::IngestMode::Merge) => Ok(IngestMode::Merge),
        Ok(v1::IngestMode::Replace) => Ok(IngestMode::Replace),
        Err(_) => Err(wrong("ingest.mode", "unknown value")),
    }
}

pub(super) fn ingest_to_wire(view: &IngestView) -> v1::JobIngest {
    let IngestCounts { keys, added, updated, unchanged, deleted, repeated_keys, replaced_records } =
        view.counts;
    v1::JobIngest {
        table: view.table.clone(),
        mode: ingest_mode_to_wire(view.mode) as i32,
        keys,
        added,
        updated,
        unchanged,
        deleted,
        repeated_keys,
        replaced_records,
    }
}

pub(super) fn ingest_from_wire(wire: v1::JobIngest) -> Result<IngestView, WireError> {
    let v1::JobIngest {
        table,
        mode,
        keys,
        added,
        updated,
        unchanged,
        deleted,
        repeated_keys,
        replaced_records,
    } = wire;
    let counts =
        IngestCounts { keys, added, updated, unchanged, deleted, repeated_keys, replaced_records };
    Ok(IngestView { table, mode: ingest_mode_from_wire(mode)?, counts })
}
