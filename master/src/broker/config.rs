//! Which queues of a broker are consumed, and how.

use std::str::FromStr;

use thiserror::Error;

use super::Address;

/// Unacknowledged messages that a queue of operations has on their way to this master, where the
/// operator does not say: two batches of 500, one that is applied and one that arrives meanwhile.
const OPERATIONS_PREFETCH: u16 = 1000;

/// The same of a queue of files: each may be large, and is in memory until it is spooled.
const FILES_PREFETCH: u16 = 2;

/// Longest name of a queue, in bytes, so that `NAME.retry` still fits the 255 that AMQP has for it.
const MAX_QUEUE_NAME: usize = 249;

/// What is consumed, from where.
#[derive(Clone, Debug)]
pub struct BrokerConfig {
    /// The broker.
    pub address: Address,
    /// Queues whose messages are operations.
    pub operations: Vec<OperationsQueue>,
    /// Queues whose messages are files.
    pub files: Vec<FilesQueue>,
    /// The exchange and the queue behind it that failed messages go to.
    pub dead_letter: String,
    /// How often a message is tried again whose failure may pass.
    pub max_retries: u32,
}

impl BrokerConfig {
    /// The defaults: `tally.operations`, `tally.files`, `tally.dead`, five retries.
    pub fn new(address: Address) -> Self {
        Self {
            address,
            operations: Vec::new(),
            files: Vec::new(),
            dead_letter: "tally.dead".to_owned(),
            max_retries: 5,
        }
    }

    /// How many queues there are.
    pub(crate) fn queue_count(&self) -> usize {
        self.queues().len()
    }

    /// All queues; those by the default names where the operator names none.
    pub(super) fn queues(&self) -> Vec<Queue> {
        let operations = self.operations.iter().cloned().map(Queue::Operations);
        let mut all: Vec<_> =
            operations.chain(self.files.iter().cloned().map(Queue::Files)).collect();
        if all.is_empty() {
            all.push(Queue::Operations(OperationsQueue::named("tally.operations")));
            all.push(Queue::Files(FilesQueue::named("tally.files")));
        }
        all
    }
}

/// A queue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Queue {
    /// Of operations.
    Operations(OperationsQueue),
    /// Of files.
    Files(FilesQueue),
}

impl Queue {
    pub(super) fn name(&self) -> &str {
        match self {
            Self::Operations(queue) => &queue.name,
            Self::Files(queue) => &queue.name,
        }
    }

    pub(super) fn prefetch(&self) -> u16 {
        match self {
            Self::Operations(queue) => queue.prefetch,
            Self::Files(queue) => queue.prefetch,
        }
    }

    /// For metrics.
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Self::Operations(_) => "operations",
            Self::Files(_) => "files",
        }
    }
}

/// A queue of operations: `NAME?table=TABLE&prefetch=N&dead_letter_refused=true`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OperationsQueue {
    /// Its name.
    pub name: String,
    /// The table of messages that do not name one in their header `table`.
    pub table: Option<String>,
    /// Messages that may be unacknowledged at a time; at least 1.
    pub prefetch: u16,
    /// Messages with an operation that was refused (`exists`, `missing`, `conflict`, …) go to the
    /// dead-letter queue. They are acknowledged otherwise: a refusal is an answer.
    pub dead_letter_refused: bool,
}

/// A queue of files: `NAME?prefetch=N&PARAMETERS`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FilesQueue {
    /// Its name.
    pub name: String,
    /// Messages that may be unacknowledged at a time; at least 1.
    pub prefetch: u16,
    /// What becomes of them, as the query of `POST /api/v1/jobs` says it. Messages may say otherwise.
    pub parameters: String,
}

/// Why a text names no queue.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum BadQueue {
    /// The name.
    #[error("the name of a queue has 1 to {MAX_QUEUE_NAME} bytes, and does not begin with amq.")]
    Name,
    /// A parameter that makes no sense.
    #[error("the queue's parameter {0}")]
    Parameter(String),
}

