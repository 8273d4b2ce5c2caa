//! What differs between the SQL of SQLite and that of Postgres.

use tally_common::spec::KeyKind;

/// Whose SQL it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Dialect {
    Sqlite,
    Postgres,
}

impl Dialect {
    /// The type of a column, texts in the order of their bytes.
    pub(crate) const fn column_type(self, kind: KeyKind) -> &'static str {
        match (self, kind) {
            (Self::Sqlite, KeyKind::Integer) => "integer",
            (Self::Sqlite, KeyKind::Text | KeyKind::Date) => "text",
            (Self::Postgres, KeyKind::Integer) => "bigint",
            (Self::Postgres, KeyKind::Text) => "text collate \"C\"",
            (Self::Postgres, KeyKind::Date) => "date",
        }
    }

    /// A column as it is read: dates are texts in SQLite, and come as day numbers from Postgres, which
    /// has no year 0 to write them in.
    pub(crate) fn read(self, kind: KeyKind, column: &str) -> String {
        match (self, kind) {
            (Self::Postgres, KeyKind::Date) => format!("({column} - date '1970-01-01')::bigint"),
            _ => column.to_owned(),
        }
    }

    /// What a statement was given, as a column of that kind wants it.
    pub(crate) fn written(self, kind: KeyKind, given: &str) -> String {
        match (self, kind) {
            (Self::Postgres, KeyKind::Date) => format!("(date '1970-01-01' + {given}::integer)"),
            (Self::Postgres, KeyKind::Text) => format!("{given}::text collate \"C\""),
            (Self::Postgres, KeyKind::Integer) => format!("{given}::bigint"),
            (Self::Sqlite, _) => given.to_owned(),
        }
    }

    /// Whether two values, either of which may be null, differ.
    pub(crate) const fn differs(self) -> &'static str {
        match self {
            Self::Sqlite => "is not",
            Self::Postgres => "is distinct from",
        }
    }

    /// What each row of a table in SQLite is kept by: its key, not a number.
    pub(crate) const fn without_rowid(self) -> &'static str {
        match self {
            Self::Sqlite => " without rowid",
            Self::Postgres => "",
        }
    }
}
