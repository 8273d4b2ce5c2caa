//! Operations as JSON: one, an array of them, or `{"operations": […]}`.

use serde_json::Value;

use tally_common::api::OperationDraft;

use super::super::super::problem::Problem;
use super::check_count;
use crate::edge::Batch;

/// Reads a body. What is an operation in form is read at once; only where something is wrong is it looked at
/// one by one.
pub(super) fn read(body: &[u8]) -> Result<Batch, Problem> {
    let mut batch = Batch::default();
    let first = body.iter().find(|byte| !byte.is_ascii_whitespace());
    match first {
        Some(b'[') => {
            if let Ok(drafts) = serde_json::from_slice::<Vec<OperationDraft>>(body) {
                check_count(drafts.len())?;
                drafts.into_iter().for_each(|draft| batch.push(draft));
                return Ok(batch);
            }
        }
        _ => {
            if let Ok(draft) = serde_json::from_slice::<OperationDraft>(body) {
                batch.push(draft);
                return Ok(batch);
            }
        }
    }
    let json: Value = serde_json::from_slice(body)
        .map_err(|error| Problem::bad_request(format!("the operations are no JSON: {error}")))?;
    let operations = match json {
        Value::Array(operations) => operations,
        Value::Object(mut object) => match object.remove("operations") {
            Some(Value::Array(operations)) if object.is_empty() => operations,
            Some(other) => {
                object.insert("operations".to_owned(), other);
                vec![Value::Object(object)]
            }
            None => vec![Value::Object(object)],
        },
        _ => return Err(Problem::bad_request("an operation is an object, and several an array")),
    };
    check_count(operations.len())?;
    for operation in operations {
        take(&mut batch, operation);
    }
    Ok(batch)
}

/// Takes an operation that may be none.
pub(super) fn take(batch: &mut Batch, operation: Value) {
    let message_id = operation.get("message_id").and_then(Value::as_str).unwrap_or_default();
    let message_id = message_id.to_owned();
    match serde_json::from_value(operation) {
        Ok(draft) => batch.push(draft),
        Err(error) => batch.refuse(&message_id, error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tables::MAX_OPERATIONS;

    const ONE: &str = r#"{"message_id": "a", "op": "delete", "key": "x"}"#;

    #[test]
    fn operations_come_in_three_forms() {
        let long = |count| format!("[{}]", vec![ONE; count].join(","));
        for (body, count) in [
            (ONE.to_owned(), 1),
            (format!(" \n{ONE}"), 1),
            ("[]".to_owned(), 0),
            (long(3), 3),
            (format!("{{\"operations\": {}}}", long(2)), 2),
            (r#"{"operations": []}"#.to_owned(), 0),
            // What is none is answered as such.
            ("{}".to_owned(), 1),
            (r#"{"operations": 7}"#.to_owned(), 1),
            (r#"{"operations": [], "more": 1}"#.to_owned(), 1),
            (format!("[7, {ONE}, null]"), 3),
            (long(MAX_OPERATIONS), MAX_OPERATIONS),
        ] {
            let batch = read(body.as_bytes()).map(|batch| batch.len());
            assert_eq!(batch.ok(), Some(count), "{body:.60}");
        }
        for bad in ["", "7", "null", "\"x\"", "{", "[{]", &long(MAX_OPERATIONS + 1)] {
            assert!(read(bad.as_bytes()).is_err(), "{bad:.60}");
        }
    }

    #[test]
    fn an_operation_that_is_none_keeps_its_message_id() {
        let wrong =
            r#"[{"message_id": "b", "op": "put"}, {"message_id": "c", "op": "add", "x": 1}]"#;
        let batch = read(wrong.as_bytes()).ok().unwrap();
        let said = format!("{batch:?}");
        for part in ["\"b\"", "\"c\"", "unknown variant `put`", "unknown field `x`"] {
            assert!(said.contains(part), "{part}: {said}");
        }
    }
}
