//! Rows as bytes, as slaves send them to the master within a run, and where a row came from. What is read
//! is believed only where it fits the columns.

use thiserror::Error;

use super::value::{Row, Value};
use crate::key::{decode_text, encode_integer, encode_text};
use crate::spec::{KeyColumn, KeyKind, RowColumn};
use crate::value::DAYS;

/// How the value of a column begins.
const NULL: u8 = 0;
const INTEGER: u8 = 1;
const DATE: u8 = 2;
const TEXT: u8 = 3;

/// Most bytes of a number of 64 bits, seven of them in a byte.
const VARINT_BYTES: usize = 10;

/// A row that does not decode: a damaged run, or one of another table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("a row does not decode")]
pub struct BadRow;

/// Appends nothing: a column that may be null is.
#[inline]
pub fn put_null(out: &mut Vec<u8>) {
    out.push(NULL);
}

/// Appends an integer.
#[inline]
pub fn put_integer(value: i64, out: &mut Vec<u8>) {
    out.push(INTEGER);
    put_varint(((value << 1) ^ (value >> 63)) as u64, out);
}

/// Appends a date by its days since 1970-01-01.
#[inline]
pub fn put_date(day: i32, out: &mut Vec<u8>) {
    out.push(DATE);
    put_varint(u64::from(((day << 1) ^ (day >> 31)) as u32), out);
}

/// Appends a text.
#[inline]
pub fn put_text(text: &[u8], out: &mut Vec<u8>) {
    out.push(TEXT);
    put_varint(text.len() as u64, out);
    out.extend_from_slice(text);
}

/// Appends a row, as [`read_row`] reads it.
pub fn put_row(row: &[Value], out: &mut Vec<u8>) {
    for value in row {
        match value {
            Value::Null => put_null(out),
            Value::Integer(n) => put_integer(*n, out),
            Value::Date(day) => put_date(*day, out),
            Value::Text(text) => put_text(text.as_bytes(), out),
        }
    }
}

#[inline]
fn put_varint(mut value: u64, out: &mut Vec<u8>) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

#[inline]
fn varint(rest: &mut &[u8]) -> Result<u64, BadRow> {
    let mut value = 0;
    for i in 0..VARINT_BYTES {
        let (&byte, after) = rest.split_first().ok_or(BadRow)?;
        *rest = after;
        let bits = u64::from(byte & 0x7f);
        if i == VARINT_BYTES - 1 && bits > 1 {
            return Err(BadRow);
        }
        value |= bits << (7 * i);
        if byte < 0x80 {
            return Ok(value);
        }
    }
    Err(BadRow)
}

/// Reads a row: one value for each of `columns`, and nothing behind them.
///
/// # Errors
/// [`BadRow`] where the bytes are none, or a value does not fit its column.
pub fn read_row(columns: &[RowColumn], mut bytes: &[u8]) -> Result<Row, BadRow> {
    let values = columns.iter().map(|column| read_value(column, &mut bytes));
    let row = values.collect::<Result<Row, _>>()?;
    if bytes.is_empty() { Ok(row) } else { Err(BadRow) }
}

fn read_value(column: &RowColumn, rest: &mut &[u8]) -> Result<Value, BadRow> {
    let (&kind, after) = rest.split_first().ok_or(BadRow)?;
    *rest = after;
    match (kind, column.kind) {
        (NULL, _) if column.nullable => Ok(Value::Null),
        (INTEGER, KeyKind::Integer) => {
            let value = varint(rest)?;
            Ok(Value::Integer((value >> 1) as i64 ^ -((value & 1) as i64)))
        }
        (DATE, KeyKind::Date) => {
            let value = u32::try_from(varint(rest)?).map_err(|_| BadRow)?;
            let day = (value >> 1) as i32 ^ -((value & 1) as i32);
            if DAYS.contains(&day) { Ok(Value::Date(day)) } else { Err(BadRow) }
        }
        (TEXT, KeyKind::Text) => {
            let len = varint(rest)?;
            if len > u64::from(column.max_bytes) {
                return Err(BadRow);
            }
            let (text, after) = rest.split_at_checked(len as usize).ok_or(BadRow)?;
            *rest = after;
            let text = std::str::from_utf8(text).map_err(|_| BadRow)?;
            if memchr::memchr(0, text.as_bytes()).is_some() {
                return Err(BadRow);
            }
            Ok(Value::Text(text.into()))
        }
        _ => Err(BadRow),
    }
}

/// The tail of a row's group: the key columns but the first, each in a form that ends itself; then where the
/// record stands (`task number << 32 | byte offset in the task`, big-endian); then the row. So the groups of
/// a key come in the order of the input, and the last one is the row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RowTail<'a> {
    /// The key columns but the first.
    pub key: &'a [u8],
    /// Where the record stands.
    pub position: u64,
    /// All columns, as [`read_row`] reads them.
    pub row: &'a [u8],
}

