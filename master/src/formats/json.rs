//! JSON lines: an object for each row, integers as numbers, all else as text.

use std::io::{self, Read, Write};

use tally_common::spec::{KeyKind, SpecDraft};

use super::rows;

/// Bytes that are gathered before they are written.
const GATHER_BYTES: usize = 256 << 10;

/// Writes a result as JSON lines.
pub(super) fn write(csv: impl Read, spec: &SpecDraft, out: &mut impl Write) -> io::Result<()> {
    let columns = columns(spec)?;
    let (mut lines, mut scratch) = (Vec::with_capacity(2 * GATHER_BYTES), Vec::new());
    rows::each(csv, columns.len(), |row| {
        for (i, (name, is_number)) in columns.iter().enumerate() {
            lines.extend_from_slice(name);
            let value = row.field(i, &mut scratch);
            if *is_number {
                // As it was written: a JSON number, which fits 64 bits.
                lines.extend_from_slice(value);
            } else {
                serde_json::to_writer(&mut lines, &String::from_utf8_lossy(value))?;
            }
        }
        lines.extend_from_slice(b"}\n");
        if lines.len() >= GATHER_BYTES {
            out.write_all(&lines)?;
            lines.clear();
        }
        Ok(())
    })?;
    out.write_all(&lines)
}

/// For each column what comes before its value, and whether that is a number.
fn columns(spec: &SpecDraft) -> io::Result<Vec<(Vec<u8>, bool)>> {
    let keys = spec.group_by.iter().map(|key| (&key.name, key.kind == KeyKind::Integer));
    let values = spec.aggregates.iter().map(|aggregate| (&aggregate.name, true));
    let named = (0..).zip(keys.chain(values)).map(|(i, (name, is_number))| {
        let before = if i == 0 { b"{" } else { b"," };
        let mut text = before.to_vec();
        serde_json::to_writer(&mut text, name)?;
        text.push(b':');
        Ok((text, is_number))
    });
    named.collect()
}
