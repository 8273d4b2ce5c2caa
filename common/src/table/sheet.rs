//! Operations as records of a CSV file: `op,message_id[,expected_version]` and columns of the table, in any
//! order. Splits no records: that is done by whoever has the file.

use serde_json::{Map, Value as Json};
use thiserror::Error;

use super::definition::Table;
use super::operation::OperationKind;
use crate::api::OperationDraft;
use crate::dialect::fold;
use crate::spec::KeyKind;

/// The header of a CSV of operations, as it fits a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OperationHeader {
    columns: Vec<Column>,
}

/// What a column of the file is.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Column {
    Op,
    MessageId,
    ExpectedVersion,
    /// A column of the table.
    Of {
        name: String,
        is_key: bool,
        /// An empty field of an add is nothing at all.
        empty_is_null: bool,
    },
}

/// Why a header is none of operations on its table.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum HeaderError {
    /// A column that must be there is not.
    #[error("the header needs the columns op and message_id, and has no {0}")]
    Missing(&'static str),
    /// The table has no such column.
    #[error("the table has no column {0:?}; it has {1}")]
    Unknown(String, String),
    /// A column is there twice.
    #[error("the header has {0:?} twice")]
    Twice(String),
}

/// Why a record is no operation.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum RecordError {
    /// It has another number of fields than the header.
    #[error("{found} fields, where the header has {expected}")]
    Fields {
        /// How many it has.
        found: usize,
        /// How many it should have.
        expected: usize,
    },
    /// It is not UTF-8.
    #[error("a field is not UTF-8")]
    Utf8,
    /// Its op is none.
    #[error("op is add, update or delete, not {0:?}")]
    Op(String),
    /// Its expected version is none.
    #[error("expected_version is a number or empty, not {0:?}")]
    Version(String),
}

/// Characters of a wrong field that an error shows.
const SHOWN_CHARS: usize = 40;

