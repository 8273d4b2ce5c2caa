//! Operations on tables, and what came of them.

use tally_common::api::{ChangeKind, ChangeView, OperationDraft, OperationResult, Outcome};
use tally_common::table::OperationKind;

use super::value::{key_from_wire, key_to_wire, row_from_wire, row_to_wire};
use super::{WireError, wrong};
use crate::v1;

/// The wire form of an operation.
pub fn operation_to_wire(draft: &OperationDraft) -> v1::Operation {
    let op = match draft.op {
        OperationKind::Add => v1::OperationKind::Add,
        OperationKind::Update => v1::OperationKind::Update,
        OperationKind::Delete => v1::OperationKind::Delete,
    };
    v1::Operation {
        message_id: draft.message_id.clone(),
        op: op as i32,
        key: draft.key.as_ref().map(key_to_wire).unwrap_or_default(),
        row: draft.row.as_ref().map(row_to_wire).unwrap_or_default(),
        expected_version: draft.expected_version,
    }
}

/// An operation from the wire, still to be checked against its table. An empty key or row is none.
///
/// # Errors
/// [`WireError`] for an operation of no kind and values that are no JSON.
pub fn operation_from_wire(wire: v1::Operation) -> Result<OperationDraft, WireError> {
    let op = match v1::OperationKind::try_from(wire.op) {
        Ok(v1::OperationKind::Add) => OperationKind::Add,
        Ok(v1::OperationKind::Update) => OperationKind::Update,
        Ok(v1::OperationKind::Delete) => OperationKind::Delete,
        Ok(v1::OperationKind::Unspecified) | Err(_) => {
            return Err(wrong("operations.op", "add, update and delete are"));
        }
    };
    let key = (!wire.key.is_empty()).then(|| key_from_wire(wire.key)).transpose()?;
    let row = (!wire.row.is_empty()).then(|| row_from_wire(wire.row)).transpose()?;
    let (message_id, expected_version) = (wire.message_id, wire.expected_version);
    Ok(OperationDraft { message_id, op, key, row, expected_version })
}

/// Each outcome with its name on the wire.
const OUTCOMES: [(Outcome, v1::Outcome); 10] = [
    (Outcome::Added, v1::Outcome::Added),
    (Outcome::Updated, v1::Outcome::Updated),
    (Outcome::Deleted, v1::Outcome::Deleted),
    (Outcome::Unchanged, v1::Outcome::Unchanged),
    (Outcome::Exists, v1::Outcome::Exists),
    (Outcome::Missing, v1::Outcome::Missing),
    (Outcome::Conflict, v1::Outcome::Conflict),
    (Outcome::Overflow, v1::Outcome::Overflow),
    (Outcome::Reused, v1::Outcome::Reused),
    (Outcome::Invalid, v1::Outcome::Invalid),
];

/// The wire form of what came of an operation.
pub fn outcome_to_wire(result: OperationResult) -> v1::OperationResult {
    let known = OUTCOMES.iter().find(|(outcome, _)| *outcome == result.outcome);
    let outcome = known.map_or(v1::Outcome::Unspecified, |(_, wire)| *wire);
    v1::OperationResult {
        message_id: result.message_id,
        outcome: outcome as i32,
        version: result.version,
        repeated: result.repeated,
        problem: result.problem,
    }
}

/// What came of an operation, from the wire.
///
/// # Errors
/// [`WireError`] for an outcome that this build does not know.
pub fn outcome_from_wire(wire: v1::OperationResult) -> Result<OperationResult, WireError> {
    let known = OUTCOMES.iter().find(|(_, outcome)| *outcome as i32 == wire.outcome);
    let (outcome, _) = known.ok_or_else(|| wrong("results.outcome", "unknown value"))?;
    Ok(OperationResult {
        message_id: wire.message_id,
        outcome: *outcome,
        version: wire.version,
        repeated: wire.repeated,
        problem: wire.problem,
    })
}

/// The wire form of a change.
pub fn change_to_wire(change: &ChangeView) -> v1::Change {
    let kind = match change.change {
        ChangeKind::Added => v1::ChangeKind::Added,
        ChangeKind::Updated => v1::ChangeKind::Updated,
        ChangeKind::Deleted => v1::ChangeKind::Deleted,
    };
    v1::Change {
        version: change.version,
        kind: kind as i32,
        key: key_to_wire(&change.key),
        row: change.row.as_ref().map(row_to_wire).unwrap_or_default(),
        changed_at: change.changed_at.clone(),
    }
}

/// A change from the wire.
///
/// # Errors
/// [`WireError`] for a kind that this build does not know, and values that are no JSON.
pub fn change_from_wire(wire: v1::Change) -> Result<ChangeView, WireError> {
    let change = match v1::ChangeKind::try_from(wire.kind) {
        Ok(v1::ChangeKind::Added) => ChangeKind::Added,
        Ok(v1::ChangeKind::Updated) => ChangeKind::Updated,
        Ok(v1::ChangeKind::Deleted) => ChangeKind::Deleted,
        Ok(v1::ChangeKind::Unspecified) | Err(_) => {
            return Err(wrong("changes.kind", "unknown value"));
        }
    };
    let row = (change != ChangeKind::Deleted).then(|| row_from_wire(wire.row)).transpose()?;
    let (version, key) = (wire.version, key_from_wire(wire.key)?);
    Ok(ChangeView { version, change, key, row, changed_at: wire.changed_at })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn operations_come_back() {
        for op in [OperationKind::Add, OperationKind::Update, OperationKind::Delete] {
            let row = json!({"name": "shoe", "price": 5, "when": null}).as_object().cloned();
            let full = OperationDraft {
                message_id: "a-1".to_owned(),
                op,
                key: Some(json!(["x", 7])),
                row,
                expected_version: Some(0),
            };
            assert_eq!(operation_from_wire(operation_to_wire(&full)), Ok(full.clone()));
            let bare = OperationDraft { key: None, row: None, expected_version: None, ..full };
            assert_eq!(operation_from_wire(operation_to_wire(&bare)), Ok(bare));
        }
        let wire = v1::Operation { op: 9, ..Default::default() };
        assert_eq!(operation_from_wire(wire).unwrap_err().field(), "operations.op");
    }

    #[test]
    fn outcomes_come_back() {
        for outcome in Outcome::ALL {
            let result = OperationResult {
                message_id: "a".to_owned(),
                outcome,
                version: (outcome == Outcome::Added).then_some(0),
                repeated: outcome == Outcome::Updated,
                problem: (outcome == Outcome::Invalid).then(String::new),
            };
            assert_eq!(outcome_from_wire(outcome_to_wire(result.clone())), Ok(result));
        }
        let nothing = v1::OperationResult::default();
        assert_eq!(outcome_from_wire(nothing).unwrap_err().field(), "results.outcome");
    }

    #[test]
    fn changes_come_back() {
        for change in [ChangeKind::Added, ChangeKind::Updated, ChangeKind::Deleted] {
            let row = json!({"name": "shoe"}).as_object().cloned();
            let change = ChangeView {
                version: 1 << 40,
                change,
                key: json!("x"),
                row: row.filter(|_| change != ChangeKind::Deleted),
                changed_at: "2026-01-01T00:00:00Z".to_owned(),
            };
            assert_eq!(change_from_wire(change_to_wire(&change)), Ok(change));
        }
        let nothing = v1::Change::default();
        assert_eq!(change_from_wire(nothing).unwrap_err().field(), "changes.kind");
    }
}
