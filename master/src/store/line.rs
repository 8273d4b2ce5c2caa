//! Rows of a query, read by the names of their columns, whichever database they come from.

use tally_common::spec::KeyKind;
use tally_common::table::Value;

use super::{Param, Store, StoreError};

/// The columns of a query, in order.
pub(super) type Columns = &'static [(&'static str, KeyKind)];

/// A row.
pub(super) struct Line {
    columns: Columns,
    values: Vec<Value>,
}

/// A query for columns.
pub(super) fn select(columns: Columns, from: &str) -> String {
    let names: Vec<&str> = columns.iter().map(|(name, _)| *name).collect();
    format!("select {} {from}", names.join(", "))
}

/// What a query finds.
pub(super) async fn lines(
    store: &Store,
    sql: String,
    params: &[Param],
    columns: Columns,
) -> Result<Vec<Line>, StoreError> {
    let kinds: Vec<KeyKind> = columns.iter().map(|(_, kind)| *kind).collect();
    let found = store.db().query(sql, params, &kinds).await?;
    Ok(found.into_iter().map(|values| Line { columns, values }).collect())
}

impl Line {
    fn value(&self, column: &str) -> Result<&Value, StoreError> {
        let at = self.columns.iter().position(|(name, _)| *name == column);
        let value = at.and_then(|at| self.values.get(at));
        value.ok_or_else(|| StoreError::nonsense("a row", format!("it has no column {column}")))
    }

    /// A number, if there is one.
    pub(super) fn maybe_number(&self, column: &str) -> Result<Option<u64>, StoreError> {
        let wrong =
            |problem: String| StoreError::nonsense("a number", format!("{column}: {problem}"));
        match self.value(column)? {
            Value::Null => Ok(None),
            Value::Integer(n) => u64::try_from(*n).map(Some).map_err(|_| wrong(n.to_string())),
            other => Err(wrong(format!("{other:?}"))),
        }
    }

    /// A number.
    pub(super) fn number(&self, column: &str) -> Result<u64, StoreError> {
        let null = || StoreError::nonsense("a number", format!("{column} is null"));
        self.maybe_number(column)?.ok_or_else(null)
    }

    /// A number of 32 bits.
    pub(super) fn narrow(&self, column: &str) -> Result<u32, StoreError> {
        u32::try_from(self.number(column)?).map_err(|error| StoreError::nonsense("a number", error))
    }

    /// A text, if there is one.
    pub(super) fn maybe_text(&self, column: &str) -> Result<Option<&str>, StoreError> {
        match self.value(column)? {
            Value::Null => Ok(None),
            Value::Text(text) => Ok(Some(text)),
            other => Err(StoreError::nonsense("a text", format!("{column}: {other:?}"))),
        }
    }

    /// A text.
    pub(super) fn text(&self, column: &str) -> Result<&str, StoreError> {
        let null = || StoreError::nonsense("a text", format!("{column} is null"));
        self.maybe_text(column)?.ok_or_else(null)
    }
}
