//! What table a file would fill, from its first bytes.

use super::definition::{Table, TableColumn, TableDraft, TableError};
use crate::dialect::{Delimiter, fold, read_names};
use crate::limits::MAX_TABLE_COLUMNS;
use crate::scan::{FieldIndex, split, unquote};
use crate::spec::{KeyColumn, KeyKind, Spec, SpecDraft};
use crate::value::{format_date, parse_date, parse_integer, write_integer};

/// Bytes of a file, plain, from which its columns are told. A shorter sample is the whole file.
pub const INFER_BYTES: usize = 256 << 10;

/// Proposes a table for a file: its columns from the header, an integer or date column where every value
/// of the sample is one as it would be written back, anything else text. Key columns with an
/// integer-looking sample stay text: a sku is a name, even where all that were seen have digits only.
///
/// # Errors
/// [`TableError::Header`] where there is no header; [`TableError::NoColumn`] where a key is not in it.
pub fn infer(name: &str, key: &[String], sample: &[u8]) -> Result<TableDraft, TableError> {
    infer_from(name, key, None, sample)
}

/// The same for a file whose delimiter may be known.
///
/// # Errors
/// As [`infer`].
pub fn infer_from(
    name: &str,
    key: &[String],
    delimiter: Option<Delimiter>,
    sample: &[u8],
) -> Result<TableDraft, TableError> {
    let whole = sample.len() < INFER_BYTES;
    let header =
        |problem: String| TableError::Header(format!("no table can be made of it: {problem}"));
    let group_by = key.iter().map(|name| KeyColumn { name: name.clone(), kind: KeyKind::Text });
    let spec = SpecDraft { group_by: group_by.collect(), delimiter, ..SpecDraft::default() };
    if key.is_empty() {
        return Err(TableError::NoKey);
    }
    let spec = Spec::try_from(spec).map_err(|error| header(error.to_string()))?;
    let names = read_names(sample, whole, &spec).map_err(|error| header(error.to_string()))?;
    let names = names.ok_or_else(|| {
        header(format!("its header is longer than the first {INFER_BYTES} bytes"))
    })?;
    check_names(&names.names)?;
    let mut columns: Vec<TableColumn> =
        names.names.iter().map(|name| TableColumn::new(name, KeyKind::Text)).collect();
    let is_key = |name: &str| key.iter().any(|key| fold(key) == fold(name));
    let body = &sample[names.body as usize..];
    let guesses = look(body, names.delimiter, columns.len(), whole);
    for (column, guess) in columns.iter_mut().zip(guesses) {
        if !is_key(&column.name) {
            (column.kind, column.nullable) = guess.column();
        }
    }
    // As the header has them, so that they are shown in one way.
    let key = key.iter().map(|key| {
        let found = columns.iter().find(|column| fold(&column.name) == fold(key));
        found.map(|column| column.name.clone()).ok_or_else(|| TableError::NoColumn(key.clone()))
    });
    let key = key.collect::<Result<Vec<_>, _>>()?;
    let draft = TableDraft { name: name.to_owned(), key, columns, aggregates: Vec::new() };
    // What is wrong with the names is said before a byte of the file is taken in.
    Table::try_from(draft.clone())?;
    Ok(draft)
}

/// Refuses what the table would refuse, in words about the file.
fn check_names(names: &[String]) -> Result<(), TableError> {
    if names.len() > MAX_TABLE_COLUMNS {
        return Err(TableError::TooMany {
            what: "columns",
            max: MAX_TABLE_COLUMNS,
            found: names.len(),
        });
    }
    match names.iter().position(String::is_empty) {
        None => Ok(()),
        Some(at) => {
            let problem = format!(
                "column {} of the file's header has no name; name it, or declare the table without it",
                at + 1
            );
            Err(TableError::Header(problem))
        }
    }
}

/// What the values of a column have been so far.
#[derive(Clone, Copy)]
struct Guess {
    integer: bool,
    date: bool,
    filled: bool,
    empty: bool,
}

impl Guess {
    const NEW: Self = Self { integer: true, date: true, filled: false, empty: false };

    fn see(&mut self, field: &[u8], scratch: &mut Vec<u8>) {
        if field.is_empty() {
            self.empty = true;
            return;
        }
        self.filled = true;
        if self.integer {
            scratch.clear();
            self.integer = parse_integer(field).is_ok_and(|value| {
                write_integer(value, scratch);
                scratch == field
            });
        }
        if self.date {
            self.date = parse_date(field).is_ok_and(|day| format_date(day) == field);
        }
    }

