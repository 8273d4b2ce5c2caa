//! The writer of a table: gathers the operations that wait, applies them in one transaction, and answers
//! when that has been committed. While one batch is being committed the next one gathers by itself.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Weak};

use sha2::{Digest, Sha256};
use tokio::sync::{mpsc, oneshot};
use tokio::{runtime, task};

use tally_common::api::{OperationDraft, OperationResult, Outcome};
use tally_common::table::{Key, Operation, OperationKind, Value};

use super::TablesError;
use super::changes::Changes;
use super::handle::{Handle, Turn};
use super::overlay::Overlay;
use crate::metrics;
use crate::store::table::{Applied, TableSql, meta};
use crate::store::{StoreError, Tx};

/// Operations that wait for one table, as requests: enough for every connection to have one.
pub(crate) const QUEUE: usize = 1024;

/// Operations that one transaction takes, unless a single request has more: so many take some tens of
/// milliseconds, and what comes meanwhile waits no longer than that.
const BATCH: usize = 2048;

/// Operations of one client.
pub(crate) struct Request {
    pub(crate) operations: Vec<OperationDraft>,
    pub(crate) reply: oneshot::Sender<Result<Vec<OperationResult>, TablesError>>,
}

/// Applies requests as long as there is the table.
pub(crate) async fn run(handle: Weak<Handle>, mut queue: mpsc::Receiver<Request>) {
    while let Some(first) = queue.recv().await {
        let mut operations = first.operations.len();
        let mut requests = vec![first];
        while operations < BATCH {
            let Ok(next) = queue.try_recv() else { break };
            operations += next.operations.len();
            requests.push(next);
        }
        let Some(handle) = handle.upgrade() else {
            for request in requests {
                // Whoever asked may be gone.
                let _ = request.reply.send(Err(TablesError::Stopped));
            }
            return;
        };
        // The database may be one that works on the thread that asks.
        let runtime = runtime::Handle::current();
        let answered =
            task::spawn_blocking(move || runtime.block_on(answer(&handle, requests))).await;
        if answered.is_err() {
            // It panicked, or the process ends: those who asked see that nobody answers.
            return;
        }
    }
}

/// Applies some requests and answers them.
async fn answer(handle: &Handle, requests: Vec<Request>) {
    let all: Vec<&OperationDraft> =
        requests.iter().flat_map(|request| &request.operations).collect();
    match apply(handle, &all).await {
        Ok(results) => {
            let mut results = results.into_iter();
            for request in requests {
                let own = results.by_ref().take(request.operations.len()).collect();
                let _ = request.reply.send(Ok(own));
            }
        }
        Err(error) => {
            let failed = match error {
                TablesError::Store(error) => Some(Arc::new(error)),
                // The table was dropped: nothing else is refused once operations are being applied.
                _ => None,
            };
            for request in requests {
                let error = match &failed {
                    Some(error) => TablesError::Failed(Arc::clone(error)),
                    None => TablesError::NotFound(handle.table().name().to_owned()),
                };
                let _ = request.reply.send(Err(error));
            }
        }
    }
}

/// An operation that makes sense, and where its answer goes.
struct Checked {
    at: usize,
    operation: Operation,
    fingerprint: i64,
}

async fn apply(
    handle: &Handle,
    drafts: &[&OperationDraft],
) -> Result<Vec<OperationResult>, TablesError> {
    let mut results = Vec::with_capacity(drafts.len());
    let mut checked = Vec::with_capacity(drafts.len());
    for (at, draft) in drafts.iter().enumerate() {
        let mut result = OperationResult {
            message_id: draft.message_id.clone(),
            outcome: Outcome::Invalid,
            version: None,
            repeated: false,
            problem: None,
        };
        match Operation::check(handle.table(), draft) {
            Ok(operation) => {
                let fingerprint = fingerprint(&operation);
                checked.push(Checked { at, operation, fingerprint });
            }
            Err(error) => result.problem = Some(error.to_string()),
        }
        results.push(result);
    }
    if checked.is_empty() {
        return Ok(results);
    }
    let turn = handle.turn().await?;
    let tx = match handle.db.write_here().await {
        Ok(tx) => tx,
        Err(error) => {
            turn.leave();
            return Err(error.into());
        }
    };
    transact(handle, turn, tx, checked, &mut results).await?;
    metrics::operations(&results);
    Ok(results)
}

