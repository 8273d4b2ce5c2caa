//! Arrow and Parquet: batches of columns. Texts are `Utf8`, dates `Date32`, all else is `Int64`.

use std::io::{self, Read, Write};
use std::sync::Arc;

use arrow_array::builder::{Date32Builder, Int64Builder, StringBuilder};
use arrow_array::{ArrayRef, RecordBatch};
use arrow_ipc::writer::StreamWriter;
use arrow_schema::{ArrowError, DataType, Field, Schema, SchemaRef};
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::errors::ParquetError;
use parquet::file::properties::WriterProperties;

use tally_common::reject::RejectReason;
use tally_common::spec::{KeyKind, SpecDraft};
use tally_common::value::{parse_date, parse_integer};

use super::rows::{self, Row};

/// Rows in a batch: what readers take at once.
const BATCH_ROWS: usize = 64 << 10;

/// Bytes of texts in a batch, so that long ones do not fill memory.
const BATCH_BYTES: usize = 16 << 20;

/// Bytes of a row group of Parquet that are held until it is written, roughly: readers want large ones,
/// and each download holds one.
const ROW_GROUP_BYTES: usize = 32 << 20;

/// Rows in a row group at most.
const ROW_GROUP_ROWS: usize = 1 << 20;

/// Writes a result as an Arrow IPC stream.
pub(super) fn write_arrow(csv: impl Read, spec: &SpecDraft, out: impl Write) -> io::Result<()> {
    let schema = schema(spec);
    let mut writer = StreamWriter::try_new(out, &schema).map_err(of_arrow)?;
    batches(csv, spec, &schema, |batch| writer.write(batch).map_err(of_arrow))?;
    writer.finish().map_err(of_arrow)
}

/// Writes a result as a Parquet file.
pub(super) fn write_parquet(
    csv: impl Read,
    spec: &SpecDraft,
    out: impl Write + Send,
) -> io::Result<()> {
    let schema = schema(spec);
    let properties = WriterProperties::builder()
        .set_compression(Compression::ZSTD(ZstdLevel::default()))
        .set_max_row_group_row_count(Some(ROW_GROUP_ROWS))
        .build();
    let mut writer =
        ArrowWriter::try_new(out, Arc::clone(&schema), Some(properties)).map_err(of_parquet)?;
    batches(csv, spec, &schema, |batch| {
        writer.write(batch).map_err(of_parquet)?;
        let held = writer.in_progress_size().max(writer.memory_size());
        if held >= ROW_GROUP_BYTES { writer.flush().map_err(of_parquet) } else { Ok(()) }
    })?;
    writer.close().map(drop).map_err(of_parquet)
}

fn schema(spec: &SpecDraft) -> SchemaRef {
    let keys = spec.group_by.iter().map(|key| {
        let kind = match key.kind {
            KeyKind::Text => DataType::Utf8,
            KeyKind::Integer => DataType::Int64,
            KeyKind::Date => DataType::Date32,
        };
        Field::new(&key.name, kind, false)
    });
    let values =
        spec.aggregates.iter().map(|value| Field::new(&value.name, DataType::Int64, false));
    Arc::new(Schema::new(keys.chain(values).collect::<Vec<_>>()))
}

/// A column that is being filled.
enum Column {
    Text(StringBuilder),
    Integer(Int64Builder),
    Date(Date32Builder),
}

impl Column {
    fn new(kind: &DataType) -> Self {
        match kind {
            DataType::Utf8 => Self::Text(StringBuilder::new()),
            DataType::Date32 => Self::Date(Date32Builder::with_capacity(BATCH_ROWS)),
            _ => Self::Integer(Int64Builder::with_capacity(BATCH_ROWS)),
        }
    }

    fn push(&mut self, value: &[u8]) -> Result<(), RejectReason> {
        match self {
            Self::Text(texts) => texts.append_value(String::from_utf8_lossy(value)),
            Self::Integer(integers) => integers.append_value(parse_integer(value)?),
            Self::Date(dates) => dates.append_value(parse_date(value)?),
        }
        Ok(())
    }

    fn finish(&mut self) -> ArrayRef {
        match self {
            Self::Text(texts) => Arc::new(texts.finish()),
            Self::Integer(integers) => Arc::new(integers.finish()),
            Self::Date(dates) => Arc::new(dates.finish()),
        }
    }
}

fn batches(
    csv: impl Read,
    spec: &SpecDraft,
    schema: &SchemaRef,
    mut each: impl FnMut(&RecordBatch) -> io::Result<()>,
) -> io::Result<()> {
    let fields = schema.fields().iter();
    let mut columns: Vec<_> = fields.map(|field| Column::new(field.data_type())).collect();
    let (mut count, mut bytes, mut scratch) = (0, 0, Vec::new());
    let mut take = |columns: &mut [Column]| {
        let arrays = columns.iter_mut().map(Column::finish).collect();
        each(&RecordBatch::try_new(Arc::clone(schema), arrays).map_err(of_arrow)?)
    };
    let texts = spec.group_by.len();
    rows::each(csv, columns.len(), |row: &Row<'_>| {
        for (i, column) in columns.iter_mut().enumerate() {
            let value = row.field(i, &mut scratch);
            bytes += if i < texts { value.len() } else { 0 };
            column.push(value).map_err(|reason| {
                io::Error::new(io::ErrorKind::InvalidData, format!("a result has {reason}"))
            })?;
        }
        count += 1;
        if count == BATCH_ROWS || bytes >= BATCH_BYTES {
            take(&mut columns)?;
            (count, bytes) = (0, 0);
        }
        Ok(())
    })?;
    if count > 0 { take(&mut columns) } else { Ok(()) }
}

fn of_arrow(error: ArrowError) -> io::Error {
    match error {
        ArrowError::IoError(_, error) => error,
        error => io::Error::other(error),
    }
}

fn of_parquet(error: ParquetError) -> io::Error {
    match error {
        ParquetError::External(error) => match error.downcast::<io::Error>() {
            Ok(error) => *error,
            Err(error) => io::Error::other(error),
        },
        error => io::Error::other(error),
    }
}