    /// Its kind, and whether it may be null.
    fn column(self) -> (KeyKind, bool) {
        match self {
            Self { filled: true, integer: true, .. } => (KeyKind::Integer, self.empty),
            Self { filled: true, date: true, .. } => (KeyKind::Date, self.empty),
            _ => (KeyKind::Text, false),
        }
    }
}

/// Looks at the records of a sample; a last one that is not whole does not count.
fn look(body: &[u8], delimiter: Delimiter, columns: usize, whole: bool) -> Vec<Guess> {
    let mut guesses = vec![Guess::NEW; columns];
    let mut index = FieldIndex::default();
    let seen = split(body, delimiter.byte(), whole, &mut index);
    let records = index.len() - usize::from(seen.unterminated);
    let (mut unquoted, mut scratch) = (Vec::new(), Vec::new());
    for record in (0..records).map(|r| index.record(r, body)) {
        if record.fields() != columns || record.is_blank() {
            continue;
        }
        for (i, guess) in guesses.iter_mut().enumerate() {
            let (start, end) = record.field(i);
            guess.see(unquote(&body[start..end], &mut unquoted), &mut scratch);
        }
    }
    guesses
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    fn fails(key: &[&str], sample: &str) -> String {
        infer("things", &keys(key), sample.as_bytes()).unwrap_err().to_string()
    }

    fn kinds(draft: &TableDraft) -> Vec<(&str, KeyKind, bool)> {
        draft.columns.iter().map(|c| (c.name.as_str(), c.kind, c.nullable)).collect()
    }

    #[test]
    fn columns_are_what_all_their_values_are() {
        let sample = "Sku; plain ;Zip;Made;Sold;Note;Nothing\r\n\
            1;5;007;2020-01-02;;x;\r\n\
            2;-6;008;2020-01-03;2020-02-29;;\r\n\
            3;\"7\";09;2020-01-04;;\"y;z\";\r\n\
            ragged;8\r\n\
            4;8;1;2020-01-05;;5;";
        let draft = infer("things", &keys(&[" sku"]), sample.as_bytes()).unwrap();
        assert_eq!(draft.key, ["Sku"]);
        let expected = [
            ("Sku", KeyKind::Text, false),
            ("plain", KeyKind::Integer, false),
            ("Zip", KeyKind::Text, false),
            ("Made", KeyKind::Date, false),
            ("Sold", KeyKind::Date, true),
            ("Note", KeyKind::Text, false),
            ("Nothing", KeyKind::Text, false),
        ];
        assert_eq!(kinds(&draft), expected);
    }

    #[test]
    fn keys_stay_text_and_what_is_cut_off_does_not_count() {
        let mut sample = b"a,b,c\n1,2,2020-01-01\n".to_vec();
        while sample.len() < INFER_BYTES {
            sample.extend_from_slice(b"1,2,2020-01-01\n");
        }
        sample.extend_from_slice(b"1,2,2020-0");
        let draft = infer("things", &keys(&["a", "c"]), &sample).unwrap();
        let expected = [
            ("a", KeyKind::Text, false),
            ("b", KeyKind::Integer, false),
            ("c", KeyKind::Text, false),
        ];
        assert_eq!(kinds(&draft), expected);
    }

    #[test]
    fn a_delimiter_that_is_given_holds() {
        let given = infer_from("things", &keys(&["a"]), Some(Delimiter::Pipe), b"a|b,c\n1|2\n");
        assert_eq!(given.unwrap().columns[1].name, "b,c");
    }

    #[test]
    fn what_makes_no_table_is_refused_in_words() {
        assert!(fails(&["sku"], "").contains("empty"));
        assert_eq!(fails(&["sku"], "a,b\n"), "there is no column \"sku\" in the table");
        assert!(fails(&[], "a,b\n").contains("key column"));
        assert!(fails(&["a"], "a,,b\n").contains("column 2 of the file's header has no name"));
        assert!(fails(&["a"], "a,b,B\n").contains("twice"));
        assert!(fails(&["a"], "a,_b\n").contains("\"_b\" can not be a column"));
        assert!(fails(&["a"], &format!("a,{}\n", "b".repeat(64))).contains("can not be a column"));
        let many: Vec<_> = (0..65).map(|i| format!("c{i}")).collect();
        assert!(fails(&["c1"], &many.join(",")).contains("at most 64 columns"));
        assert!(infer("Things", &keys(&["a"]), b"a\n").is_err());
    }
}
