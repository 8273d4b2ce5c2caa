//! Reading: a row, pages of rows and of groups, history and changes.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use tally_common::api::{
    AggregatePage, AggregateQuery, ChangeView, Comparison, RowView, RowsPage, RowsQuery, timestamp,
};
use tally_common::dialect::fold;
use tally_common::spec::KeyKind;
use tally_common::table::{Table, TableColumn, Value};

use super::handle::Handle;
use super::{Tables, TablesError};
use crate::store::Tx;
use crate::store::table::{Counters, PageOf, Past, Sort, Stored, meta};

/// Most rows of a page.
pub const MAX_PAGE: u32 = 10_000;

fn bad(text: impl Into<String>) -> TablesError {
    TablesError::Query(text.into())
}

impl Tables {
    /// A row by its key: the text of its only column, or a JSON array.
    ///
    /// # Errors
    /// [`TablesError::NoRow`], [`TablesError::Value`].
    pub async fn row(&self, table: &str, key: &str) -> Result<RowView, TablesError> {
        let handle = self.handle(table)?;
        let wanted = handle.table().key_from_text(key)?;
        let mut tx = handle.db.read().await?;
        let mut found = None;
        handle.sql.rows_of(&mut tx, &[&wanted], |stored| found = Some(stored)).await?;
        let none = || TablesError::NoRow { table: table.to_owned(), key: key.to_owned() };
        found.map(|stored| view(handle.table(), stored)).ok_or_else(none)
    }

    /// A page of rows.
    ///
    /// # Errors
    /// [`TablesError::Query`], [`TablesError::Value`].
    pub async fn rows(&self, table: &str, query: &RowsQuery) -> Result<RowsPage, TablesError> {
        let handle = self.handle(table)?;
        let (own, sql) = (handle.table(), &handle.sql);
        let page = rows_page(own, sql.name(), query)?;
        let mut tx = handle.db.read().await?;
        let counters = counters(&handle, &mut tx).await?;
        let mut found = page.read(&mut tx).await?;
        let next = next_cursor(&page, &mut found);
        let rows = found.into_iter().map(|(row, _)| view(own, sql.stored(row))).collect();
        Ok(RowsPage { rows, next, table_rows: counters.rows, version: counters.version })
    }

    /// A page of an aggregate's groups.
    ///
    /// # Errors
    /// [`TablesError::NoAggregate`], [`TablesError::Query`].
    pub async fn aggregate(
        &self,
        table: &str,
        aggregate: &str,
        query: &AggregateQuery,
    ) -> Result<AggregatePage, TablesError> {
        let handle = self.handle(table)?;
        let page = groups_page(&handle, aggregate, query)?;
        let mut tx = handle.db.read().await?;
        let counters = counters(&handle, &mut tx).await?;
        let groups = match handle.groups_at(aggregate, counters.version) {
            Some(groups) => groups,
            None => {
                let sql = format!("select count(*) from {}", page.from);
                let found = tx.query(sql, &[], &[KeyKind::Integer]).await?;
                let groups = found.first().and_then(|row| row[0].integer());
                let groups = groups.unwrap_or(0).unsigned_abs();
                handle.note_groups(aggregate, counters.version, groups);
                groups
            }
        };
        let mut found = page.read(&mut tx).await?;
        let next = next_cursor(&page, &mut found);
        let rows = found.iter().map(|(row, _)| row.iter().map(Value::to_json).collect()).collect();
        let columns = page.columns.iter().map(|column| column.name.clone()).collect();
        Ok(AggregatePage { columns, rows, next, groups, version: counters.version })
    }

    /// What a row was, the newest change first, as far back as is kept.
    ///
    /// # Errors
    /// [`TablesError::Value`].
    pub async fn history(&self, table: &str, key: &str) -> Result<Vec<ChangeView>, TablesError> {
        let handle = self.handle(table)?;
        let key = handle.table().key_from_text(key)?;
        let mut tx = handle.db.read().await?;
        let version = counters(&handle, &mut tx).await?.version;
        let found = handle.sql.history(&mut tx, &key, version).await?;
        Ok(found.into_iter().map(|past| change(handle.table(), past)).collect())
    }

