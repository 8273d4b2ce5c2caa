//! The messages between master and slaves.

use std::collections::BTreeMap;

use tally_common::dialect::Layout;
use tally_common::id::{Attempt, JobId, MessageId, SessionId, SlaveId, TaskNumber};
use tally_common::limits::{MAX_TASK_BYTES, MAX_WORKERS};
use tally_common::spec::Spec;

use super::spec::delimiter;
use super::{WireError, draft_from_wire, draft_to_wire, uuid_from_bytes, uuid_to_bytes, wrong};
use crate::frames::Compression;
use crate::trace::Traceparent;
use crate::v1;

/// Longest name of a slave, in bytes.
const MAX_SLAVE_NAME: usize = 128;
/// Most labels of a slave.
const MAX_LABELS: usize = 32;

/// Who is joining.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SlaveHello {
    /// The slave process.
    pub slave: SlaveId,
    /// A name for people.
    pub name: String,
    /// Worker threads.
    pub workers: u32,
    /// The slave's build version.
    pub version: String,
    /// Free-form labels.
    pub labels: BTreeMap<String, String>,
}

impl SlaveHello {
    /// The wire form.
    pub fn to_wire(&self) -> v1::Hello {
        v1::Hello {
            protocol: Some(crate::spoken()),
            slave_id: uuid_to_bytes(self.slave.uuid()),
            name: self.name.clone(),
            workers: self.workers,
            version: self.version.clone(),
            labels: self.labels.clone().into_iter().collect(),
        }
    }
}

impl TryFrom<v1::Hello> for SlaveHello {
    type Error = WireError;

    fn try_from(wire: v1::Hello) -> Result<Self, WireError> {
        let sane_name = !wire.name.is_empty()
            && wire.name.len() <= MAX_SLAVE_NAME
            && !wire.name.chars().any(char::is_control);
        if !sane_name {
            return Err(wrong("hello.name", "1 to 128 bytes without control characters"));
        }
        if !(1..=MAX_WORKERS).contains(&wire.workers) {
            return Err(wrong(
                "hello.workers",
                format!("1 to {MAX_WORKERS}, not {}", wire.workers),
            ));
        }
        if wire.labels.len() > MAX_LABELS || wire.version.len() > MAX_SLAVE_NAME {
            return Err(wrong("hello.labels", "at most 32 labels and a version of 128 bytes"));
        }
        Ok(Self {
            slave: SlaveId::from_uuid(uuid_from_bytes("hello.slave_id", &wire.slave_id)?),
            name: wire.name,
            workers: wire.workers,
            version: wire.version,
            labels: wire.labels.into_iter().collect(),
        })
    }
}

/// A task to count.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Assignment {
    /// The task.
    pub message_id: MessageId,
    /// Its job.
    pub job: JobId,
    /// Its number in the job.
    pub number: TaskNumber,
    /// The attempt, from 1.
    pub attempt: Attempt,
    /// Length of the task in bytes.
    pub bytes: u64,
    /// CRC-32C of the task's bytes.
    pub crc32c: u32,
    /// What to compute.
    pub spec: Spec,
    /// Where the spec's columns stand.
    pub layout: Layout,
    /// The span that the attempt is part of.
    pub trace: Option<Traceparent>,
}

impl Assignment {
    /// The wire form.
    pub fn to_wire(&self) -> v1::Assign {
        let layout = v1::Layout {
            delimiter: self.layout.delimiter.byte().into(),
            fields: self.layout.fields,
            keys: self.layout.keys.clone(),
            values_plus_one: plus_one(&self.layout.values),
            rows_plus_one: plus_one(&self.layout.rows),
        };
        v1::Assign {
            message_id: uuid_to_bytes(self.message_id.uuid()),
            job_id: uuid_to_bytes(self.job.uuid()),
            number: self.number,
            attempt: self.attempt,
            bytes: self.bytes,
            crc32c: self.crc32c,
            spec: Some(draft_to_wire(self.spec.draft())),
            layout: Some(layout),
            traceparent: self.trace.map(|trace| trace.to_string()).unwrap_or_default(),
        }
    }
}

impl TryFrom<v1::Assign> for Assignment {
    type Error = WireError;

