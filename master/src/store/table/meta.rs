//! What is known of all tables: their definitions and counters, message ids that were applied, and how far
//! ingests have come.

use tally_common::api::Outcome;
use tally_common::id::JobId;
use tally_common::spec::KeyKind;
use tally_common::table::{TableDraft, Value};

use crate::store::{Cell, Dialect, Param, StoreError, Tx};

/// A table as it is kept.
#[derive(Clone, Debug)]
pub(crate) struct StoredTable {
    pub(crate) id: i64,
    pub(crate) definition: TableDraft,
    pub(crate) created_ms: u64,
    pub(crate) counters: Counters,
}

/// What every change of a table moves.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counters {
    /// Number of the last change.
    pub(crate) version: u64,
    /// Rows.
    pub(crate) rows: u64,
    /// The changes after this one are all kept.
    pub(crate) kept_from: u64,
}

/// An operation that was applied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Applied {
    pub(crate) message_id: Box<str>,
    pub(crate) fingerprint: i64,
    pub(crate) outcome: Outcome,
    pub(crate) version: Option<u64>,
}

/// How far an ingest has come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct IngestRow {
    pub(crate) table_id: i64,
    /// JSON of the last key that was applied.
    pub(crate) through: Option<String>,
    /// JSON of its counts.
    pub(crate) counts: String,
    pub(crate) done: bool,
}

const NUMBER: KeyKind = KeyKind::Integer;
const TEXT: KeyKind = KeyKind::Text;

fn number(value: &Value) -> u64 {
    value.integer().unwrap_or(0).unsigned_abs()
}

/// All tables, by name.
pub(crate) async fn tables(tx: &mut Tx) -> Result<Vec<StoredTable>, StoreError> {
    let sql = "select id, definition, created_ms, version, row_count, kept_from from tables order by name";
    let kinds = [NUMBER, TEXT, NUMBER, NUMBER, NUMBER, NUMBER];
    let rows = tx.query(sql.to_owned(), &[], &kinds).await?;
    let table = |row: Vec<Value>| {
        let definition = serde_json::from_str(&row[1].to_string())
            .map_err(|error| StoreError::nonsense("a table", error))?;
        let counters = Counters {
            version: number(&row[3]),
            rows: number(&row[4]),
            kept_from: number(&row[5]),
        };
        let id = row[0].integer().unwrap_or(0);
        Ok(StoredTable { id, definition, created_ms: number(&row[2]), counters })
    };
    rows.into_iter().map(table).collect()
}

/// Declares a table; gives its id.
pub(crate) async fn add_table(
    tx: &mut Tx,
    definition: &TableDraft,
    created_ms: u64,
) -> Result<i64, StoreError> {
    let text = serde_json::to_string(definition)
        .map_err(|error| StoreError::nonsense("a table", error))?;
    let sql = "insert into tables (name, definition, created_ms) values ($1, $2, $3)";
    let name = Param::text(&definition.name);
    tx.run(sql.to_owned(), &[name.clone(), Param::text(&text), Param::int(created_ms)]).await?;
    let sql = "select id from tables where name = $1";
    let found = tx.query(sql.to_owned(), &[name], &[NUMBER]).await?;
    Ok(found.first().and_then(|row| row[0].integer()).unwrap_or(0))
}

/// Forgets a table and all that was kept of it, its rows and aggregates excepted.
pub(crate) async fn drop_table(tx: &mut Tx, id: i64) -> Result<(), StoreError> {
    for table in ["operations", "row_history", "ingests"] {
        tx.run(format!("delete from {table} where table_id = {id}"), &[]).await?;
    }
    tx.run(format!("delete from tables where id = {id}"), &[]).await?;
    Ok(())
}

/// The counters of a table; `None` where there is none.
pub(crate) async fn counters(tx: &mut Tx, id: i64) -> Result<Option<Counters>, StoreError> {
    let sql = format!("select version, row_count, kept_from from tables where id = {id}");
    let found = tx.query(sql, &[], &[NUMBER, NUMBER, NUMBER]).await?;
    Ok(found.first().map(|row| Counters {
        version: number(&row[0]),
        rows: number(&row[1]),
        kept_from: number(&row[2]),
    }))
}

/// Moves the counters of a table.
pub(crate) async fn move_counters(
    tx: &mut Tx,
    id: i64,
    counters: Counters,
) -> Result<(), StoreError> {
    let sql =
        format!("update tables set version = $1, row_count = $2, kept_from = $3 where id = {id}");
    let Counters { version, rows, kept_from } = counters;
    tx.run(sql, &[Param::int(version), Param::int(rows), Param::int(kept_from)]).await?;
    Ok(())
}

/// Which of some message ids were applied, and what came of them.
pub(crate) async fn applied(
    tx: &mut Tx,
    table: i64,
    ids: &[&str],
    mut see: impl FnMut(Applied),
) -> Result<(), StoreError> {
    let columns = [("table_id".to_owned(), NUMBER), ("message_id".to_owned(), TEXT)];
    let selected = "t.message_id, t.fingerprint, t.outcome, t.version";
    let bulk = tx.dialect().select(selected, "operations", &columns, "");
    let cell = |row: usize, column: usize| match column {
        0 => Cell::Integer(table),
        _ => Cell::Text(ids[row]),
    };
    let mut wrong = None;
    tx.bulk_query(&bulk, ids.len(), cell, &[TEXT, NUMBER, TEXT, NUMBER], |row| {
        let name = row[2].to_string();
        let Some(outcome) = Outcome::parse(&name) else {
            wrong = Some(name);
            return;
        };
        see(Applied {
            message_id: row[0].to_string().into(),
            fingerprint: row[1].integer().unwrap_or(0),
            outcome,
            version: row[3].integer().map(i64::unsigned_abs),
        });
    })
    .await?;
    match wrong {
        None => Ok(()),
        Some(problem) => Err(StoreError::nonsense("an outcome", problem)),
    }
}