    /// The changes after one, in order, at most `limit` (1 to 10,000).
    ///
    /// # Errors
    /// [`TablesError::Lost`] where some of them are not kept any more.
    pub async fn changes(
        &self,
        table: &str,
        after: u64,
        limit: u32,
    ) -> Result<Vec<ChangeView>, TablesError> {
        let handle = self.handle(table)?;
        let mut tx = handle.db.read().await?;
        let counters = counters(&handle, &mut tx).await?;
        if after < counters.kept_from {
            return Err(TablesError::Lost { table: table.to_owned(), after });
        }
        let stretch = (after, counters.version);
        let found = handle.sql.changes(&mut tx, stretch, limit.clamp(1, MAX_PAGE)).await?;
        Ok(found.into_iter().map(|past| change(handle.table(), past)).collect())
    }
}

async fn counters(handle: &Handle, tx: &mut Tx) -> Result<Counters, TablesError> {
    let found = meta::counters(tx, handle.sql.id).await?;
    found.ok_or_else(|| TablesError::NotFound(handle.table().name().to_owned()))
}

fn view(table: &Table, stored: Stored) -> RowView {
    RowView {
        key: table.key_of(&stored.row).to_json(),
        version: stored.version,
        changed_at: timestamp(stored.changed_ms),
        row: table.row_to_json(&stored.row),
    }
}

fn change(table: &Table, past: Past) -> ChangeView {
    ChangeView {
        version: past.version,
        change: past.change,
        key: past.key,
        row: past.row.map(|row| table.row_to_json(&row)),
        changed_at: timestamp(past.changed_ms),
    }
}

fn sort_of(column: &TableColumn) -> Sort {
    Sort { name: column.name.clone(), kind: column.kind, nullable: column.nullable }
}

fn meta_column(name: &str) -> Sort {
    Sort { name: name.to_owned(), kind: KeyKind::Integer, nullable: false }
}

/// A column of a table by its name.
fn column<'t>(table: &'t Table, name: &str) -> Result<&'t TableColumn, TablesError> {
    let found = table.column(name).map(|at| &table.columns()[at]);
    found.ok_or_else(|| {
        let names: Vec<_> = table.columns().iter().map(|column| column.name.as_str()).collect();
        bad(format!("the table has no column {name:?}; it has {}", names.join(", ")))
    })
}

fn rows_page(table: &Table, from: String, query: &RowsQuery) -> Result<PageOf, TablesError> {
    let mut conditions = Vec::new();
    for (name, comparison, text) in &query.conditions {
        let column = column(table, name)?;
        if *comparison == Comparison::Prefix && column.kind != KeyKind::Text {
            return Err(bad(format!("{name:?} is no text: it has no beginnings")));
        }
        // What is compared with a key may be empty.
        let free = TableColumn { is_key: false, nullable: false, ..column.clone() };
        let value = Value::from_json(&free, &serde_json::Value::String(text.clone()))?;
        conditions.push((sort_of(column), *comparison, value));
    }
    let search = query.search.as_ref().map(|text| {
        let texts = table.columns().iter().filter(|column| column.kind == KeyKind::Text);
        (texts.map(|column| column.name.clone()).collect(), text.to_ascii_lowercase())
    });
    if query.search.as_ref().is_some_and(|text| text.contains('\0')) {
        return Err(bad("the search holds a NUL character, which no row does"));
    }
    let mut order = Vec::new();
    match query.sort.as_deref() {
        None => {}
        Some("_version") => order.push(meta_column("_version")),
        Some(name) => order.push(sort_of(column(table, name)?)),
    }
    order.extend(table.key_columns().map(sort_of));
    let columns = table.columns().iter().map(sort_of);
    let meta = ["_version", "_added", "_changed_ms"].map(meta_column);
    Ok(PageOf {
        from,
        columns: columns.chain(meta).collect(),
        after: after(query.cursor.as_deref(), &order)?,
        order,
        descending: query.descending,
        conditions,
        search,
        limit: limit(query.limit)?,
    })
}

