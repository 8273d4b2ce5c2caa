//! Values, keys and rows of tables on the wire.

use serde_json::{Map, Value as Json};

use tally_common::table::Value;

use super::{WireError, wrong};
use crate::v1;
use crate::v1::value::Value as Wire;

/// The wire form of a value as JSON has it.
pub fn value_to_wire(json: &Json) -> v1::Value {
    let value = match json {
        Json::Null => None,
        Json::String(text) => Some(Wire::Text(text.clone())),
        Json::Number(number) => Some(match number.as_i64() {
            Some(integer) => Wire::Integer(integer),
            None => Wire::Json(json.to_string()),
        }),
        Json::Bool(_) | Json::Array(_) | Json::Object(_) => Some(Wire::Json(json.to_string())),
    };
    v1::Value { value }
}

/// The wire form of a value of a row.
pub fn cell_to_wire(value: &Value) -> v1::Value {
    let value = match value {
        Value::Null => None,
        Value::Integer(integer) => Some(Wire::Integer(*integer)),
        Value::Date(_) | Value::Text(_) => Some(Wire::Text(value.to_string())),
    };
    v1::Value { value }
}

/// A value from the wire, as JSON has it.
///
/// # Errors
/// [`WireError`] for JSON text that is none.
pub fn value_from_wire(wire: v1::Value) -> Result<Json, WireError> {
    Ok(match wire.value {
        None => Json::Null,
        Some(Wire::Integer(integer)) => integer.into(),
        Some(Wire::Text(text)) => Json::String(text),
        Some(Wire::Json(text)) => serde_json::from_str(&text)
            .map_err(|error| wrong("value.json", format!("is no JSON: {error}")))?,
    })
}

/// The wire form of a key: its value, or an array of them.
pub(super) fn key_to_wire(key: &Json) -> Vec<v1::Value> {
    match key {
        Json::Array(values) => values.iter().map(value_to_wire).collect(),
        one => vec![value_to_wire(one)],
    }
}

/// A key from the wire: an array only where it has several values.
pub(super) fn key_from_wire(wire: Vec<v1::Value>) -> Result<Json, WireError> {
    let mut values = values_from_wire(wire)?;
    Ok(match values.len() {
        1 => values.remove(0),
        _ => Json::Array(values),
    })
}

pub(super) fn values_from_wire(wire: Vec<v1::Value>) -> Result<Vec<Json>, WireError> {
    wire.into_iter().map(value_from_wire).collect()
}

pub(super) fn row_to_wire(row: &Map<String, Json>) -> Vec<v1::Field> {
    let field = |(column, value): (&String, &Json)| v1::Field {
        column: column.clone(),
        value: Some(value_to_wire(value)),
    };
    row.iter().map(field).collect()
}

/// A row from the wire; of a column that is there twice the last value counts, as in JSON.
pub(super) fn row_from_wire(wire: Vec<v1::Field>) -> Result<Map<String, Json>, WireError> {
    let field =
        |field: v1::Field| Ok((field.column, value_from_wire(field.value.unwrap_or_default())?));
    wire.into_iter().map(field).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn values_come_back() {
        let values = [
            json!(null),
            json!(i64::MIN),
            json!(i64::MAX),
            json!(u64::MAX),
            json!(1.5),
            json!(true),
            json!(["a", 1]),
            json!({"a": null}),
            json!("ähm"),
            json!(""),
        ];
        for value in values {
            assert_eq!(value_from_wire(value_to_wire(&value)), Ok(value));
        }
        for value in [Value::Null, Value::Integer(-3), Value::Date(0), Value::Text("x".into())] {
            assert_eq!(cell_to_wire(&value), value_to_wire(&value.to_json()));
        }
        let wire = v1::Value { value: Some(Wire::Json("{".to_owned())) };
        assert_eq!(value_from_wire(wire).unwrap_err().field(), "value.json");
    }

    #[test]
    fn keys_come_back() {
        for key in [json!("a"), json!(7), json!(["a", "2026-01-01"])] {
            assert_eq!(key_from_wire(key_to_wire(&key)), Ok(key));
        }
    }
}
