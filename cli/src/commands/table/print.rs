//! How rows are shown: to people as a table, else as CSV.

use std::io::{self, IsTerminal, Write};

use comfy_table::{Table, presets};
use serde_json::Value;

use tally_common::value::write_text;

/// Whether people look at what is printed.
pub(super) fn for_people() -> bool {
    io::stdout().is_terminal()
}

/// Lines with a header.
pub(super) fn lines(header: &[&str], rows: impl Iterator<Item = Vec<String>>) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_header(header.to_vec());
    for row in rows {
        // What a row holds is not to move the cursor.
        table.add_row(row.iter().map(|text| text.replace(|c: char| c.is_control(), "\u{fffd}")));
    }
    table.to_string()
}

/// A value as a field shows it; nothing as nothing.
pub(super) fn text(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// Appends a record of a CSV.
pub(super) fn record<T: AsRef<[u8]>>(fields: impl Iterator<Item = T>, out: &mut Vec<u8>) {
    for (i, field) in fields.enumerate() {
        if i > 0 {
            out.push(b',');
        }
        write_text(field.as_ref(), out);
    }
    out.push(b'\n');
}

/// Rows: to people as a table, else as CSV.
pub(super) fn rows(header: &[&str], rows: Vec<Vec<String>>) -> anyhow::Result<()> {
    if for_people() {
        return print(format!("{}\n", lines(header, rows.into_iter())).as_bytes());
    }
    let mut csv = Vec::new();
    record(header.iter(), &mut csv);
    rows.iter().for_each(|row| record(row.iter(), &mut csv));
    print(&csv)
}

/// Writes to stdout.
pub(super) fn print(text: &[u8]) -> anyhow::Result<()> {
    let mut out = io::stdout().lock();
    match out.write_all(text).and_then(|()| out.flush()) {
        // The reader has seen enough.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        written => Ok(written?),
    }
}
