//! Group keys as bytes whose order is the order of the values.
//!
//! A key is split in two: its **head** is the first group-by column, its **tail** all the others.
//! A head is the bare text, or [`encode_integer`] of an integer or of a date's day number. A tail is
//! a day number where the only other column is a date, else the columns' encodings one after
//! another, each but the last in a form that ends itself ([`encode_text`]).
//!
//! Where the records are rows of a table, each row is a group of its own, and its tail is what
//! [`crate::table::RowTail`] says: the other key columns, its place in the input, the row.

use thiserror::Error;

use crate::spec::{KeyColumn, KeyKind, Spec};

/// The form of the tails of a job's groups.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TailKind {
    /// There is one group-by column only: every tail is the ordinal 0.
    None,
    /// One more column, a date: the tail is its day number.
    Date,
    /// Anything else: bytes, compared as such.
    Bytes,
}

impl TailKind {
    /// The form that a spec's tails have.
    pub fn of(spec: &Spec) -> Self {
        if spec.rows().is_some() {
            return Self::Bytes;
        }
        match &spec.group_by()[1..] {
            [] => Self::None,
            [only] if only.kind == KeyKind::Date => Self::Date,
            _ => Self::Bytes,
        }
    }
}

/// A tail, borrowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Tail<'a> {
    /// Of [`TailKind::None`] (always 0) and [`TailKind::Date`] (days since 1970-01-01).
    Ordinal(i64),
    /// Of [`TailKind::Bytes`].
    Bytes(&'a [u8]),
}

/// A key that does not decode: a damaged run, or one of another spec.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("a group key does not decode")]
pub struct BadKey;

/// Eight bytes that sort as `value` does.
#[inline]
pub fn encode_integer(value: i64) -> [u8; 8] {
    ((value as u64) ^ (1 << 63)).to_be_bytes()
}

/// The value of [`encode_integer`].
///
/// # Errors
/// [`BadKey`] unless `bytes` has length 8.
#[inline]
pub fn decode_integer(bytes: &[u8]) -> Result<i64, BadKey> {
    let bytes: [u8; 8] = bytes.try_into().map_err(|_| BadKey)?;
    Ok((u64::from_be_bytes(bytes) ^ (1 << 63)) as i64)
}

/// Appends `text` in a form that sorts as it does whatever follows: a zero byte becomes `00 FF`, the
/// end is `00 01`.
pub fn encode_text(text: &[u8], out: &mut Vec<u8>) {
    let mut rest = text;
    while let Some(zero) = memchr::memchr(0, rest) {
        out.extend_from_slice(&rest[..zero]);
        out.extend_from_slice(&[0, 0xff]);
        rest = &rest[zero + 1..];
    }
    out.extend_from_slice(rest);
    out.extend_from_slice(&[0, 1]);
}

/// Undoes [`encode_text`]: appends the text to `out` and returns what follows it.
///
/// # Errors
/// [`BadKey`] where the end mark is missing.
pub fn decode_text<'a>(bytes: &'a [u8], out: &mut Vec<u8>) -> Result<&'a [u8], BadKey> {
    let mut rest = bytes;
    loop {
        let zero = memchr::memchr(0, rest).ok_or(BadKey)?;
        out.extend_from_slice(&rest[..zero]);
        match rest.get(zero + 1) {
            Some(0xff) => out.push(0),
            Some(1) => return Ok(&rest[zero + 2..]),
            _ => return Err(BadKey),
        }
        rest = &rest[zero + 2..];
    }
}

/// Splits a [`TailKind::Bytes`] tail into its columns' values: `each` is called once for each of
/// `columns`, with the bare text or the 8 bytes of [`encode_integer`].
///
/// # Errors
/// [`BadKey`] where the tail does not fit the columns.
pub fn decode_tail(
    columns: &[KeyColumn],
    tail: &[u8],
    mut each: impl FnMut(KeyKind, &[u8]),
) -> Result<(), BadKey> {
    let mut rest = tail;
    let mut text = Vec::new();
    for (i, column) in columns.iter().enumerate() {
        let last = i + 1 == columns.len();
        match column.kind {
            KeyKind::Text if last => {
                each(KeyKind::Text, rest);
                rest = &[];
            }
            KeyKind::Text => {
                text.clear();
                rest = decode_text(rest, &mut text)?;
                each(KeyKind::Text, &text);
            }
            kind => {
                let (value, after) = rest.split_at_checked(8).ok_or(BadKey)?;
                each(kind, value);
                rest = after;
            }
        }
    }
    if rest.is_empty() { Ok(()) } else { Err(BadKey) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn integers_keep_their_order(a: i64, b: i64) {
            prop_assert_eq!(a.cmp(&b), encode_integer(a).cmp(&encode_integer(b)));
            prop_assert_eq!(decode_integer(&encode_integer(a)), Ok(a));
        }

        #[test]
        fn texts_keep_their_order_and_come_back(
            a in prop::collection::vec(0u8..4, 0..6),
            b in prop::collection::vec(0u8..4, 0..6),
            x: u8,
            y: u8,
        ) {
            let encode = |text: &[u8], next: u8| {
                let mut out = Vec::new();
                encode_text(text, &mut out);
                out.push(next);
                out
            };
            let expected = (&a, x).cmp(&(&b, y));
            prop_assert_eq!(encode(&a, x).cmp(&encode(&b, y)), expected);
            let (encoded, mut back) = (encode(&a, x), Vec::new());
            prop_assert_eq!(decode_text(&encoded, &mut back), Ok(&[x][..]));
            prop_assert_eq!(back, a);
        }
    }
}
