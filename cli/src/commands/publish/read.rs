//! Operations as people have them in files, as messages. CSV: the columns `op`, `message_id`, perhaps
//! `expected_version`, and those of the table; an empty field of an update or a delete sets nothing.

use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::path::Path;

use anyhow::Context;
use serde_json::{Map, Value};

use tally_common::api::OperationDraft;
use tally_common::table::OperationKind;

use super::outbox::Letter;
use crate::exit::Kind;

/// Bytes of a file that are read at a time.
const BUFFER_BYTES: usize = 256 << 10;

/// Reads a file to its end, or until `send` says that nobody wants more. Gives how many operations
/// there were.
pub(super) fn letters(
    file: &Path,
    batch: usize,
    table: Option<&str>,
    send: impl FnMut(Letter) -> bool,
) -> anyhow::Result<u64> {
    let shown = file.display().to_string();
    if file == Path::new("-") {
        let stdin = BufReader::with_capacity(BUFFER_BYTES, io::stdin().lock());
        return read(stdin, batch, table, send).context("stdin");
    }
    let open = File::open(file).with_context(|| shown.clone())?;
    read(BufReader::with_capacity(BUFFER_BYTES, open), batch, table, send).context(shown)
}

fn read(
    mut from: impl BufRead,
    batch: usize,
    table: Option<&str>,
    send: impl FnMut(Letter) -> bool,
) -> anyhow::Result<u64> {
    let mut packer = Packer { batch, table, send, drafts: Vec::new(), operations: 0 };
    let first = from.fill_buf()?.iter().copied().find(|byte| !byte.is_ascii_whitespace());
    match first {
        Some(b'{') => json(from, &mut packer)?,
        _ => csv(from, &mut packer)?,
    }
    packer.flush();
    Ok(packer.operations)
}

fn json<S: FnMut(Letter) -> bool>(
    from: impl BufRead,
    packer: &mut Packer<'_, S>,
) -> anyhow::Result<()> {
    for (number, line) in (1..).zip(from.lines()) {
        let line = line?;
        if line.trim().is_empty() {
            continue;
        }
        let draft = serde_json::from_str(&line).map_err(|error| bad(number, &error))?;
        if !packer.push(draft) {
            break;
        }
    }
    Ok(())
}

fn csv<S: FnMut(Letter) -> bool>(
    from: impl BufRead,
    packer: &mut Packer<'_, S>,
) -> anyhow::Result<()> {
    let mut reader = csv::Reader::from_reader(from);
    let header = reader.headers()?.clone();
    let names: Vec<&str> = header.iter().map(|name| name.trim_start_matches('\u{feff}')).collect();
    let find =
        |wanted: &str| names.iter().position(|name| name.trim().eq_ignore_ascii_case(wanted));
    let (Some(op), Some(id)) = (find("op"), find("message_id")) else {
        let needed = "the header of a CSV of operations needs the columns op and message_id";
        return Err(Kind::JobFailed.error(needed));
    };
    let version = find("expected_version");
    for record in reader.records() {
        let record = record?;
        let line = record.position().map_or(0, csv::Position::line);
        let kind = OperationKind::parse(&record[op].trim().to_ascii_lowercase());
        let kind = kind.ok_or_else(|| bad(line, &"op is add, update or delete"))?;
        let expected_version = match version.map(|at| record[at].trim()).filter(|v| !v.is_empty()) {
            Some(text) => {
                Some(text.parse().map_err(|_| bad(line, &"expected_version is a number"))?)
            }
            None => None,
        };
        let mut row = Map::new();
        for (at, (name, field)) in names.iter().zip(&record).enumerate() {
            let own = at == op || at == id || Some(at) == version;
            if !own && (kind == OperationKind::Add || !field.is_empty()) {
                row.insert((*name).to_owned(), Value::String(field.to_owned()));
            }
        }
        let message_id = record[id].to_owned();
        let draft =
            OperationDraft { message_id, op: kind, key: None, row: Some(row), expected_version };
        if draft.message_id.is_empty() {
            return Err(bad(line, &"the message_id is empty"));
        }
        if !packer.push(draft) {
            break;
        }
    }
    Ok(())
}

