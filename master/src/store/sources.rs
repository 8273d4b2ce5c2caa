//! What is remembered of sources and their items. Written by the one task that watches a source.

use std::collections::BTreeMap;

use tally_common::id::JobId;
use tally_common::spec::KeyKind::{self, Integer, Text};
use tally_common::table::Value;

use super::read::job_id;
use super::{Param, Store, StoreError};
use crate::sources::{Changes, Item, SourceRow, Stat, Status};

/// What is remembered of a source: as a whole, and of each item.
pub(crate) type Remembered = (SourceRow, BTreeMap<String, Item>);

impl Store {
    /// What is remembered of a source, if it has been watched before.
    pub(crate) async fn source(&self, name: &str) -> Result<Option<Remembered>, StoreError> {
        let mut tx = self.db().read().await?;
        let sql =
            "select fingerprint, polls, changes, errors, submissions, failures, last_polled_ms,
            last_changed_ms, last_job, last_error from sources where name = $1";
        let name = [Param::text(name)];
        let found = tx.query(sql.to_owned(), &name, &SOURCE_KINDS).await?;
        let Some(row) = found.into_iter().next() else { return Ok(None) };
        let sql =
            "select item, status, due, sha256, etag, last_modified, bytes, modified_ns, job, tries,
            retry_ms, error from source_items where source = $1";
        let items = tx.query(sql.to_owned(), &name, &ITEM_KINDS).await?;
        let items = items.into_iter().map(read_item).collect::<Result<_, _>>()?;
        Ok(Some((read_source(row)?, items)))
    }

    /// Writes what has changed about a source, all or nothing.
    pub(crate) async fn save_source(
        &self,
        name: &str,
        changes: &Changes,
    ) -> Result<(), StoreError> {
        let mut tx = self.db().write().await?;
        let sql =
            "insert into sources (name, fingerprint, polls, changes, errors, submissions, failures,
            last_polled_ms, last_changed_ms, last_job, last_error)
            values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)
            on conflict (name) do update set fingerprint = excluded.fingerprint,
            polls = excluded.polls, changes = excluded.changes, errors = excluded.errors,
            submissions = excluded.submissions, failures = excluded.failures,
            last_polled_ms = excluded.last_polled_ms, last_changed_ms = excluded.last_changed_ms,
            last_job = excluded.last_job, last_error = excluded.last_error";
        tx.run(sql.to_owned(), &source_params(name, &changes.row)).await?;
        for item in &changes.removed {
            let sql = "delete from source_items where source = $1 and item = $2";
            tx.run(sql.to_owned(), &[Param::text(name), Param::text(item)]).await?;
        }
        for (item, state) in &changes.items {
            let sql =
                "insert into source_items (source, item, status, due, sha256, etag, last_modified,
                bytes, modified_ns, job, tries, retry_ms, error)
                values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)
                on conflict (source, item) do update set status = excluded.status,
                due = excluded.due, sha256 = excluded.sha256, etag = excluded.etag,
                last_modified = excluded.last_modified, bytes = excluded.bytes,
                modified_ns = excluded.modified_ns, job = excluded.job, tries = excluded.tries,
                retry_ms = excluded.retry_ms, error = excluded.error";
            tx.run(sql.to_owned(), &item_params(name, item, state)).await?;
        }
        tx.commit().await
    }

    /// Forgets the items of a source that is somewhere else now.
    pub(crate) async fn forget_items(&self, name: &str) -> Result<(), StoreError> {
        let mut tx = self.db().write().await?;
        let sql = "delete from source_items where source = $1";
        tx.run(sql.to_owned(), &[Param::text(name)]).await?;
        tx.commit().await
    }
}

const SOURCE_KINDS: [KeyKind; 10] =
    [Text, Integer, Integer, Integer, Integer, Integer, Integer, Integer, Text, Text];

const ITEM_KINDS: [KeyKind; 12] =
    [Text, Text, Integer, Text, Text, Text, Integer, Integer, Text, Integer, Integer, Text];

fn source_params(name: &str, row: &SourceRow) -> [Param; 11] {
    [
        Param::text(name),
        Param::text(&row.fingerprint),
        Param::int(row.polls),
        Param::int(row.changes),
        Param::int(row.errors),
        Param::int(row.submissions),
        Param::int(row.failures.into()),
        number(row.last_polled_ms.map(u64::cast_signed)),
        number(row.last_changed_ms.map(u64::cast_signed)),
        text(row.last_job.map(|job| job.to_string()).as_deref()),
        text(row.last_error.as_deref()),
    ]
}