impl<'a> RowTail<'a> {
    /// Takes a tail apart. `others` are the key columns but the first.
    ///
    /// # Errors
    /// [`BadRow`] where it is too short.
    pub fn split(
        others: &[KeyColumn],
        tail: &'a [u8],
        scratch: &mut Vec<u8>,
    ) -> Result<Self, BadRow> {
        let mut rest = tail;
        for column in others {
            rest = match column.kind {
                KeyKind::Text => {
                    scratch.clear();
                    decode_text(rest, scratch).map_err(|_| BadRow)?
                }
                KeyKind::Integer | KeyKind::Date => rest.get(8..).ok_or(BadRow)?,
            };
        }
        let key = &tail[..tail.len() - rest.len()];
        let (position, row) = rest.split_first_chunk::<8>().ok_or(BadRow)?;
        Ok(Self { key, position: u64::from_be_bytes(*position), row })
    }

    /// Appends a key column but the first to a tail; `false` where it can be no part of a key.
    pub fn put_key(value: &Value, out: &mut Vec<u8>) -> bool {
        match value {
            Value::Integer(n) => out.extend_from_slice(&encode_integer(*n)),
            Value::Date(day) => out.extend_from_slice(&encode_integer((*day).into())),
            Value::Text(text) if !text.is_empty() => encode_text(text.as_bytes(), out),
            Value::Text(_) | Value::Null => return false,
        }
        true
    }

    /// Appends the first key column as a group's head has it; `false` where it can be no part of a key.
    pub fn put_head(value: &Value, out: &mut Vec<u8>) -> bool {
        match value {
            Value::Text(text) if !text.is_empty() => out.extend_from_slice(text.as_bytes()),
            Value::Text(_) => return false,
            other => return Self::put_key(other, out),
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn columns() -> Vec<RowColumn> {
        let column =
            |kind, nullable| RowColumn { name: String::new(), kind, nullable, max_bytes: 30 };
        let kinds = [KeyKind::Text, KeyKind::Integer, KeyKind::Date];
        kinds.iter().flat_map(|kind| [column(*kind, true), column(*kind, false)]).collect()
    }

    fn put(row: &[Value]) -> Vec<u8> {
        let mut out = Vec::new();
        for value in row {
            match value {
                Value::Null => put_null(&mut out),
                Value::Integer(n) => put_integer(*n, &mut out),
                Value::Date(day) => put_date(*day, &mut out),
                Value::Text(text) => put_text(text.as_bytes(), &mut out),
            }
        }
        out
    }

    fn row() -> impl Strategy<Value = Vec<Value>> {
        let text = || "[a-z\u{e9} ]{0,10}".prop_map(|text| Value::Text(text.into()));
        let integer = || any::<i64>().prop_map(Value::Integer);
        let date = || DAYS.prop_map(Value::Date);
        let null = || Just(Value::Null);
        (
            prop_oneof![null(), text()],
            text(),
            prop_oneof![null(), integer()],
            integer(),
            prop_oneof![null(), date()],
            date(),
        )
            .prop_map(|(a, b, c, d, e, f)| vec![a, b, c, d, e, f])
    }

    proptest! {
        #[test]
        fn rows_come_back(row in row()) {
            let bytes = put(&row);
            prop_assert_eq!(read_row(&columns(), &bytes), Ok(row.clone().into()));
            for end in 0..bytes.len() {
                prop_assert_eq!(read_row(&columns(), &bytes[..end]), Err(BadRow));
            }
            let longer = [&bytes[..], &[0]].concat();
            prop_assert_eq!(read_row(&columns(), &longer), Err(BadRow));
        }

        #[test]
        fn nothing_that_is_read_breaks_anything(bytes in prop::collection::vec(any::<u8>(), 0..60)) {
            if let Ok(row) = read_row(&columns(), &bytes) {
                prop_assert_eq!(read_row(&columns(), &put(&row)), Ok(row));
            }
            let _ = RowTail::split(&[], &bytes, &mut Vec::new());
            let text = KeyColumn { name: String::new(), kind: KeyKind::Text };
            let _ = RowTail::split(&[text], &bytes, &mut Vec::new());
        }

        #[test]
        fn tails_come_apart(a: i64, b in "[a-z]{1,5}", position: u64) {
            let mut tail = Vec::new();
            assert!(RowTail::put_key(&Value::Integer(a), &mut tail));
            assert!(RowTail::put_key(&Value::Text(b.into()), &mut tail));
            let key = tail.clone();
            tail.extend_from_slice(&position.to_be_bytes());
            tail.push(9);
            let column = |kind| KeyColumn { name: String::new(), kind };
            let others = [column(KeyKind::Integer), column(KeyKind::Text)];
            let found = RowTail::split(&others, &tail, &mut Vec::new());
            prop_assert_eq!(found, Ok(RowTail { key: &key, position, row: &[9] }));
        }
    }

    #[test]
    fn what_does_not_fit_its_column_is_refused() {
        let columns = columns();
        let good = [
            Value::Null,
            Value::Text("x".into()),
            Value::Null,
            Value::Integer(1),
            Value::Null,
            Value::Date(1),
        ];
        assert!(read_row(&columns, &put(&good)).is_ok());
        let nul = Value::Text("a\0".into());
        let long = Value::Text("x".repeat(31).into());
        for (at, wrong) in
            [(1, Value::Null), (1, nul), (1, long), (3, Value::Date(1)), (5, Value::Date(i32::MAX))]
        {
            let mut row = good.clone();
            row[at] = wrong;
            assert_eq!(read_row(&columns, &put(&row)), Err(BadRow), "{row:?}");
        }
    }
}
