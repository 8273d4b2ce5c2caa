//! Queues of files: each becomes a job under its message's id, and is acknowledged when the job has
//! succeeded. A message that comes again meets the job that there is.

use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use lapin::types::ShortString;
use sha2::{Digest, Sha256};
use tracing::warn;

use tally_common::api::{JobState, JobView};
use tally_common::backoff::Backoff;
use tally_common::id::JobId;
use tally_common::limits::MAX_KEY_BYTES;

use super::config::FilesQueue;
use super::decide::{self, Failure, Fate, Where};
use super::link::BrokerError;
use super::message::{Message, PARAMETERS, TABLE};
use super::session::{Ended, Session};
use super::{Stop, jitter, submit};
use crate::jobs::Jobs;

/// Between two attempts to hand a file to a master that takes none just now.
const MASTER_RETRY: Backoff = Backoff::new(Duration::from_millis(500), Duration::from_secs(15));

/// Consumes until the master stops or something breaks.
pub(super) async fn consume(
    session: &mut Session,
    jobs: &Jobs,
    queue: &FilesQueue,
    stop: &mut Stop,
) -> Result<Ended, BrokerError> {
    // As many as the broker lets be unacknowledged.
    let mut running = FuturesUnordered::new();
    let mut consumer = session.consumer.clone();
    let session = &*session;
    loop {
        tokio::select! {
            // Jobs go on with the next master, and messages meet them there.
            () = stop.wait() => return Ok(Ended::Stopped),
            delivery = consumer.next() => {
                let Some(delivery) = delivery else { return Ok(Ended::Cancelled) };
                let (message, stop) = (Message::from(delivery?), stop.clone());
                running.push(settle(session, jobs, queue, message, stop));
            }
            Some(settled) = running.next() => {
                if !settled? {
                    return Ok(Ended::Stopped);
                }
            }
        }
    }
}

/// Sees a message to its end. `false` where the master stops before that.
async fn settle(
    session: &Session,
    jobs: &Jobs,
    queue: &FilesQueue,
    message: Message,
    mut stop: Stop,
) -> Result<bool, BrokerError> {
    let _working = session.in_flight(1);
    let Some((fate, job)) = take(session, jobs, queue, &message, &mut stop).await else {
        return Ok(false);
    };
    if let Some(sent) = session.send_on(&message, &fate).await? {
        sent.confirmed().await?;
    }
    if !matches!(fate, Fate::Retry { .. }) {
        let json = || match (&job, &fate) {
            (Some(job), _) => serde_json::to_vec(job).unwrap_or_default(),
            (None, Fate::Dead(reason)) => {
                serde_json::json!({ "problem": reason }).to_string().into_bytes()
            }
            (None, _) => b"{}".to_vec(),
        };
        if let Some(sent) = session.reply(&message, json).await? {
            sent.confirmed().await?;
        }
    }
    session.ack(message.tag, false).await?;
    session.count(&fate);
    Ok(true)
}

/// Takes the file in, waits for its job, and says what becomes of the message. `None` where the master
/// stops.
async fn take(
    session: &Session,
    jobs: &Jobs,
    queue: &FilesQueue,
    message: &Message,
    stop: &mut Stop,
) -> Option<(Fate, Option<JobView>)> {
    let mut waits = 0;
    let job = loop {
        let submitted = tokio::select! {
            () = stop.wait() => return None,
            submitted = submit(jobs, queue, message) => submitted,
        };
        match submitted {
            Ok(job) => break job,
            Err(Failure::Final(reason)) => return Some((Fate::Dead(reason), None)),
            Err(Failure::Passing(reason)) => {
                let fate = decide::again(message.attempts(), session.max_retries, reason);
                return Some((fate, None));
            }
            Err(Failure::Before) => return Some((Fate::Done, None)),
            Err(Failure::Stopping) => return None,
            Err(Failure::Master(reason)) => {
                let wait = MASTER_RETRY.wait(waits, jitter());
                waits = waits.saturating_add(1);
                warn!(queue = queue.name, reason, ?wait, "a file must wait");
                if !stop.sleep(wait).await {
                    return None;
                }
            }
        }
    };
    let ended = tokio::select! {
        () = stop.wait() => return None,
        ended = jobs.wait(job) => ended,
    };
    let view = match ended {
        Ok(view) => view,
        Err(error) => match decide::failure(&error) {
            Failure::Stopping => return None,
            _ => return Some((Fate::Dead(error.to_string()), None)),
        },
    };
    let fate = match view.state {
        JobState::Succeeded => Fate::Done,
        JobState::Cancelled => Fate::Dead(format!("job {job} was cancelled")),
        _ => {
            let error = view.error.as_deref().unwrap_or("it failed");
            Fate::Dead(format!("job {job}: {error}"))
        }
    };
    Some((fate, Some((*view).clone())))
}

/// Opens the job of a message and takes its input in.
async fn submit(jobs: &Jobs, queue: &FilesQueue, message: &Message) -> Result<JobId, Failure> {
    let kind = message.properties.content_type().as_ref().map(ShortString::as_str);
    let place = decide::place(&message.body, kind).map_err(Failure::Final)?;
    let parameters = parameters(queue, message);
    let key = key(&queue.name, &parameters, message, &place).map_err(Failure::Final)?;
    submit::submit(jobs, &parameters, place, &message.body, Some(key)).await
}

/// What is to become of a file: as its message says, else as its queue does.
fn parameters(queue: &FilesQueue, message: &Message) -> String {
    let mut all = queue.parameters.clone();
    if let Some(given) = message.header(PARAMETERS) {
        all = given;
    }
    let mut all = form_urlencoded::Serializer::new(all);
    for name in [TABLE, "mode"] {
        if let Some(value) = message.header(name) {
            all.append_pair(name, &value);
        }
    }
    all.finish()
}

/// Under which key a file is submitted: the message's id, else what its content is. The name of a file
/// may stand for other bytes tomorrow, so it is none.
fn key(queue: &str, parameters: &str, message: &Message, place: &Where) -> Result<String, String> {
    if let Some(id) = message.message_id() {
        if id.len() <= MAX_KEY_BYTES && id.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Ok(id.to_owned());
        }
        return Ok(hashed(&[b"id", id.as_bytes()]));
    }
    match place {
        Where::Body => {
            let parts = [queue.as_bytes(), parameters.as_bytes(), &message.body];
            Ok(hashed(&parts))
        }
        _ => Err("a message that names a file needs the property message_id: by that it is known \
                  when it is delivered again"
            .to_owned()),
    }
}

fn hashed(parts: &[&[u8]]) -> String {
    let mut sum = Sha256::new();
    for part in parts {
        sum.update((part.len() as u64).to_le_bytes());
        sum.update(part);
    }
    let hex: String = sum.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
    format!("amqp-{hex}")
}
