//! Changes of rows that wait, in a file without a name: as many as there may be, they take no memory.

use std::fs::File;
use std::io::{self, BufReader, BufWriter, Read, Seek, Write};
use std::path::Path;

use tally_common::spec::{RowColumn, Spec, SpecDraft};
use tally_common::table::{Key, Row, Table, put_row, read_row};

use super::TablesError;
use crate::store::table::Stored;

/// Bytes that are read or written at a time.
const BUFFER: usize = 256 << 10;

/// What a change has of rows, as its first byte says it.
const BEFORE: u8 = 1;
const AFTER: u8 = 2;

/// A row that was, or none, becomes another, or none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Change {
    pub(super) before: Option<Stored>,
    pub(super) after: Option<Row>,
}

impl Change {
    /// The row as it was, and as it will be.
    pub(super) fn rows(&self) -> impl Iterator<Item = &Row> {
        self.before.iter().map(|stored| &stored.row).chain(&self.after)
    }

    /// The key that it is about.
    pub(super) fn key(&self, table: &Table) -> Key {
        // There is a row before or after.
        self.rows().next().map_or_else(|| Key(Box::default()), |row| table.key_of(row))
    }
}

/// Changes that are gathered.
pub(super) struct Stage {
    columns: Vec<RowColumn>,
    file: BufWriter<File>,
    row: Vec<u8>,
    changes: usize,
}

/// Changes that are taken out again, in the order in which they came.
pub(super) struct Staged {
    columns: Vec<RowColumn>,
    file: BufReader<File>,
    row: Vec<u8>,
}

impl Stage {
    pub(super) fn new(table: &Table, folder: &Path) -> Result<Self, TablesError> {
        let spec = Spec::try_from(SpecDraft::of_table(table));
        let columns = spec.ok().and_then(|spec| spec.rows().map(<[RowColumn]>::to_vec));
        // The spec of a table is right, and has its rows.
        let columns = columns.unwrap_or_default();
        let file = BufWriter::with_capacity(BUFFER, tempfile::tempfile_in(folder)?);
        Ok(Self { columns, file, row: Vec::new(), changes: 0 })
    }

    pub(super) fn push(&mut self, before: Option<&Stored>, after: Option<&Row>) -> io::Result<()> {
        let has = before.map_or(0, |_| BEFORE) | after.map_or(0, |_| AFTER);
        self.changes += 1;
        self.file.write_all(&[has])?;
        if let Some(stored) = before {
            for number in [stored.version, stored.added, stored.changed_ms] {
                self.file.write_all(&number.to_le_bytes())?;
            }
            self.push_row(&stored.row)?;
        }
        after.map_or(Ok(()), |row| self.push_row(row))
    }

    fn push_row(&mut self, row: &Row) -> io::Result<()> {
        self.row.clear();
        put_row(row, &mut self.row);
        self.file.write_all(&(self.row.len() as u64).to_le_bytes())?;
        self.file.write_all(&self.row)
    }

    /// How many there are.
    pub(super) fn changes(&self) -> usize {
        self.changes
    }

    pub(super) fn read(self) -> io::Result<Staged> {
        let mut file = self.file.into_inner().map_err(io::IntoInnerError::into_error)?;
        file.rewind()?;
        let file = BufReader::with_capacity(BUFFER, file);
        Ok(Staged { columns: self.columns, file, row: self.row })
    }
}

impl Staged {
    /// The next changes, at most so many; none where there are no more.
    pub(super) fn next(&mut self, most: usize) -> io::Result<Vec<Change>> {
        let mut changes = Vec::new();
        while changes.len() < most {
            let Some(change) = self.one()? else { break };
            changes.push(change);
        }
        Ok(changes)
    }

    /// The next one.
    pub(super) fn one(&mut self) -> io::Result<Option<Change>> {
        let mut has = [0];
        if self.file.read(&mut has)? == 0 {
            return Ok(None);
        }
        let before = if has[0] & BEFORE == 0 { None } else { Some(self.stored()?) };
        let after = if has[0] & AFTER == 0 { None } else { Some(self.row()?) };
        Ok(Some(Change { before, after }))
    }

    fn stored(&mut self) -> io::Result<Stored> {
        let (version, added, changed_ms) = (self.number()?, self.number()?, self.number()?);
        Ok(Stored { row: self.row()?, version, added, changed_ms })
    }

    fn number(&mut self) -> io::Result<u64> {
        let mut bytes = [0; 8];
        self.file.read_exact(&mut bytes)?;
        Ok(u64::from_le_bytes(bytes))
    }

    fn row(&mut self) -> io::Result<Row> {
        // As it was pushed: this process wrote the file, and nobody else has its name.
        let len = self.number()? as usize;
        self.row.resize(len, 0);
        self.file.read_exact(&mut self.row)?;
        read_row(&self.columns, &self.row)
            .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
    }
}

#[cfg(test)]
mod tests {
    use tally_common::table::{TableDraft, Value};

    use super::*;

    #[test]
    fn what_is_staged_comes_out_as_it_went_in() {
        let table = Table::try_from(TableDraft::plays()).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let row = |song: &str, day, plays| -> Row {
            [Value::Text(song.into()), Value::Date(day), Value::Integer(plays)].into()
        };
        let stored = |row| Stored { row, version: 7, added: 3, changed_ms: u64::MAX };
        let all = [
            Change { before: None, after: Some(row("a", -5, i64::MIN)) },
            Change { before: Some(stored(row("b", 0, 1))), after: Some(row("b", 0, i64::MAX)) },
            Change { before: Some(stored(row("", 9, 0))), after: None },
        ];
        let mut stage = Stage::new(&table, folder.path()).unwrap();
        for change in &all {
            stage.push(change.before.as_ref(), change.after.as_ref()).unwrap();
        }
        let mut staged = stage.read().unwrap();
        assert_eq!(staged.next(2).unwrap(), all[..2]);
        assert_eq!(staged.next(2).unwrap(), all[2..]);
        assert!(staged.next(2).unwrap().is_empty());
    }
}
