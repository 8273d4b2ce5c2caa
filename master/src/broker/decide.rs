//! What to do with a delivery. Pure: no IO, no clock, no randomness.

use std::time::Duration;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use tally_common::api::{OperationDraft, OperationResult, Outcome};

use crate::jobs::JobsError;
use crate::spool::InputError;
use crate::tables::TablesError;

/// What becomes of a delivery.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// It is acknowledged: what it wanted is done.
    Done,
    /// It is acknowledged: it was refused, which is an answer.
    Refused,
    /// It is sent to the dead-letter queue, and then acknowledged.
    Dead(String),
    /// It is sent to the retry queue, and then acknowledged.
    Retry {
        /// Why it failed.
        reason: String,
        /// How long it waits there.
        delay: Duration,
    },
}

impl Fate {
    /// For metrics.
    pub(super) fn as_str(&self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Refused => "refused",
            Self::Dead(_) => "dead",
            Self::Retry { .. } => "retried",
        }
    }
}

/// Before the first retry of a message, and before the last: what does not pass in ten minutes is for
/// people to look at.
const RETRY_DELAY: (Duration, Duration) = (Duration::from_secs(5), Duration::from_secs(300));

/// What becomes of a message that has failed for a reason that may pass, after so many attempts before
/// this one.
pub(super) fn again(attempts: u32, max_retries: u32, reason: String) -> Fate {
    if attempts >= max_retries {
        return Fate::Dead(format!("{reason} (after {} attempts)", attempts.saturating_add(1)));
    }
    let (first, last) = RETRY_DELAY;
    let factor = 1u32.checked_shl(attempts).unwrap_or(u32::MAX);
    Fate::Retry { reason, delay: first.saturating_mul(factor).min(last) }
}

/// The operations that a body holds: one as a JSON object, several as an array, as
/// `{"operations": […]}`, or one behind the other. One alone may leave its message id to the property.
pub(super) fn operations(
    body: &[u8],
    property: Option<&str>,
) -> Result<Vec<OperationDraft>, String> {
    let body = body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body);
    if body.iter().find(|byte| !byte.is_ascii_whitespace()) == Some(&b'[') {
        return some(read("the array of operations", body)?);
    }
    // What most messages are, at the least cost.
    if let Ok(one) = serde_json::from_slice(body) {
        return Ok(vec![one]);
    }
    let texts = serde_json::Deserializer::from_slice(body).into_iter::<&RawValue>();
    let texts = texts.enumerate().map(|(i, text)| {
        let number = i + 1;
        text.map(RawValue::get).map_err(|error| format!("operation {number} is no JSON: {error}"))
    });
    let texts = texts.collect::<Result<Vec<_>, _>>()?;
    if let [one] = &texts[..] {
        return single(one, property);
    }
    let read_one =
        |(i, text): (usize, &&str)| read(&format!("operation {}", i + 1), text.as_bytes());
    some(texts.iter().enumerate().map(read_one).collect::<Result<_, _>>()?)
}

fn single(text: &str, property: Option<&str>) -> Result<Vec<OperationDraft>, String> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Several {
        operations: Vec<OperationDraft>,
    }
    let mut object: Map<String, Value> = read("the operation", text.as_bytes())?;
    if object.contains_key("operations") {
        return some(read::<Several>("the operations", text.as_bytes())?.operations);
    }
    if let Some(id) = property
        && !object.contains_key("message_id")
    {
        object.insert("message_id".to_owned(), id.into());
    }
    let draft = serde_json::from_value(object.into());
    Ok(vec![draft.map_err(|error| format!("the operation: {error}"))?])
}

fn some(operations: Vec<OperationDraft>) -> Result<Vec<OperationDraft>, String> {
    if operations.is_empty() {
        Err("there is no operation in it".to_owned())
    } else {
        Ok(operations)
    }
}

