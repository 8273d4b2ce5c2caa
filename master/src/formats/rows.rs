//! The rows of a result, one after another, as its fields' bytes.

use std::io::{self, Read};

use tally_common::limits::MAX_RECORD_BYTES;
use tally_common::scan::{FieldIndex, Record, split, unquote};

use crate::spool::read_up_to;

/// Bytes that are read and split at once.
const WINDOW_BYTES: usize = 1 << 20;

/// Longest row, in bytes: a key of the longest record, with all of it quotes, which are doubled.
const MAX_ROW_BYTES: usize = 4 * MAX_RECORD_BYTES;

/// A row.
pub(super) struct Row<'a> {
    window: &'a [u8],
    record: Record<'a>,
}

impl Row<'_> {
    /// How many fields it has.
    pub(super) fn fields(&self) -> usize {
        self.record.fields()
    }

    /// A field's value; copied to `scratch` where it has quotes within.
    pub(super) fn field<'a>(&'a self, i: usize, scratch: &'a mut Vec<u8>) -> &'a [u8] {
        let (from, to) = self.record.field(i);
        unquote(&self.window[from..to], scratch)
    }
}

/// Calls `each` with every row of a result but its header, which must all have `fields` fields.
///
/// # Errors
/// What reading and `each` give; `InvalidData` where it is no result.
pub(super) fn each(
    mut csv: impl Read,
    fields: usize,
    mut each: impl FnMut(&Row<'_>) -> io::Result<()>,
) -> io::Result<()> {
    let mut index = FieldIndex::default();
    let mut buffer = vec![0; WINDOW_BYTES];
    let (mut held, mut header) = (0, true);
    loop {
        let read = read_up_to(&mut csv, &mut buffer[held..])?;
        let last = held + read < buffer.len();
        let window = &buffer[..held + read];
        let split = split(window, b',', last, &mut index);
        for i in usize::from(header)..index.len() {
            let row = Row { window, record: index.record(i, window) };
            if row.fields() != fields {
                let (found, what) = (row.fields(), "the file is not the result that it should be");
                let problem = format!("{what}: a row has {found} fields, and not {fields}");
                return Err(io::Error::new(io::ErrorKind::InvalidData, problem));
            }
            each(&row)?;
        }
        header = header && index.is_empty();
        if last {
            return Ok(());
        }
        let end = window.len();
        buffer.copy_within(split.consumed..end, 0);
        held = end - split.consumed;
        if held == buffer.len() {
            if held >= MAX_ROW_BYTES {
                let problem = "a row is longer than any can be";
                return Err(io::Error::new(io::ErrorKind::InvalidData, problem));
            }
            buffer.resize(2 * held, 0);
        }
    }
}
