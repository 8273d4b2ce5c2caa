//! Operations from a file: CSV or JSON lines. Reads as much as is wanted, and never all of it.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;

use anyhow::Context;
use csv::{ByteRecord, ReaderBuilder};
use prost::Message;

use tally_common::api::{OperationDraft, OperationResult, Outcome, TableView};
use tally_common::table::{OperationHeader, Table, TableDraft};
use tally_proto::convert::operation_to_wire;
use tally_proto::v1::Operation;

use crate::exit::Kind;
use crate::output::is_dash;

/// Bytes of operations that are sent at once, and may be exceeded by one of them.
const BATCH_BYTES: usize = 4 << 20;

/// Longest line, in bytes.
const MAX_LINE_BYTES: u64 = 16 << 20;

/// What Excel puts before a CSV.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// Operations that are sent at once.
#[derive(Debug, Default)]
pub(super) struct Batch {
    /// Those that can be sent.
    pub(super) operations: Vec<Operation>,
    /// For each operation of the file what came of it, where it can not be sent.
    places: Vec<Option<OperationResult>>,
}

impl Batch {
    /// The answers in the order of the file; `None` where there are not as many as there must be.
    pub(super) fn answers(self, answers: Vec<OperationResult>) -> Option<Vec<OperationResult>> {
        if answers.len() != self.operations.len() {
            return None;
        }
        let mut answers = answers.into_iter();
        self.places.into_iter().map(|place| place.or_else(|| answers.next())).collect()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.places.is_empty()
    }
}

/// A file of operations.
pub(super) enum Operations {
    Csv { reader: csv::Reader<Box<dyn BufRead>>, header: OperationHeader, record: ByteRecord },
    Lines { reader: Box<dyn BufRead>, number: u64 },
}

impl Operations {
    /// Opens a file; what is in it is known by its name, else by how it begins.
    pub(super) fn open(path: &Path, table: &TableView) -> anyhow::Result<Self> {
        let shown = path.display();
        let file: Box<dyn Read> = match is_dash(path) {
            true => Box::new(io::stdin()),
            false => Box::new(File::open(path).map_err(|error| {
                Kind::JobFailed.error(format!("{shown} can not be read: {error}"))
            })?),
        };
        let reader: Box<dyn BufRead> = Box::new(BufReader::with_capacity(1 << 20, file));
        let name = path.extension().and_then(|name| name.to_str()).map(str::to_ascii_lowercase);
        Self::of(reader, name.as_deref(), table)
            .map_err(|error| Kind::JobFailed.error(format!("{shown}: {error:#}")))
    }

    fn of(
        mut reader: Box<dyn BufRead>,
        extension: Option<&str>,
        table: &TableView,
    ) -> anyhow::Result<Self> {
        if reader.fill_buf()?.starts_with(BYTE_ORDER_MARK) {
            reader.consume(BYTE_ORDER_MARK.len());
        }
        let begins = reader.fill_buf()?.iter().find(|byte| !byte.is_ascii_whitespace()).copied();
        let lines = match extension {
            Some("csv") => false,
            Some("ndjson" | "jsonl") => true,
            _ => begins == Some(b'{'),
        };
        if lines {
            return Ok(Self::Lines { reader, number: 0 });
        }
        let draft = TableDraft {
            name: table.name.clone(),
            key: table.key.clone(),
            columns: table.columns.clone(),
            aggregates: table.aggregates.clone(),
        };
        let table = Table::try_from(draft).context("the master's answer makes no sense")?;
        let mut reader = ReaderBuilder::new().has_headers(false).flexible(true).from_reader(reader);
        let mut record = ByteRecord::new();
        if !reader.read_byte_record(&mut record)? {
            anyhow::bail!("there is nothing in it, not even a header");
        }
        let names = record.iter().map(std::str::from_utf8).collect::<Result<Vec<_>, _>>();
        let names = names.context("the header is not UTF-8")?;
        let header = OperationHeader::parse(&table, names.into_iter())?;
        Ok(Self::Csv { reader, header, record })
    }