/// Keeps what came of operations.
pub(crate) async fn keep_applied(
    tx: &mut Tx,
    table: i64,
    applied: &[Applied],
    now_ms: u64,
) -> Result<(), StoreError> {
    let columns = [
        ("table_id", NUMBER),
        ("message_id", TEXT),
        ("fingerprint", NUMBER),
        ("outcome", TEXT),
        ("version", NUMBER),
        ("applied_ms", NUMBER),
    ];
    let columns = columns.map(|(name, kind)| (name.to_owned(), kind));
    let insert = tx.dialect().insert("operations", &columns, "");
    let cell = |row: usize, column: usize| {
        let applied = &applied[row];
        match column {
            0 => Cell::Integer(table),
            1 => Cell::Text(&applied.message_id),
            2 => Cell::Integer(applied.fingerprint),
            3 => Cell::Text(applied.outcome.as_str()),
            4 => applied.version.map_or(Cell::Null, Cell::int),
            _ => Cell::int(now_ms),
        }
    };
    tx.bulk(&insert, applied.len(), cell).await
}

/// How far an ingest has come, if it has begun.
pub(crate) async fn ingest(tx: &mut Tx, job: JobId) -> Result<Option<IngestRow>, StoreError> {
    let sql = "select table_id, through, counts, done from ingests where job = $1";
    let kinds = [NUMBER, TEXT, TEXT, NUMBER];
    let found = tx.query(sql.to_owned(), &[Param::text(&job.to_string())], &kinds).await?;
    let text = |value: &Value| match value {
        Value::Text(text) => Some(text.to_string()),
        _ => None,
    };
    Ok(found.first().map(|row| IngestRow {
        table_id: row[0].integer().unwrap_or(0),
        through: text(&row[1]),
        counts: text(&row[2]).unwrap_or_default(),
        done: row[3].integer() == Some(1),
    }))
}

/// Keeps how far an ingest has come.
pub(crate) async fn keep_ingest(
    tx: &mut Tx,
    job: JobId,
    ingest: &IngestRow,
    now_ms: u64,
) -> Result<(), StoreError> {
    let through =
        ingest.through.as_ref().map_or(Value::Null, |text| Value::Text(text.as_str().into()));
    let params = [
        Param::text(&job.to_string()),
        Param::Value(TEXT, through),
        Param::text(&ingest.counts),
        Param::int(ingest.done.into()),
        Param::int(now_ms),
    ];
    let sql = format!(
        "insert into ingests (job, table_id, through, counts, done, changed_ms)
         values ($1, {}, $2, $3, $4, $5) on conflict (job) do update set through = excluded.through,
         counts = excluded.counts, done = excluded.done, changed_ms = excluded.changed_ms",
        ingest.table_id
    );
    tx.run(sql, &params).await?;
    Ok(())
}

/// Removes a share of what is older than it has to be kept; gives whether there may be more.
pub(crate) async fn expire_operations(
    tx: &mut Tx,
    before_ms: u64,
    most: u32,
) -> Result<bool, StoreError> {
    let sql = match tx.dialect() {
        // Their order is that of time: only the first ones have to be looked at.
        Dialect::Sqlite => format!(
            "delete from operations where applied_ms < $1
             and id in (select id from operations order by id limit {most})"
        ),
        Dialect::Postgres => format!(
            "delete from operations where ctid = any(array(
                select ctid from operations where applied_ms < $1 limit {most}))"
        ),
    };
    Ok(tx.run(sql, &[Param::int(before_ms)]).await? >= most.into())
}

/// Removes a share of a table's history that is older than it has to be kept. Gives the last change that is
/// not kept any more, and whether there may be more.
pub(crate) async fn expire_history(
    tx: &mut Tx,
    table: i64,
    before_ms: u64,
    most: u32,
) -> Result<(Option<u64>, bool), StoreError> {
    let wanted = format!(
        "select version from row_history where table_id = {table} and until_ms < $1
         order by version limit {most}"
    );
    let before = [Param::int(before_ms)];
    let found = tx.query(wanted, &before, &[NUMBER]).await?;
    let Some(last) = found.last().and_then(|row| row[0].integer()) else {
        return Ok((None, false));
    };
    let sql = format!(
        "delete from row_history where table_id = {table} and until_ms < $1 and version <= $2"
    );
    tx.run(sql, &[before[0].clone(), Param::Int(last)]).await?;
    Ok((Some(last.unsigned_abs()), found.len() >= most as usize))
}

/// Removes at most so many of the entries of a table's history that were written ahead of a change that it
/// has not come to; gives whether there may be more. Only SQLite has such.
pub(crate) async fn forget_ahead(
    tx: &mut Tx,
    table: i64,
    version: u64,
    most: u32,
) -> Result<bool, StoreError> {
    let ahead = format!("table_id = {table} and ahead > $1");
    let sql = format!(
        "delete from row_history where table_id = {table} and version in
         (select version from row_history where {ahead} limit {most})"
    );
    Ok(tx.run(sql, &[Param::int(version)]).await? >= most.into())
}
