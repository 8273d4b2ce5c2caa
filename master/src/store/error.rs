//! Why the store can not be used. No text here shows a password: servers are named by [`server_name`],
//! never by the URL that they were given by.
//!
//! [`server_name`]: super::postgres::server_name

use sqlx::error::DatabaseError;
use thiserror::Error;

/// SQLite's code for a full disk.
const SQLITE_FULL: &str = "13";

/// Postgres's code for the same.
const POSTGRES_FULL: &str = "53100";

/// Codes with which Postgres says that it is not there for anybody just now: it is stopping, starting or
/// has crashed, it has as many connections as it takes, or the connection was cut.
const POSTGRES_AWAY: [&str; 7] = ["57P01", "57P02", "57P03", "53300", "08000", "08003", "08006"];

/// Why the store can not be used.
#[derive(Debug, Error)]
pub enum StoreError {
    /// It was written by a version that came later.
    #[error(
        "{store} has format {found}, this version of tally knows formats up to {known}: run the \
         version that wrote it, or a later one"
    )]
    Newer {
        /// The file or the database.
        store: String,
        /// Its format.
        found: i64,
        /// The newest format that is known.
        known: i64,
    },
    /// It is no store, or is damaged.
    #[error("{store} is damaged: {problem}. {advice}")]
    Damaged {
        /// The file or the database.
        store: String,
        /// What the database said.
        problem: String,
        /// What to do.
        advice: &'static str,
    },
    /// What was given as `--store` is no URL of a Postgres.
    #[error("--store: {0}; a URL is wanted such as postgres://user@host:5432/database")]
    Url(String),
    /// The server does not answer, or lets nobody in.
    #[error("the store {store} can not be reached: {problem}")]
    Unreachable {
        /// The database.
        store: String,
        /// What was tried and failed.
        problem: String,
    },
    /// The database can not hold a store.
    #[error("the store {store} can not be used: {problem}")]
    Unusable {
        /// The database.
        store: String,
        /// Why, and what to do.
        problem: String,
    },
    /// Another master uses it.
    #[error(
        "the store {store} is in use by another master; give each its own database, or stop the other"
    )]
    InUse {
        /// The database.
        store: String,
    },
    /// Another master has taken it over.
    #[error(
        "another master has taken over the store {store} while this one had lost it: nothing more is \
         written by this one"
    )]
    TakenOver {
        /// The database.
        store: String,
    },
    /// Data folder and store are not of each other.
    #[error("{0}")]
    Folder(String),
    /// The database could not do what it was asked to.
    #[error("the store failed: {0}")]
    Sql(#[from] sqlx::Error),
    /// The same of SQLite that is used without going through another thread.
    #[error("the store failed: {0}")]
    Sqlite(#[from] rusqlite::Error),
    /// What it holds makes no sense.
    #[error("the store holds {what} that makes no sense: {problem}")]
    Nonsense {
        /// What.
        what: &'static str,
        /// Why it does not.
        problem: String,
    },
}

impl StoreError {
    /// Whether it failed for want of space on the disk.
    pub fn is_full(&self) -> bool {
        match self {
            Self::Sql(sqlx::Error::Database(error)) => {
                let code = code(&**error);
                code == SQLITE_FULL || code == POSTGRES_FULL
            }
            Self::Sqlite(error) => error.sqlite_error_code() == Some(rusqlite::ErrorCode::DiskFull),
            _ => false,
        }
    }

    /// Whether the server is away, and all may be well again without anybody's doing.
    pub fn is_away(&self) -> bool {
        match self {
            Self::Unreachable { .. } => true,
            Self::Sql(error) => is_away(error),
            _ => false,
        }
    }

    pub(crate) fn nonsense(what: &'static str, problem: impl ToString) -> Self {
        Self::Nonsense { what, problem: problem.to_string() }
    }
}

/// Whether it is the connection that failed, or the server that is away.
pub(super) fn is_away(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Io(_) | sqlx::Error::PoolTimedOut | sqlx::Error::Tls(_) => true,
        sqlx::Error::Database(error) => POSTGRES_AWAY.contains(&&*code(&**error)),
        _ => false,
    }
}

fn code(error: &dyn DatabaseError) -> String {
    error.code().unwrap_or_default().into_owned()
}
