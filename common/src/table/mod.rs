//! Tables: keyed rows that live on, and the operations that change them.
//!
//! A [`TableDraft`] is what people write (JSON, flags, a file's header); a [`Table`] is one that has been
//! checked, and the only one that the rest of Tally takes.

mod definition;
mod encode;
mod infer;
mod operation;
mod sheet;
mod value;

pub use definition::{AggregateDraft, Table, TableAggregate, TableColumn, TableDraft, TableError};
pub use encode::{BadRow, RowTail, put_date, put_integer, put_null, put_row, put_text, read_row};
pub use infer::{INFER_BYTES, infer, infer_from};
pub use operation::{Operation, OperationError, OperationKind};
pub use sheet::{HeaderError, OperationHeader, RecordError};
pub use value::{Key, Row, Value, ValueError};
