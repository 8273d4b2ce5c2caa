//! Statements on many rows. SQLite is given one row after another: prepared once, each costs no more than
//! its work. For Postgres, where each statement is a journey, rows go as arrays, and by `COPY` where they
//! are only added.

use sqlx::postgres::PgArguments;
use sqlx::{Arguments as _, AssertSqlSafe, PgConnection};

use tally_common::spec::KeyKind;

use super::value::Cell;
use super::{Dialect, StoreError};

/// Most rows that one statement carries into Postgres: bounds what both sides hold.
const POSTGRES_ROWS: usize = 16_384;

/// Rows from which `COPY` is used: it takes two journeys more than a statement, and less for each row.
const COPY_ROWS: usize = 256;

/// Bytes that are gathered for `COPY` before they are sent.
const COPY_BYTES: usize = 256 << 10;

/// How data for `COPY … (format binary)` begin: a signature, no flags, no extension. See "Binary Format" on
/// Postgres's page on COPY.
const COPY_HEAD: &[u8] = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0";

/// The day from which Postgres counts, 2000-01-01, since 1970-01-01.
const POSTGRES_DAY: i32 = 10_957;

/// A statement that is given rows.
#[derive(Clone, Debug)]
pub(crate) struct Bulk {
    pub(super) sql: String,
    /// What adds the same rows by `COPY`.
    copy: Option<String>,
    /// Kinds of what it is given, column by column.
    pub(super) kinds: Vec<KeyKind>,
}

/// A column of a table: its name as SQL has it, and its kind.
pub(crate) type SqlColumn = (String, KeyKind);

fn kinds(columns: &[SqlColumn]) -> Vec<KeyKind> {
    columns.iter().map(|(_, kind)| *kind).collect()
}

fn joined<T>(of: impl IntoIterator<Item = T>, each: impl Fn(T) -> String, by: &str) -> String {
    of.into_iter().map(each).collect::<Vec<_>>().join(by)
}

impl Dialect {
    /// The columns `c0, c1, …` of `b`, which Postgres is given as arrays.
    pub(crate) fn arrays(self, kinds: &[KeyKind]) -> String {
        let array = |(i, kind): (usize, &KeyKind)| {
            let kind = if *kind == KeyKind::Text { "text" } else { "bigint" };
            format!("${}::{kind}[]", i + 1)
        };
        let names = joined(0..kinds.len(), |i| format!("c{i}"), ", ");
        format!("unnest({}) as b({names})", joined(kinds.iter().enumerate(), array, ", "))
    }

    /// What a row has in a column of the statement, as the table wants it.
    pub(crate) fn given(self, i: usize, kind: KeyKind) -> String {
        match self {
            Self::Sqlite => format!("?{}", i + 1),
            Self::Postgres => self.written(kind, &format!("b.c{i}")),
        }
    }

    fn all_given(self, columns: &[SqlColumn]) -> String {
        joined(columns.iter().enumerate(), |(i, (_, kind))| self.given(i, *kind), ", ")
    }

    /// That `t` has in these columns what is given.
    fn same(self, columns: &[SqlColumn]) -> String {
        let same =
            |(i, (name, kind)): (usize, &SqlColumn)| format!("t.{name} = {}", self.given(i, *kind));
        joined(columns.iter().enumerate(), same, " and ")
    }

    /// Adds rows to a table. `conflict`: what is done where there is one of its key; `""` where there is none.
    pub(crate) fn insert(self, into: &str, columns: &[SqlColumn], conflict: &str) -> Bulk {
        let (names, kinds) = (joined(columns, |(name, _)| name.clone(), ", "), kinds(columns));
        let given = self.all_given(columns);
        let rows = match self {
            Self::Sqlite => format!("values ({given})"),
            Self::Postgres => format!("select {given} from {}", self.arrays(&kinds)),
        };
        let copies = self == Self::Postgres && conflict.is_empty();
        Bulk {
            sql: format!("insert into {into} ({names}) {rows} {conflict}"),
            copy: copies.then(|| format!("copy {into} ({names}) from stdin (format binary)")),
            kinds,
        }
    }