fn groups_page(handle: &Handle, name: &str, query: &AggregateQuery) -> Result<PageOf, TablesError> {
    let table = handle.table();
    let aggregate = table.aggregate(name).ok_or_else(|| {
        let known: Vec<_> = table.aggregates().iter().map(|known| known.name.as_str()).collect();
        let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
        TablesError::NoAggregate { table: table.name().to_owned(), name: name.to_owned(), known }
    })?;
    let group = &table.columns()[aggregate.group_by];
    let mut columns = vec![sort_of(group)];
    for (op, column, name) in &aggregate.values {
        let kind = handle.sql.value_kind(*op, *column);
        let extreme = matches!(
            op,
            tally_common::spec::AggregateOp::Min | tally_common::spec::AggregateOp::Max
        );
        columns.push(Sort { name: name.clone(), kind, nullable: extreme });
    }
    let mut order = Vec::new();
    if let Some(name) = &query.sort {
        let found = columns.iter().find(|column| fold(&column.name) == fold(name));
        let found = found.ok_or_else(|| {
            let names: Vec<_> = columns.iter().map(|column| column.name.as_str()).collect();
            bad(format!("the aggregate has no column {name:?}; it has {}", names.join(", ")))
        })?;
        order.push(found.clone());
    }
    order.push(columns[0].clone());
    let mut conditions = Vec::new();
    for (text, comparison) in
        [(&query.group, Comparison::Equal), (&query.prefix, Comparison::Prefix)]
    {
        let Some(text) = text else { continue };
        if comparison == Comparison::Prefix && group.kind != KeyKind::Text {
            return Err(bad(format!("{:?} is no text: it has no beginnings", group.name)));
        }
        let free = TableColumn { is_key: false, ..group.clone() };
        let value = Value::from_json(&free, &serde_json::Value::String(text.clone()))?;
        conditions.push((columns[0].clone(), comparison, value));
    }
    Ok(PageOf {
        from: handle.sql.aggregate_name(aggregate),
        after: after(query.cursor.as_deref(), &order)?,
        columns,
        order,
        descending: query.descending,
        conditions,
        search: None,
        limit: limit(query.limit)?,
    })
}

fn limit(limit: u32) -> Result<u32, TablesError> {
    match limit {
        1..=MAX_PAGE => Ok(limit),
        _ => Err(bad(format!("limit must be from 1 to {MAX_PAGE}"))),
    }
}

/// Where the page after this one begins; takes the row away that says that there is one.
fn next_cursor(page: &PageOf, found: &mut Vec<(Vec<Value>, Vec<Value>)>) -> Option<String> {
    if found.len() <= page.limit as usize {
        return None;
    }
    found.truncate(page.limit as usize);
    let (_, last) = found.last()?;
    let names = page.order.iter().map(|sort| sort.name.as_str()).collect::<Vec<_>>();
    let place = serde_json::json!([names, last]);
    Some(URL_SAFE_NO_PAD.encode(place.to_string()))
}

/// Where a cursor says that the page before ended.
fn after(cursor: Option<&str>, order: &[Sort]) -> Result<Option<Vec<Value>>, TablesError> {
    let Some(cursor) = cursor else { return Ok(None) };
    let wrong = || bad("the cursor makes no sense for this order; begin with the first page");
    let text = URL_SAFE_NO_PAD.decode(cursor).map_err(|_| wrong())?;
    let (names, values): (Vec<String>, Vec<serde_json::Value>) =
        serde_json::from_slice(&text).map_err(|_| wrong())?;
    let same = names.iter().eq(order.iter().map(|sort| &sort.name));
    if !same || values.len() != order.len() {
        return Err(wrong());
    }
    let read = |(sort, json): (&Sort, &serde_json::Value)| {
        let column =
            TableColumn { nullable: sort.nullable, ..TableColumn::new(&sort.name, sort.kind) };
        Value::from_json(&column, json)
    };
    let values = order.iter().zip(&values).map(read).collect::<Result<_, _>>();
    Ok(Some(values.map_err(|_| wrong())?))
}