    fn try_from(wire: v1::Assign) -> Result<Self, WireError> {
        let draft = wire.spec.as_ref().ok_or(WireError::Missing("assign.spec"))?;
        let spec = Spec::try_from(draft_from_wire(draft)?)?;
        let layout = wire.layout.ok_or(WireError::Missing("assign.layout"))?;
        let layout = layout_from_wire(layout, &spec)?;
        // Twice the aim: a task ends with its last record, however long that is.
        if wire.bytes > 2 * MAX_TASK_BYTES {
            return Err(wrong("assign.bytes", format!("{} bytes are too many", wire.bytes)));
        }
        Ok(Self {
            message_id: MessageId::from_uuid(uuid_from_bytes("message_id", &wire.message_id)?),
            job: JobId::from_uuid(uuid_from_bytes("job_id", &wire.job_id)?),
            number: wire.number,
            attempt: wire.attempt,
            bytes: wire.bytes,
            crc32c: wire.crc32c,
            spec,
            layout,
            // Of no use to what is counted: one that makes no sense is none.
            trace: wire.traceparent.parse().ok(),
        })
    }
}

/// Indices of which some are not there, as the wire has them.
fn plus_one(indices: &[Option<u32>]) -> Vec<u32> {
    indices.iter().map(|index| index.map_or(0, |index| index + 1)).collect()
}

fn layout_from_wire(wire: v1::Layout, spec: &Spec) -> Result<Layout, WireError> {
    let keys_fit = wire.keys.len() == spec.group_by().len();
    let values_fit = wire.values_plus_one.len() == spec.aggregates().len();
    let within = |i: &u32| *i <= wire.fields;
    let inside =
        wire.keys.iter().all(|i| *i < wire.fields) && wire.values_plus_one.iter().all(within);
    let columns = spec.aggregates().iter().zip(&wire.values_plus_one);
    let counts_fit = columns.clone().all(|(a, v)| a.column.is_some() == (*v > 0));
    let rows = spec.rows().unwrap_or_default();
    let rows_fit = rows.len() == wire.rows_plus_one.len()
        && wire.rows_plus_one.iter().all(within)
        && rows.iter().zip(&wire.rows_plus_one).all(|(column, at)| column.nullable || *at > 0);
    if !(keys_fit && values_fit && inside && counts_fit && rows_fit) {
        return Err(wrong("assign.layout", "does not fit the spec"));
    }
    Ok(Layout {
        delimiter: delimiter("assign.layout.delimiter", wire.delimiter)?,
        fields: wire.fields,
        keys: wire.keys,
        values: wire.values_plus_one.into_iter().map(|v| v.checked_sub(1)).collect(),
        rows: wire.rows_plus_one.into_iter().map(|at| at.checked_sub(1)).collect(),
    })
}

/// What a partial is the answer to, and what it holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PartialHead {
    /// The task.
    pub message_id: MessageId,
    /// The attempt.
    pub attempt: Attempt,
    /// Whose answer it is.
    pub session: SessionId,
    /// Bytes of run that follow.
    pub bytes: u64,
    /// CRC-32C of these bytes.
    pub crc32c: u32,
    /// Groups in the run.
    pub groups: u64,
    /// Records found in the task, rejected ones included.
    pub records: u64,
    /// Records that could not be counted.
    pub rejects: u64,
}

impl PartialHead {
    /// The wire form.
    pub fn to_wire(&self) -> v1::PartialHeader {
        v1::PartialHeader {
            patient: false,
            message_id: uuid_to_bytes(self.message_id.uuid()),
            attempt: self.attempt,
            session_id: uuid_to_bytes(self.session.uuid()),
            bytes: self.bytes,
            crc32c: self.crc32c,
            groups: self.groups,
            records: self.records,
            rejects: self.rejects,
        }
    }
}

impl TryFrom<v1::PartialHeader> for PartialHead {
    type Error = WireError;

    fn try_from(wire: v1::PartialHeader) -> Result<Self, WireError> {
        Ok(Self {
            message_id: MessageId::from_uuid(uuid_from_bytes("message_id", &wire.message_id)?),
            attempt: wire.attempt,
            session: SessionId::from_uuid(uuid_from_bytes("session_id", &wire.session_id)?),
            bytes: wire.bytes,
            crc32c: wire.crc32c,
            groups: wire.groups,
            records: wire.records,
            rejects: wire.rejects,
        })
    }
}

impl v1::SlaveEvent {
    /// Wraps an event.
    pub fn of(event: v1::slave_event::Event) -> Self {
        Self { event: Some(event) }
    }
}

impl v1::MasterCommand {
    /// Wraps a command.
    pub fn of(command: v1::master_command::Command) -> Self {
        Self { command: Some(command) }
    }
}

/// A message id and attempt as several messages carry them.
macro_rules! attempt_messages {
    ($($message:ident),*) => {$(
        impl v1::$message {
            /// Which attempt it speaks of.
            ///
            /// # Errors
            /// [`WireError`] where the message id is not a UUID.
            pub fn attempt_of(&self) -> Result<(MessageId, Attempt), WireError> {
                let id = uuid_from_bytes("message_id", &self.message_id)?;
                Ok((MessageId::from_uuid(id), self.attempt))
            }
        }
    )*};
}