    /// Deletes the rows that have in `columns` what is given. `also`: a condition on `t` besides, or `"true"`.
    pub(crate) fn delete(self, from: &str, columns: &[SqlColumn], also: &str) -> Bulk {
        let (kinds, same) = (kinds(columns), self.same(columns));
        let using = match self {
            Self::Sqlite => String::new(),
            Self::Postgres => format!("using {} ", self.arrays(&kinds)),
        };
        let sql = format!("delete from {from} as t {using}where {same} and {also}");
        Bulk { sql, copy: None, kinds }
    }

    /// Selects from the rows, `t`, that have in `columns` what is given. `then`: what the query ends in.
    pub(crate) fn select(
        self,
        selected: &str,
        from: &str,
        columns: &[SqlColumn],
        then: &str,
    ) -> Bulk {
        let (kinds, same) = (kinds(columns), self.same(columns));
        let rows = match self {
            Self::Sqlite => format!("{from} as t where {same}"),
            Self::Postgres => format!("{} join {from} as t on {same}", self.arrays(&kinds)),
        };
        Bulk { sql: format!("select {selected} from {rows} {then}"), copy: None, kinds }
    }
}

impl Bulk {
    /// A query of Postgres that names what it is given itself, from [`Dialect::arrays`].
    pub(crate) fn of_arrays(sql: String, kinds: Vec<KeyKind>) -> Self {
        Self { sql, copy: None, kinds }
    }

    /// The statement for rows from one on as Postgres takes it, and how many these are.
    pub(super) fn postgres<'a>(
        &self,
        (from, rows): (usize, usize),
        cell: &impl Fn(usize, usize) -> Cell<'a>,
    ) -> Result<(usize, AssertSqlSafe<String>, PgArguments), StoreError> {
        let to = rows.min(from + POSTGRES_ROWS);
        let mut arguments = PgArguments::default();
        for (column, kind) in self.kinds.iter().enumerate() {
            let cells = (from..to).map(|row| cell(row, column));
            let bound = if *kind == KeyKind::Text {
                let text = |cell| if let Cell::Text(text) = cell { Some(text) } else { None };
                arguments.add(cells.map(text).collect::<Vec<Option<&str>>>())
            } else {
                arguments.add(cells.map(Cell::number).collect::<Vec<Option<i64>>>())
            };
            bound.map_err(sqlx::Error::Encode)?;
        }
        Ok((to, AssertSqlSafe(self.sql.clone()), arguments))
    }

    /// What adds the rows by `COPY`, where that is possible and worth it.
    pub(super) fn copy(&self, rows: usize) -> Option<&str> {
        self.copy.as_deref().filter(|_| rows >= COPY_ROWS)
    }

    /// Adds rows by `COPY`.
    pub(super) async fn copy_in<'a>(
        &self,
        connection: &mut PgConnection,
        copy: &str,
        rows: usize,
        cell: &impl Fn(usize, usize) -> Cell<'a>,
    ) -> Result<(), StoreError> {
        let mut to = connection.copy_in_raw(copy).await?;
        let mut gathered = COPY_HEAD.to_vec();
        gathered.reserve(COPY_BYTES * 2);
        for row in 0..rows {
            gathered.extend_from_slice(&(self.kinds.len() as i16).to_be_bytes());
            for (column, kind) in self.kinds.iter().enumerate() {
                put_copied(&mut gathered, *kind, cell(row, column));
            }
            if gathered.len() >= COPY_BYTES {
                to.send(&*gathered).await?;
                gathered.clear();
            }
        }
        // No more rows.
        gathered.extend_from_slice(&(-1i16).to_be_bytes());
        to.send(&*gathered).await?;
        to.finish().await?;
        Ok(())
    }
}

/// A field of a row for `COPY`: its length and its bytes.
fn put_copied(to: &mut Vec<u8>, kind: KeyKind, cell: Cell<'_>) {
    let mut put = |bytes: &[u8]| {
        // Texts are bounded far below this.
        to.extend_from_slice(&(bytes.len() as i32).to_be_bytes());
        to.extend_from_slice(bytes);
    };
    match (kind, cell) {
        (KeyKind::Text, Cell::Text(text)) => put(text.as_bytes()),
        (KeyKind::Integer, Cell::Integer(n)) => put(&n.to_be_bytes()),
        (KeyKind::Date, Cell::Date(day)) => put(&(day - POSTGRES_DAY).to_be_bytes()),
        // Nothing, or what its column can not have: the server says no where it must not be null.
        _ => to.extend_from_slice(&(-1i32).to_be_bytes()),
    }
}