fn bad(line: u64, error: &dyn std::fmt::Display) -> anyhow::Error {
    Kind::JobFailed.error(format!("line {line}: {error}; nothing from there on was sent"))
}

/// Puts operations into messages.
struct Packer<'a, S> {
    batch: usize,
    table: Option<&'a str>,
    send: S,
    drafts: Vec<OperationDraft>,
    operations: u64,
}

impl<S: FnMut(Letter) -> bool> Packer<'_, S> {
    /// `false` where nobody wants more.
    fn push(&mut self, draft: OperationDraft) -> bool {
        self.drafts.push(draft);
        self.operations += 1;
        self.drafts.len() < self.batch || self.flush()
    }

    fn flush(&mut self) -> bool {
        let drafts = std::mem::take(&mut self.drafts);
        let Some(first) = drafts.first() else { return true };
        let message_id = first.message_id.clone();
        let mut body = Vec::new();
        for draft in &drafts {
            // Into memory, of what came from text: nothing that could fail.
            body.extend(serde_json::to_vec(draft).unwrap_or_default());
            body.push(b'\n');
        }
        let content_type =
            if drafts.len() == 1 { "application/json" } else { "application/x-ndjson" };
        let headers = self.table.iter().map(|table| ("table", (*table).to_owned())).collect();
        (self.send)(Letter { body, message_id, content_type, headers })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(text: &str, batch: usize) -> anyhow::Result<Vec<(String, Vec<OperationDraft>)>> {
        let mut letters = Vec::new();
        let found = read(text.as_bytes(), batch, Some("t"), |letter| {
            letters.push(letter);
            true
        })?;
        let letters: Vec<_> = letters
            .into_iter()
            .map(|letter| {
                assert_eq!(letter.headers, [("table", "t".to_owned())]);
                let lines =
                    letter.body.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
                let drafts: Vec<OperationDraft> =
                    lines.map(|line| serde_json::from_slice(line).unwrap()).collect();
                (letter.message_id, drafts)
            })
            .collect();
        assert_eq!(found as usize, letters.iter().map(|(_, drafts)| drafts.len()).sum::<usize>());
        Ok(letters)
    }

    #[test]
    fn csv_becomes_operations() {
        let text = "\u{feff}op,message_id,expected_version,sku,name\n\
            add,m1,,s1,\"shoe, red\"\nUpdate,m2,3,s1,\ndelete,m3,,s1,\n";
        let letters = all(text, 2).unwrap();
        assert_eq!(letters.len(), 2);
        assert_eq!((&*letters[0].0, letters[0].1.len()), ("m1", 2));
        let row = |draft: &OperationDraft| serde_json::to_string(&draft.row).unwrap();
        assert_eq!(row(&letters[0].1[0]), r#"{"name":"shoe, red","sku":"s1"}"#);
        assert_eq!(row(&letters[0].1[1]), r#"{"sku":"s1"}"#);
        assert_eq!(letters[0].1[1].expected_version, Some(3));
        assert_eq!(letters[1].1[0].op, OperationKind::Delete);
    }

    #[test]
    fn json_lines_become_operations() {
        let text = "{\"message_id\":\"a\",\"op\":\"delete\",\"key\":\"x\"}\n\n\
            {\"message_id\":\"b\",\"op\":\"delete\",\"key\":7}\n";
        let ids: Vec<_> = all(text, 1).unwrap().into_iter().map(|(id, _)| id).collect();
        assert_eq!(ids, ["a", "b"]);
    }

    #[test]
    fn mistakes_name_their_line() {
        for (text, word) in [
            ("op,sku\nadd,s\n", "message_id"),
            ("op,message_id\nput,m\n", "line 2"),
            ("op,message_id\nadd,\n", "line 2"),
            ("op,message_id,expected_version\nadd,a,\nupdate,m,x\n", "line 3"),
            ("{\"message_id\":\"a\",\"op\":\"delete\"}\n{\"op\":\"delete\"}\n", "line 2"),
        ] {
            let error = format!("{:#}", all(text, 1).unwrap_err());
            assert!(error.contains(word), "{text}: {error}");
        }
    }
}