impl OperationHeader {
    /// Reads the fields of a header.
    ///
    /// # Errors
    /// [`HeaderError`].
    pub fn parse<'a>(
        table: &Table,
        names: impl Iterator<Item = &'a str>,
    ) -> Result<Self, HeaderError> {
        let mut columns = Vec::new();
        for name in names {
            let column = match fold(name).as_str() {
                "op" => Column::Op,
                "message_id" => Column::MessageId,
                "expected_version" => Column::ExpectedVersion,
                _ => {
                    let at = table.column(name).ok_or_else(|| {
                        let known: Vec<_> = table.columns().iter().map(|c| &*c.name).collect();
                        HeaderError::Unknown(name.to_owned(), known.join(", "))
                    })?;
                    let column = &table.columns()[at];
                    Column::Of {
                        name: column.name.clone(),
                        is_key: column.is_key,
                        empty_is_null: column.nullable && column.kind != KeyKind::Text,
                    }
                }
            };
            if columns.contains(&column) {
                return Err(HeaderError::Twice(name.to_owned()));
            }
            columns.push(column);
        }
        for (column, name) in [(Column::Op, "op"), (Column::MessageId, "message_id")] {
            if !columns.contains(&column) {
                return Err(HeaderError::Missing(name));
            }
        }
        Ok(Self { columns })
    }

    /// Reads a record. An empty field of an update or a delete sets nothing, but for the key's; of an add it
    /// is the empty text, or nothing where the column is no text and may be null.
    ///
    /// # Errors
    /// [`RecordError`], with the message id as far as it could be read.
    pub fn draft<'a>(
        &self,
        fields: impl ExactSizeIterator<Item = &'a [u8]>,
    ) -> Result<OperationDraft, (String, RecordError)> {
        let (found, expected) = (fields.len(), self.columns.len());
        let texts: Vec<_> = fields.map(std::str::from_utf8).collect();
        let at = |wanted: &Column| {
            let at = self.columns.iter().position(|column| column == wanted)?;
            texts.get(at)?.ok()
        };
        let message_id = at(&Column::MessageId).unwrap_or_default().to_owned();
        let fail = |error| Err((message_id.clone(), error));
        if found != expected {
            return fail(RecordError::Fields { found, expected });
        }
        let shown = |text: &str| text.chars().take(SHOWN_CHARS).collect::<String>();
        let op = at(&Column::Op).unwrap_or_default();
        let Some(op) = OperationKind::parse(&fold(op)) else {
            return fail(RecordError::Op(shown(op)));
        };
        let (mut row, mut expected_version) = (Map::new(), None);
        for (column, text) in self.columns.iter().zip(&texts) {
            let Ok(text) = text else { return fail(RecordError::Utf8) };
            match column {
                Column::Op | Column::MessageId => {}
                Column::ExpectedVersion if text.trim().is_empty() => {}
                Column::ExpectedVersion => match text.trim().parse() {
                    Ok(version) => expected_version = Some(version),
                    Err(_) => return fail(RecordError::Version(shown(text))),
                },
                Column::Of { name, is_key, empty_is_null } => {
                    let sets = match op {
                        _ if *is_key || !text.is_empty() => true,
                        OperationKind::Add => !empty_is_null,
                        OperationKind::Update | OperationKind::Delete => false,
                    };
                    if sets {
                        row.insert(name.clone(), Json::String((*text).to_owned()));
                    }
                }
            }
        }
        Ok(OperationDraft { message_id, op, key: None, row: Some(row), expected_version })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table::{Operation, TableColumn, TableDraft, Value};

    fn table() -> Table {
        let mut draft = TableDraft::products();
        let price = TableColumn { nullable: true, ..TableColumn::new("Price", KeyKind::Integer) };
        draft.columns.push(price);
        draft.try_into().unwrap()
    }

    fn read(header: &str, record: &str) -> Result<OperationDraft, (String, RecordError)> {
        let header = OperationHeader::parse(&table(), header.split(',')).unwrap();
        let fields: Vec<_> = record.split(',').map(str::as_bytes).collect();
        header.draft(fields.into_iter())
    }

    #[test]
    fn records_become_operations() {
        let table = table();
        let header = "Message_ID,op,sku,name,price,description,expected_version";
        let check = |record| Operation::check(&table, &read(header, record).unwrap()).unwrap();
        let text = |text: &str| Some(Value::Text(text.into()));
        let add = check("m1,add,s1,shoe,,,");
        assert_eq!(&*add.message_id, "m1");
        assert_eq!(*add.set, [text("shoe"), text("s1"), text(""), Some(Value::Null)]);
        let update = check("m2,UPDATE,s1,,-7,,3");
        assert_eq!(*update.set, [None, None, None, Some(Value::Integer(-7))]);
        assert_eq!(update.expected_version, Some(3));
        let delete = check("m3,delete,s1,,,,");
        assert_eq!((*delete.set).iter().flatten().count(), 0);
    }

    #[test]
    fn what_is_no_operation_keeps_its_message_id() {
        let header = "message_id,op,sku,expected_version";
        let wrong = |record| read(header, record).unwrap_err();
        let fields = RecordError::Fields { found: 2, expected: 4 };
        assert_eq!(wrong("a,add"), ("a".to_owned(), fields));
        assert_eq!(wrong("b,put,s,").1, RecordError::Op("put".to_owned()));
        assert_eq!(wrong("c,update,s,x").1, RecordError::Version("x".to_owned()));
        let parsed = OperationHeader::parse(&table(), header.split(',')).unwrap();
        let fields: [&[u8]; 4] = [b"d", b"add", b"\xff", b""];
        assert_eq!(
            parsed.draft(fields.into_iter()).unwrap_err(),
            ("d".to_owned(), RecordError::Utf8)
        );
    }

    #[test]
    fn headers_must_fit_the_table() {
        let parse = |header: &str| OperationHeader::parse(&table(), header.split(',')).unwrap_err();
        assert_eq!(parse("message_id,sku"), HeaderError::Missing("op"));
        assert_eq!(parse("op,sku"), HeaderError::Missing("message_id"));
        assert!(matches!(parse("op,message_id,colour"), HeaderError::Unknown(..)));
        assert_eq!(parse("op,message_id,sku, SKU"), HeaderError::Twice(" SKU".to_owned()));
    }
}
