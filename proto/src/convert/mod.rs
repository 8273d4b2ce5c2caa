//! Wire ↔ domain: the only validation of wire data. What passes here needs no second look.

mod cluster;
mod event;
mod ingest;
mod jobs;
mod list;
mod look;
mod operation;
mod receipt;
mod rows;
#[cfg(test)]
mod samples;
mod spec;
mod table;
mod value;
mod view;

use thiserror::Error;
use uuid::Uuid;

use tally_common::spec::SpecError;

pub use cluster::{Assignment, PartialHead, SlaveHello};
pub use event::{ClusterEvent, Snapshot, event_from_wire, event_to_wire};
pub use ingest::{ingest_mode_from_wire, ingest_mode_to_wire};
pub use jobs::{
    job_from_wire, job_id_from_text, job_to_wire, optional_job_id, priority_from_wire,
    priority_to_wire,
};
pub use jobs::{slave_from_wire, slave_to_wire};
pub use list::{list_from_wire, list_to_wire, query_from_wire, query_to_wire};
pub use look::{
    look_from_wire, look_query_from_wire, look_query_to_wire, look_to_wire, summary_from_wire,
    summary_to_wire,
};
pub use operation::{
    change_from_wire, change_to_wire, operation_from_wire, operation_to_wire, outcome_from_wire,
    outcome_to_wire,
};
pub use receipt::{full_receipt_from_wire, full_receipt_to_wire};
pub use rows::{
    groups_from_wire, groups_query_from_wire, groups_query_to_wire, groups_to_wire, rows_from_wire,
    rows_query_from_wire, rows_query_to_wire, rows_to_wire, table_row_from_wire, table_row_to_wire,
};
pub use spec::{draft_from_wire, draft_to_wire};
pub use table::{
    recount_from_wire, recount_to_wire, table_draft_from_wire, table_draft_to_wire,
    table_from_wire, table_to_wire,
};
pub use value::{cell_to_wire, value_from_wire, value_to_wire};
pub use view::{
    aside_from_wire, aside_to_wire, cluster_from_wire, cluster_to_wire, history_from_wire,
    history_to_wire, task_from_wire, task_to_wire,
};

/// Wire data that does not make sense.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum WireError {
    /// A message that must be there is not.
    #[error("{0} is missing")]
    Missing(&'static str),
    /// A field holds what it must not.
    #[error("{field}: {problem}")]
    Field {
        /// Which field, as the .proto names it.
        field: &'static str,
        /// What is wrong with it.
        problem: String,
    },
    /// A spec that does not hold.
    #[error("spec: {0}")]
    Spec(#[from] SpecError),
}

impl WireError {
    /// The field at fault, as the .proto names it.
    pub fn field(&self) -> &'static str {
        match self {
            Self::Missing(field) | Self::Field { field, .. } => field,
            Self::Spec(_) => "spec",
        }
    }
}

impl From<WireError> for tonic::Status {
    fn from(error: WireError) -> Self {
        Self::invalid_argument(error.to_string())
    }
}

fn wrong(field: &'static str, problem: impl Into<String>) -> WireError {
    WireError::Field { field, problem: problem.into() }
}

fn uuid_from_bytes(field: &'static str, bytes: &[u8]) -> Result<Uuid, WireError> {
    Uuid::from_slice(bytes)
        .map_err(|_| wrong(field, format!("a UUID has 16 bytes, not {}", bytes.len())))
}

fn uuid_to_bytes(uuid: Uuid) -> bytes::Bytes {
    bytes::Bytes::copy_from_slice(uuid.as_bytes())
}
