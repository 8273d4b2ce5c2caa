//! Queues of operations: deliveries are gathered into batches, each batch is applied in one go, and
//! acknowledged when that is committed. The order of the queue is kept within each table.

use std::collections::HashMap;
use std::time::Duration;

use futures_util::StreamExt;
use lapin::Consumer;
use serde_json::json;
use tokio::time::sleep;
use tracing::warn;

use tally_common::api::{OperationDraft, OperationResult, OperationResults};
use tally_common::backoff::Backoff;

use super::config::OperationsQueue;
use super::decide::{self, Fate};
use super::link::BrokerError;
use super::message::{Message, TABLE};
use super::session::{Ended, Session};
use super::{Stop, jitter};
use crate::jobs::Jobs;
use crate::tables::{MAX_OPERATIONS, TablesError};

/// How long a batch waits for more once its first message is there: less than anybody notices, and
/// enough for those that were sent together.
const GATHER: Duration = Duration::from_millis(2);

/// Between two attempts to write to a store that fails. Its deliveries stay unacknowledged meanwhile,
/// so that the broker keeps what follows.
const STORE_RETRY: Backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(10));

/// Consumes until the master stops or something breaks.
pub(super) async fn consume(
    session: &mut Session,
    jobs: &Jobs,
    queue: &OperationsQueue,
    stop: &mut Stop,
) -> Result<Ended, BrokerError> {
    // While one half is applied, the other is on its way.
    let most = usize::from(queue.prefetch / 2).max(1);
    loop {
        let first = tokio::select! {
            biased;
            () = stop.wait() => return Ok(Ended::Stopped),
            delivery = session.consumer.next() => delivery,
        };
        let Some(first) = first else { return Ok(Ended::Cancelled) };
        let first = Message::from(first?);
        let batch = gather(&mut session.consumer, first, most).await?;
        let _working = session.in_flight(batch.len());
        if !settle(session, jobs, queue, &batch, stop).await? {
            return Ok(Ended::Stopped);
        }
    }
}

/// What there is, and what comes in the next moment.
async fn gather(
    consumer: &mut Consumer,
    first: Message,
    most: usize,
) -> Result<Vec<Message>, BrokerError> {
    let mut batch = vec![first];
    let mut over = std::pin::pin!(sleep(GATHER));
    while batch.len() < most {
        tokio::select! {
            biased;
            delivery = consumer.next() => match delivery {
                Some(delivery) => batch.push(Message::from(delivery?)),
                // It ends with the next look.
                None => break,
            },
            () = over.as_mut() => break,
        }
    }
    Ok(batch)
}

/// The operations of a message, or why there are none; then what they came to.
enum State {
    Read { table: String, drafts: Vec<OperationDraft> },
    Applied(Vec<OperationResult>),
    Bad(String),
}

/// Applies a batch and acknowledges it. `false` where the master stops before that.
async fn settle(
    session: &Session,
    jobs: &Jobs,
    queue: &OperationsQueue,
    batch: &[Message],
    stop: &mut Stop,
) -> Result<bool, BrokerError> {
    let mut states: Vec<State> = batch.iter().map(|message| read(message, queue)).collect();
    if !apply_all(jobs, &mut states, stop).await {
        return Ok(false);
    }
    let mut sent = Vec::new();
    let mut fates = Vec::with_capacity(batch.len());
    for (message, state) in batch.iter().zip(states) {
        let (fate, answer) = match state {
            State::Applied(results) => {
                let fate = decide::fate(&results, queue.dead_letter_refused);
                (fate, Ok(OperationResults { results }))
            }
            State::Bad(reason) => (Fate::Dead(reason.clone()), Err(reason)),
            // All have been applied, or refused.
            State::Read { .. } => continue,
        };
        sent.extend(session.send_on(message, &fate).await?);
        let json = || match answer {
            Ok(results) => serde_json::to_vec(&results).unwrap_or_default(),
            Err(reason) => json!({ "problem": reason }).to_string().into_bytes(),
        };
        sent.extend(session.reply(message, json).await?);
        fates.push(fate);
    }
    for message in sent {
        message.confirmed().await?;
    }
    if let Some(last) = batch.last() {
        session.ack(last.tag, true).await?;
    }
    fates.iter().for_each(|fate| session.count(fate));
    Ok(true)
}

fn read(message: &Message, queue: &OperationsQueue) -> State {
    let Some(table) = message.header(TABLE).or_else(|| queue.table.clone()) else {
        let missing = "no table: name it in the message's header `table`, or with the queue";
        return State::Bad(missing.to_owned());
    };
    match decide::operations(&message.body, message.message_id()) {
        Ok(drafts) => State::Read { table, drafts },
        Err(reason) => State::Bad(reason),
    }
}

/// Applies what is read, table by table. `false` where the master stops before all are done.
async fn apply_all(jobs: &Jobs, states: &mut [State], stop: &mut Stop) -> bool {
    let mut tables: HashMap<String, Vec<usize>> = HashMap::new();
    for (i, state) in states.iter().enumerate() {
        if let State::Read { table, .. } = state {
            tables.entry(table.clone()).or_default().push(i);
        }
    }
    for (table, members) in tables {
        let mut lengths = Vec::with_capacity(members.len());
        let mut drafts = Vec::new();
        for &i in &members {
            let State::Read { drafts: own, .. } = &mut states[i] else { continue };
            lengths.push(own.len());
            drafts.append(own);
        }
        let mut results = Vec::with_capacity(drafts.len());
        let mut bad = None;
        for chunk in drafts.chunks(MAX_OPERATIONS) {
            match apply(jobs, &table, chunk, stop).await {
                Applied::Results(some) => results.extend(some),
                Applied::Never(reason) => {
                    bad = Some(reason);
                    break;
                }
                Applied::Stopping => return false,
            }
        }
        let mut results = results.into_iter();
        for (&i, length) in members.iter().zip(lengths) {
            let own: Vec<_> = results.by_ref().take(length).collect();
            states[i] = match &bad {
                Some(reason) if own.len() < length => State::Bad(reason.clone()),
                _ => State::Applied(own),
            };
        }
    }
    true
}

enum Applied {
    Results(Vec<OperationResult>),
    Never(String),
    Stopping,
}

/// Applies operations; tries for as long as it takes while the store fails.
async fn apply(jobs: &Jobs, table: &str, drafts: &[OperationDraft], stop: &mut Stop) -> Applied {
    let mut failures = 0;
    loop {
        let error = match jobs.tables().apply(table, drafts.to_vec()).await {
            Ok(results) => return Applied::Results(results),
            Err(error) => error,
        };
        match error {
            TablesError::Stopped => return Applied::Stopping,
            // Another attempt would come to the same.
            TablesError::NotFound(_)
            | TablesError::Definition(_)
            | TablesError::Value(_)
            | TablesError::Query(_)
            | TablesError::TooMany { .. } => return Applied::Never(error.to_string()),
            // The store fails, and that is no fault of theirs.
            _ => {}
        }
        let wait = STORE_RETRY.wait(failures, jitter());
        failures = failures.saturating_add(1);
        warn!(table, %error, ?wait, "operations could not be applied; trying again");
        if !stop.sleep(wait).await {
            return Applied::Stopping;
        }
    }
}