    /// The next operations, at most so many; an empty batch at the end.
    pub(super) fn batch(&mut self, most: usize) -> anyhow::Result<Batch> {
        let (mut batch, mut bytes) = (Batch::default(), 0);
        while batch.places.len() < most && bytes < BATCH_BYTES {
            match self.next()? {
                None => break,
                Some(Ok(draft)) => {
                    let operation = operation_to_wire(&draft);
                    bytes += operation.encoded_len();
                    batch.operations.push(operation);
                    batch.places.push(None);
                }
                Some(Err(answer)) => batch.places.push(Some(answer)),
            }
        }
        Ok(batch)
    }

    /// The next operation, or the answer to one that is none.
    fn next(&mut self) -> anyhow::Result<Option<Result<OperationDraft, OperationResult>>> {
        match self {
            Self::Csv { reader, header, record } => {
                if !reader.read_byte_record(record)? {
                    return Ok(None);
                }
                let line = record.position().map_or(0, csv::Position::line);
                let fields: Vec<_> = record.iter().collect();
                let draft = header.draft(fields.into_iter());
                Ok(Some(draft.map_err(|(message_id, error)| invalid(message_id, line, &error))))
            }
            Self::Lines { reader, number } => loop {
                let mut line = Vec::new();
                let read = reader.take(MAX_LINE_BYTES).read_until(b'\n', &mut line)?;
                if read == 0 {
                    return Ok(None);
                }
                *number += 1;
                if read as u64 == MAX_LINE_BYTES && !line.ends_with(b"\n") {
                    anyhow::bail!("line {number} is longer than {MAX_LINE_BYTES} bytes");
                }
                if line.iter().all(u8::is_ascii_whitespace) {
                    continue;
                }
                return Ok(Some(serde_json::from_slice(&line).map_err(|error| {
                    let json: serde_json::Value = serde_json::from_slice(&line).unwrap_or_default();
                    let message_id = json["message_id"].as_str().unwrap_or_default().to_owned();
                    invalid(message_id, *number, &error)
                })));
            },
        }
    }
}

fn invalid(message_id: String, line: u64, error: &dyn std::fmt::Display) -> OperationResult {
    let problem = Some(format!("line {line}: {error}"));
    let (outcome, version) = (Outcome::Invalid, None);
    OperationResult { message_id, outcome, version, repeated: false, problem }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &'static str, most: usize) -> Vec<(usize, usize)> {
        let TableDraft { name, key, columns, aggregates } = TableDraft::products();
        let (rows, version, created_at) = (0, 0, String::new());
        let table = TableView { name, key, columns, aggregates, rows, version, created_at };
        let mut file = Operations::of(Box::new(text.as_bytes()), None, &table).unwrap();
        let mut batches = Vec::new();
        loop {
            let batch = file.batch(most).unwrap();
            if batch.is_empty() {
                return batches;
            }
            batches.push((batch.operations.len(), batch.places.len()));
        }
    }

    #[test]
    fn files_are_known_by_how_they_begin() {
        let csv = "op,message_id,sku\ndelete,a,s\nput,b,s\ndelete,c,s\n";
        assert_eq!(read(csv, 2), [(1, 2), (1, 1)]);
        let lines = "\n{\"message_id\":\"a\",\"op\":\"delete\",\"key\":\"s\"}\n\n{\"op\":1}\nx";
        assert_eq!(read(lines, 9), [(1, 3)]);
    }

    #[test]
    fn answers_come_in_the_order_of_the_file() {
        let answer = |id: &str| invalid(id.to_owned(), 1, &"x");
        let batch = Batch {
            operations: vec![Operation::default(), Operation::default()],
            places: vec![None, Some(answer("b")), None],
        };
        let answers = batch.answers(vec![answer("a"), answer("c")]).unwrap();
        let ids: Vec<_> = answers.iter().map(|answer| answer.message_id.as_str()).collect();
        assert_eq!(ids, ["a", "b", "c"]);
        let batch = Batch { operations: vec![Operation::default()], places: vec![None] };
        assert!(batch.answers(Vec::new()).is_none());
    }
}
