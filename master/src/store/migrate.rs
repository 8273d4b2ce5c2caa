//! Brings a database to the newest format.

use sqlx::migrate::{Migrate, MigrateError, Migration, MigrationType, Migrator};
use sqlx::{AssertSqlSafe, SqlSafeStr};

use super::{Dialect, StoreError};

/// The migrations, oldest first: number, name, SQL of SQLite, SQL of Postgres. One that has been released is
/// never changed.
const MIGRATIONS: [(i64, &str, &str, &str); 9] = [
    (
        1,
        "jobs",
        include_str!("migrations/0001_jobs.sql"),
        include_str!("migrations/postgres/0001_jobs.sql"),
    ),
    (
        2,
        "inputs in place",
        include_str!("migrations/0002_in_place.sql"),
        include_str!("migrations/postgres/0002_in_place.sql"),
    ),
    (
        3,
        "jobs that are gone",
        include_str!("migrations/0003_gone.sql"),
        include_str!("migrations/postgres/0003_gone.sql"),
    ),
    (
        4,
        "ingests",
        include_str!("migrations/0004_ingests.sql"),
        include_str!("migrations/postgres/0004_ingests.sql"),
    ),
    (
        5,
        "tables",
        include_str!("migrations/0005_tables.sql"),
        include_str!("migrations/postgres/0005_tables.sql"),
    ),
    (
        6,
        "sources",
        include_str!("migrations/0006_sources.sql"),
        include_str!("migrations/postgres/0006_sources.sql"),
    ),
    (
        7,
        "slaves that have lied",
        include_str!("migrations/0007_set_aside.sql"),
        include_str!("migrations/postgres/0007_set_aside.sql"),
    ),
    (
        8,
        "owners of jobs",
        include_str!("migrations/0008_owners.sql"),
        include_str!("migrations/postgres/0008_owners.sql"),
    ),
    (
        9,
        "history ahead",
        include_str!("migrations/0009_ahead.sql"),
        include_str!("migrations/postgres/0009_ahead.sql"),
    ),
];

/// What can be done about a store that is damaged.
pub(super) const fn advice(dialect: Dialect) -> &'static str {
    match dialect {
        Dialect::Sqlite => "Put a copy back, or move the file away to begin with no jobs",
        Dialect::Postgres => "Put a copy back, or give the master an empty database",
    }
}

/// Runs the migrations that are missing. `store` is the file or the database, for errors.
pub(super) async fn run(
    connection: &mut impl Migrate,
    dialect: Dialect,
    store: &str,
) -> Result<(), StoreError> {
    let known = MIGRATIONS.iter().map(|(version, ..)| *version).max().unwrap_or(0);
    let migrations = MIGRATIONS.iter().map(|&(version, description, sqlite, postgres)| {
        let sql = if dialect == Dialect::Sqlite { sqlite } else { postgres };
        let sql = AssertSqlSafe(sql).into_sql_str();
        Migration::new(version, description.into(), MigrationType::Simple, sql, false)
    });
    let migrator = Migrator::with_migrations(migrations.collect());
    match migrator.run_direct(None, connection, false).await {
        Ok(()) => Ok(()),
        Err(MigrateError::VersionMissing(_)) => {
            let applied = connection.list_applied_migrations(&migrator.table_name).await;
            let applied = applied.unwrap_or_default();
            let found = applied.iter().map(|migration| migration.version).max().unwrap_or(0);
            Err(StoreError::Newer { store: store.to_owned(), found, known })
        }
        Err(MigrateError::Execute(error) | MigrateError::ExecuteMigration(error, _)) => {
            Err(error.into())
        }
        Err(error) => Err(StoreError::Damaged {
            store: store.to_owned(),
            problem: error.to_string(),
            advice: advice(dialect),
        }),
    }
}