async fn transact(
    handle: &Handle,
    turn: Turn<'_>,
    mut tx: Tx,
    checked: Vec<Checked>,
    results: &mut [OperationResult],
) -> Result<(), TablesError> {
    let (sql, now_ms) = (&handle.sql, handle.clock.unix_ms());
    let mut seen = HashMap::new();
    let ids: Vec<&str> = checked.iter().map(|one| &*one.operation.message_id).collect();
    meta::applied(&mut tx, sql.id, &ids, |applied| {
        seen.insert(applied.message_id.clone(), applied);
    })
    .await?;
    let fresh = |one: &&Checked| !seen.contains_key(&one.operation.message_id);
    let operations: Vec<&Operation> =
        checked.iter().filter(fresh).map(|one| &one.operation).collect();
    let mut overlay = Overlay::new(handle.table(), turn.counters, now_ms);
    lay_in(sql, &mut tx, &mut overlay, &operations).await?;
    let mut applied = Vec::new();
    for one in &checked {
        let result = &mut results[one.at];
        if let Some(first) = seen.get(&one.operation.message_id) {
            (result.outcome, result.version, result.repeated) =
                (first.outcome, first.version, true);
            if first.fingerprint != one.fingerprint {
                (result.outcome, result.version, result.repeated) = (Outcome::Reused, None, false);
                result.problem = Some("the message id was used for another operation".to_owned());
            }
            continue;
        }
        let (outcome, version) = overlay.apply(&one.operation);
        (result.outcome, result.version) = (outcome, version);
        let message_id = one.operation.message_id.clone();
        let kept = Applied { message_id, fingerprint: one.fingerprint, outcome, version };
        seen.insert(kept.message_id.clone(), kept.clone());
        applied.push(kept);
    }
    if applied.is_empty() {
        turn.leave();
        return Ok(());
    }
    meta::keep_applied(&mut tx, sql.id, &applied, now_ms).await?;
    let history = overlay.changes.take_history();
    sql.write(&mut tx, &overlay.writes(&history)).await?;
    write_groups(sql, &mut tx, &mut overlay.changes).await?;
    turn.commit(tx, overlay.changes.counters()).await
}

/// Lays in the rows and groups that some operations concern.
async fn lay_in(
    sql: &TableSql,
    tx: &mut Tx,
    overlay: &mut Overlay<'_>,
    operations: &[&Operation],
) -> Result<(), StoreError> {
    let keys: HashSet<&Key> = operations.iter().map(|operation| &operation.key).collect();
    let mut keys: Vec<&Key> = keys.into_iter().collect();
    keys.sort_unstable();
    sql.rows_of(tx, &keys, |stored| overlay.lay_row(stored)).await?;
    for (at, aggregate) in sql.table.aggregates().iter().enumerate() {
        let set = operations.iter().filter_map(|operation| {
            let is_key = sql.table.key().iter().position(|&i| i == aggregate.group_by);
            let from_key = is_key.map(|at| &operation.key.0[at]);
            operation.set[aggregate.group_by].as_ref().or(from_key)
        });
        let mut groups: HashSet<Value> = set.cloned().collect();
        groups.extend(overlay.laid_rows().map(|stored| stored.row[aggregate.group_by].clone()));
        lay_groups(sql, tx, &mut overlay.changes, at, groups).await?;
    }
    Ok(())
}

/// Lays in groups of an aggregate, as far as they are not yet. Of one that only counts none are needed: its
/// groups are moved by a difference.
pub(crate) async fn lay_groups(
    sql: &TableSql,
    tx: &mut Tx,
    changes: &mut Changes<'_>,
    at: usize,
    mut groups: HashSet<Value>,
) -> Result<(), StoreError> {
    let aggregate = &sql.table.aggregates()[at];
    if aggregate.counts_only() {
        return Ok(());
    }
    changes.retain_unknown(at, &mut groups);
    let mut groups: Vec<&Value> = groups.iter().collect();
    groups.sort_unstable();
    sql.groups(tx, aggregate, &groups, |group, totals| changes.lay_group(at, group, totals)).await
}

/// Writes the aggregates, once the rows have been written, and the counters.
pub(crate) async fn write_groups(
    sql: &TableSql,
    tx: &mut Tx,
    changes: &mut Changes<'_>,
) -> Result<(), StoreError> {
    for (at, aggregate) in sql.table.aggregates().iter().enumerate() {
        let mut found = Vec::new();
        let stale = changes.stale(at);
        sql.extremes(tx, aggregate, &stale, |group, values| found.push((group, values))).await?;
        for (group, values) in found {
            changes.found(at, &group, values);
        }
        sql.write_groups(tx, aggregate, &changes.groups(at), changes.is_fresh()).await?;
    }
    meta::move_counters(tx, sql.id, changes.counters()).await
}

/// 64 bits of what an operation says. Not a defence: whoever sends other content under a message id of his
/// own cheats himself.
fn fingerprint(operation: &Operation) -> i64 {
    let mut hash = Sha256::new();
    let kind = match operation.kind {
        OperationKind::Add => 1u8,
        OperationKind::Update => 2,
        OperationKind::Delete => 3,
    };
    hash.update([kind]);
    // No version is so great.
    hash.update(operation.expected_version.unwrap_or(u64::MAX).to_le_bytes());
    let mut value = |value: &Value| match value {
        Value::Null => hash.update([1]),
        Value::Integer(n) => {
            hash.update([2]);
            hash.update(n.to_le_bytes());
        }
        Value::Date(day) => {
            hash.update([3]);
            hash.update(day.to_le_bytes());
        }
        Value::Text(text) => {
            hash.update([4]);
            hash.update((text.len() as u64).to_le_bytes());
            hash.update(text.as_bytes());
        }
    };
    operation.key.0.iter().for_each(&mut value);
    for (i, set) in operation.set.iter().enumerate() {
        if let Some(set) = set {
            value(&Value::Integer(i as i64));
            value(set);
        }
    }
    let digest = hash.finalize();
    let mut first = [0; 8];
    first.copy_from_slice(&digest[..8]);
    i64::from_le_bytes(first)
}