fn item_params(source: &str, name: &str, item: &Item) -> [Param; 13] {
    [
        Param::text(source),
        Param::text(name),
        Param::text(item.status.as_str()),
        Param::int(item.due.into()),
        text(item.sha256.as_deref()),
        text(item.etag.as_deref()),
        text(item.last_modified.as_deref()),
        number(item.stat.map(|stat| stat.bytes.cast_signed())),
        number(item.stat.map(|stat| stat.modified_ns)),
        text(item.job.map(|job| job.to_string()).as_deref()),
        Param::int(item.tries.into()),
        Param::int(item.retry_ms),
        text(item.error.as_deref()),
    ]
}

fn text(text: Option<&str>) -> Param {
    Param::Value(Text, text.map_or(Value::Null, |text| Value::Text(text.into())))
}

fn number(number: Option<i64>) -> Param {
    Param::Value(Integer, number.map_or(Value::Null, Value::Integer))
}

/// The cells of a row, one after the other.
struct Cells(std::vec::IntoIter<Value>);

impl Cells {
    fn text(&mut self) -> Option<String> {
        match self.0.next() {
            Some(Value::Text(text)) => Some(text.as_ref().to_owned()),
            _ => None,
        }
    }

    fn number(&mut self) -> Option<i64> {
        match self.0.next() {
            Some(Value::Integer(number)) => Some(number),
            _ => None,
        }
    }

    fn count(&mut self) -> u64 {
        self.number().unwrap_or(0).unsigned_abs()
    }

    fn job(&mut self) -> Result<Option<JobId>, StoreError> {
        self.text().map(|text| job_id(&text)).transpose()
    }
}

fn narrow(number: u64) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

fn read_source(row: Vec<Value>) -> Result<SourceRow, StoreError> {
    let mut cells = Cells(row.into_iter());
    Ok(SourceRow {
        fingerprint: cells.text().unwrap_or_default(),
        polls: cells.count(),
        changes: cells.count(),
        errors: cells.count(),
        submissions: cells.count(),
        failures: narrow(cells.count()),
        last_polled_ms: cells.number().map(i64::unsigned_abs),
        last_changed_ms: cells.number().map(i64::unsigned_abs),
        last_job: cells.job()?,
        last_error: cells.text(),
    })
}

fn read_item(row: Vec<Value>) -> Result<(String, Item), StoreError> {
    let mut cells = Cells(row.into_iter());
    let name = cells.text().unwrap_or_default();
    let status = cells.text().unwrap_or_default();
    let status = Status::parse(&status).ok_or_else(|| StoreError::Nonsense {
        what: "an item of a source",
        problem: format!("there is no status {status:?}"),
    })?;
    let (due, sha256) = (cells.count() > 0, cells.text());
    let (etag, last_modified) = (cells.text(), cells.text());
    let (bytes, modified_ns) = (cells.number(), cells.number());
    let stat = bytes
        .zip(modified_ns)
        .map(|(bytes, modified_ns)| Stat { bytes: bytes.unsigned_abs(), modified_ns });
    let job = cells.job()?;
    let (tries, retry_ms) = (narrow(cells.count()), cells.count());
    let error = cells.text();
    let item = Item { status, due, sha256, etag, last_modified, stat, job, tries, retry_ms, error };
    Ok((name, item))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_is_remembered_comes_back_as_it_was() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).await.unwrap();
        assert_eq!(store.source("a").await.unwrap(), None);
        let job: JobId = "01990000-0000-7000-8000-000000000001".parse().unwrap();
        let row = SourceRow {
            fingerprint: "x".to_owned(),
            polls: 7,
            last_polled_ms: Some(1),
            last_job: Some(job),
            last_error: Some("no".to_owned()),
            ..SourceRow::default()
        };
        let item = Item {
            status: Status::Open,
            due: true,
            sha256: Some("ab".to_owned()),
            stat: Some(Stat { bytes: 3, modified_ns: -4 }),
            job: Some(job),
            tries: 2,
            ..Item::default()
        };
        let items = vec![("f.csv".to_owned(), item.clone()), (String::new(), Item::default())];
        let changes = Changes { row: row.clone(), items, removed: Vec::new() };
        store.save_source("a", &changes).await.unwrap();
        let items = [("f.csv".to_owned(), item.clone()), (String::new(), Item::default())];
        let remembered = (row.clone(), BTreeMap::from(items));
        assert_eq!(store.source("a").await.unwrap(), Some(remembered));
        let changes = Changes { row: row.clone(), items: Vec::new(), removed: vec![String::new()] };
        store.save_source("a", &changes).await.unwrap();
        let (_, items) = store.source("a").await.unwrap().unwrap();
        assert_eq!(items, BTreeMap::from([("f.csv".to_owned(), item)]));
        store.forget_items("a").await.unwrap();
        assert_eq!(store.source("a").await.unwrap(), Some((row, BTreeMap::new())));
        assert_eq!(store.source("b").await.unwrap(), None);
    }
}