attempt_messages!(AttemptProgress, TaskFailed, CancelAttempt);

impl v1::CancelAttempt {
    /// The cancellation of an attempt.
    pub fn of(message_id: MessageId, attempt: Attempt) -> Self {
        Self { message_id: uuid_to_bytes(message_id.uuid()), attempt }
    }
}

impl v1::TaskFailed {
    /// The failure of an attempt.
    pub fn of(message_id: MessageId, attempt: Attempt, error: String) -> Self {
        Self { message_id: uuid_to_bytes(message_id.uuid()), attempt, error }
    }
}

impl v1::AttemptProgress {
    /// How far an attempt is, in bytes of its task.
    pub fn of(message_id: MessageId, attempt: Attempt, bytes: u64) -> Self {
        Self { message_id: uuid_to_bytes(message_id.uuid()), attempt, bytes }
    }
}

impl v1::StreamTaskRequest {
    /// Asks for a task's bytes; `again` where they came and were damaged.
    pub fn of(message_id: MessageId, session: SessionId, again: bool) -> Self {
        let message_id = uuid_to_bytes(message_id.uuid());
        let session_id = uuid_to_bytes(session.uuid());
        Self { message_id, session_id, again, ..Self::default() }
    }

    /// Which task, and who asks.
    ///
    /// # Errors
    /// [`WireError`] where either is not a UUID.
    pub fn parts(&self) -> Result<(MessageId, SessionId), WireError> {
        let message_id = uuid_from_bytes("message_id", &self.message_id)?;
        let session = uuid_from_bytes("session_id", &self.session_id)?;
        Ok((MessageId::from_uuid(message_id), SessionId::from_uuid(session)))
    }
}

impl v1::Welcome {
    /// Opens a session.
    pub fn of(session: SessionId, heartbeat_interval_ms: u32) -> Self {
        Self {
            session_id: uuid_to_bytes(session.uuid()),
            heartbeat_interval_ms,
            protocol: Some(crate::spoken()),
            version: crate::BUILD.to_owned(),
            compressions: if crate::speaks(3) {
                Compression::ALL.map(Compression::to_wire).to_vec()
            } else {
                Vec::new()
            },
        }
    }

    /// Whether the master takes partials that are compressed so.
    pub fn takes(&self, compression: Compression) -> bool {
        self.compressions.contains(&compression.to_wire())
    }

    /// The session that was opened.
    ///
    /// # Errors
    /// [`WireError`] where it is not a UUID.
    pub fn session(&self) -> Result<SessionId, WireError> {
        uuid_from_bytes("welcome.session_id", &self.session_id).map(SessionId::from_uuid)
    }
}

#[cfg(test)]
mod tests {
    use tally_common::dialect::Delimiter;
    use tally_common::spec::SpecDraft;
    use tally_common::table::TableDraft;
    use uuid::Uuid;

    use super::*;

    #[test]
    fn layouts_of_rows_come_back_if_they_fit() {
        let mut table = TableDraft::plays();
        table.columns[2].nullable = true;
        let draft = SpecDraft::of_table(&table.try_into().unwrap());
        let spec = Spec::try_from(draft).unwrap();
        let layout = Layout {
            delimiter: Delimiter::Tab,
            fields: 4,
            keys: vec![3, 1],
            values: vec![None],
            rows: vec![Some(3), Some(1), None],
        };
        let id = JobId::from_uuid(Uuid::from_u128(1));
        let assignment = Assignment {
            message_id: MessageId::of_task(id, 0),
            job: id,
            number: 0,
            attempt: 1,
            bytes: 10,
            crc32c: 0,
            spec,
            layout: layout.clone(),
            trace: None,
        };
        let wire = assignment.to_wire();
        assert_eq!(Assignment::try_from(wire.clone()).unwrap().layout, layout);
        for rows in [vec![], vec![4, 2], vec![4, 0, 0], vec![4, 2, 5]] {
            let mut wrong = wire.clone();
            wrong.layout.as_mut().unwrap().rows_plus_one = rows;
            assert!(Assignment::try_from(wrong).is_err());
        }
    }

    #[test]
    fn a_master_takes_what_its_welcome_names() {
        let welcome = v1::Welcome::of(SessionId::from_uuid(Uuid::from_u128(1)), 1000);
        // As one before 1.3 sends it.
        let older = v1::Welcome { compressions: Vec::new(), ..welcome.clone() };
        for compression in Compression::ALL {
            assert!(welcome.takes(compression) && !older.takes(compression));
        }
    }
}
