//! Receipts as clients see them.

use tally_common::api::{FullReceipt, InputReceipt, TaskAnswer, TaskReceipt};

use super::jobs::{receipt_from_wire, receipt_to_wire, state_from_wire, state_to_wire};
use super::{WireError, job_id_from_text};
use crate::v1;

/// The wire form of a receipt.
pub fn full_receipt_to_wire(receipt: &FullReceipt) -> v1::FullReceipt {
    let input = |input: &InputReceipt| v1::InputReceipt {
        name: input.name.clone(),
        header_bytes: input.header_bytes,
        header_crc32c: input.header_crc32c,
    };
    let task = |task: &TaskReceipt| v1::TaskReceipt {
        number: task.number,
        input: task.input,
        byte_offset: task.byte_offset,
        bytes: task.bytes,
        crc32c: task.crc32c,
        answer: task.answer.as_ref().map(answer_to_wire),
    };
    v1::FullReceipt {
        job_id: receipt.job.to_string(),
        state: state_to_wire(receipt.state) as i32,
        total: Some(receipt_to_wire(&receipt.total)),
        inputs: receipt.inputs.iter().map(input).collect(),
        tasks: receipt.tasks.iter().map(task).collect(),
    }
}

fn answer_to_wire(answer: &TaskAnswer) -> v1::TaskAnswer {
    v1::TaskAnswer {
        records: answer.records,
        counted: answer.counted,
        rejected: answer.rejected,
        blank_lines: answer.blank_lines,
        lines: answer.lines,
        groups: answer.groups,
        run_bytes: answer.run_bytes,
        run_crc32c: answer.run_crc32c,
        slave: answer.slave.clone(),
        attempt: answer.attempt,
    }
}

/// A receipt from the wire.
///
/// # Errors
/// [`WireError`] where an id or state has no meaning.
pub fn full_receipt_from_wire(wire: v1::FullReceipt) -> Result<FullReceipt, WireError> {
    let input = |input: v1::InputReceipt| InputReceipt {
        name: input.name,
        header_bytes: input.header_bytes,
        header_crc32c: input.header_crc32c,
    };
    let task = |task: v1::TaskReceipt| TaskReceipt {
        number: task.number,
        input: task.input,
        byte_offset: task.byte_offset,
        bytes: task.bytes,
        crc32c: task.crc32c,
        answer: task.answer.map(answer_from_wire),
    };
    Ok(FullReceipt {
        job: job_id_from_text(&wire.job_id)?,
        state: state_from_wire(wire.state)?,
        total: receipt_from_wire(wire.total.unwrap_or_default()),
        inputs: wire.inputs.into_iter().map(input).collect(),
        tasks: wire.tasks.into_iter().map(task).collect(),
    })
}

fn answer_from_wire(wire: v1::TaskAnswer) -> TaskAnswer {
    TaskAnswer {
        records: wire.records,
        counted: wire.counted,
        rejected: wire.rejected,
        blank_lines: wire.blank_lines,
        lines: wire.lines,
        groups: wire.groups,
        run_bytes: wire.run_bytes,
        run_crc32c: wire.run_crc32c,
        slave: wire.slave,
        attempt: wire.attempt,
    }
}