impl OperationsQueue {
    fn named(name: &str) -> Self {
        let prefetch = OPERATIONS_PREFETCH;
        Self { name: name.to_owned(), table: None, prefetch, dead_letter_refused: false }
    }
}

impl FilesQueue {
    fn named(name: &str) -> Self {
        Self { name: name.to_owned(), prefetch: FILES_PREFETCH, parameters: String::new() }
    }
}

impl FromStr for OperationsQueue {
    type Err = BadQueue;

    fn from_str(text: &str) -> Result<Self, BadQueue> {
        let (name, parameters) = split(text)?;
        let mut queue = Self::named(name);
        for (key, value) in form_urlencoded::parse(parameters.as_bytes()) {
            match &*key {
                "table" => queue.table = Some(value.into_owned()),
                "prefetch" => queue.prefetch = prefetch(&value)?,
                "dead_letter_refused" => {
                    queue.dead_letter_refused = value.parse().map_err(|_| {
                        BadQueue::Parameter("dead_letter_refused: true or false".to_owned())
                    })?;
                }
                _ => {
                    let known = "table, prefetch and dead_letter_refused are";
                    return Err(BadQueue::Parameter(format!("{key:?} is not known; {known}")));
                }
            }
        }
        Ok(queue)
    }
}

impl FromStr for FilesQueue {
    type Err = BadQueue;

    fn from_str(text: &str) -> Result<Self, BadQueue> {
        let (name, parameters) = split(text)?;
        let mut queue = Self::named(name);
        let mut others = form_urlencoded::Serializer::new(String::new());
        for (key, value) in form_urlencoded::parse(parameters.as_bytes()) {
            match &*key {
                "prefetch" => queue.prefetch = prefetch(&value)?,
                _ => drop(others.append_pair(&key, &value)),
            }
        }
        queue.parameters = others.finish();
        Ok(queue)
    }
}

fn split(text: &str) -> Result<(&str, &str), BadQueue> {
    let (name, parameters) = text.split_once('?').unwrap_or((text, ""));
    // Names that begin so are the broker's own.
    let sane = !name.is_empty() && name.len() <= MAX_QUEUE_NAME && !name.starts_with("amq.");
    if sane { Ok((name, parameters)) } else { Err(BadQueue::Name) }
}

fn prefetch(text: &str) -> Result<u16, BadQueue> {
    let wrong = || BadQueue::Parameter(format!("prefetch: 1 to {} messages", u16::MAX));
    // None at all would mean no limit.
    text.parse().ok().filter(|prefetch| *prefetch > 0).ok_or_else(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_queue_is_a_name_and_parameters() {
        let plain: OperationsQueue = "tally.operations".parse().unwrap();
        assert_eq!(plain, OperationsQueue::named("tally.operations"));
        let queue: OperationsQueue =
            "orders?table=orders&prefetch=50&dead_letter_refused=true".parse().unwrap();
        assert_eq!((queue.table.as_deref(), queue.prefetch), (Some("orders"), 50));
        assert!(queue.dead_letter_refused);
        let files: FilesQueue = "in?preset=plays&prefetch=4&max_rejects=1%25".parse().unwrap();
        assert_eq!((&*files.parameters, files.prefetch), ("preset=plays&max_rejects=1%25", 4));
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        for text in ["", "?table=x", "amq.x", "q?prefetch=0", "q?prefetch=70000", "q?tabel=x"] {
            assert!(text.parse::<OperationsQueue>().is_err(), "{text}");
        }
        assert!("q?dead_letter_refused=1".parse::<OperationsQueue>().is_err());
        assert!("x".repeat(250).parse::<FilesQueue>().is_err());
    }

    #[test]
    fn the_default_queues_are_there_where_none_are_named() {
        let address = "amqp://localhost".parse().unwrap();
        let mut config = BrokerConfig::new(address);
        let names: Vec<_> = config.queues().iter().map(|q| q.name().to_owned()).collect();
        assert_eq!(names, ["tally.operations", "tally.files"]);
        config.files.push("in".parse().unwrap());
        assert_eq!(config.queues().len(), 1);
    }
}