fn read<T: DeserializeOwned>(what: &str, json: &[u8]) -> Result<T, String> {
    serde_json::from_slice(json).map_err(|error| format!("{what}: {error}"))
}

/// What becomes of a message whose operations came to `results`, which are committed.
pub(super) fn fate(results: &[OperationResult], dead_letter_refused: bool) -> Fate {
    let named = |number: usize, result: &OperationResult, what: &str| {
        let several = if results.len() > 1 { format!(" {}", number + 1) } else { String::new() };
        Fate::Dead(format!("operation{several} ({:?}): {what}", result.message_id))
    };
    let mut refused = None;
    for (number, result) in results.iter().enumerate() {
        match result.outcome {
            Outcome::Invalid => {
                let problem = result.problem.as_deref().unwrap_or("it is invalid");
                return named(number, result, problem);
            }
            outcome if !outcome.is_done() => drop(refused.get_or_insert((number, result))),
            _ => {}
        }
    }
    match refused {
        None => Fate::Done,
        Some((number, result)) if dead_letter_refused => {
            named(number, result, result.outcome.as_str())
        }
        Some(_) => Fate::Refused,
    }
}

/// Why a file could not be taken in, as far as that decides what to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Failure {
    /// It will be the same each time.
    Final(String),
    /// It may pass, and is about this message: another attempt, later.
    Passing(String),
    /// It may pass, and is about this master: the message waits here, and no attempt is counted.
    Master(String),
    /// It was taken in before, under the same key.
    Before,
    /// The master is stopping: the next one gets it again.
    Stopping,
}

/// What an error means for the message whose file it is about.
pub(super) fn failure(error: &JobsError) -> Failure {
    let text = error.to_string();
    match error {
        JobsError::Stopped(_)
        | JobsError::Interrupted { .. }
        | JobsError::Input { error: InputError::Stopped, .. } => Failure::Stopping,
        JobsError::Input { error: InputError::Source(_) | InputError::Changed, .. } => {
            Failure::Passing(text)
        }
        JobsError::Input { error: InputError::Io(_), .. }
        | JobsError::Busy(_)
        | JobsError::QueueFull(_)
        | JobsError::NoRoom { .. }
        | JobsError::InProgress(_)
        | JobsError::Store(_)
        | JobsError::Io(_) => Failure::Master(text),
        JobsError::KeyExpired => Failure::Before,
        JobsError::Tables(TablesError::Stopped) => Failure::Stopping,
        JobsError::Tables(
            TablesError::NotFound(_)
            | TablesError::Exists(_)
            | TablesError::Definition(_)
            | TablesError::Value(_),
        ) => Failure::Final(text),
        JobsError::Tables(_) => Failure::Master(text),
        _ => Failure::Final(text),
    }
}

/// Where a file is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Where {
    /// In the message itself.
    Body,
    /// To be fetched from there.
    Url(String),
    /// On the master's machine.
    Path(String),
}

/// Where the file of a message is: the body is a reference where its content type says JSON, or where
/// it is an object with `url` or `path` and nothing else.
pub(super) fn place(body: &[u8], content_type: Option<&str>) -> Result<Where, String> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields, rename_all = "lowercase")]
    enum Reference {
        Url(String),
        Path(String),
    }
    let kind = content_type.and_then(|kind| kind.split(';').next()).unwrap_or_default();
    let says_json = kind.trim().eq_ignore_ascii_case("application/json");
    match serde_json::from_slice(body) {
        Ok(Reference::Url(url)) => Ok(Where::Url(url)),
        Ok(Reference::Path(path)) => Ok(Where::Path(path)),
        Err(error) if says_json => {
            Err(format!(r#"a reference is {{"url": "…"}} or {{"path": "…"}}: {error}"#))
        }
        Err(_) if body.is_empty() => Err("the message is empty".to_owned()),
        Err(_) => Ok(Where::Body),
    }
}

#[cfg(test)]
mod tests;
