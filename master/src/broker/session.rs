//! One subscription, from its connection to its end: what is consumed, and how a delivery is settled.
//! Two connections, one to consume and one to publish: see [`Publisher`].

use lapin::options::{BasicAckOptions, BasicConsumeOptions, BasicPublishOptions, BasicQosOptions};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{BasicProperties, Channel, Consumer};
use tracing::{info, warn};

use super::config::{BrokerConfig, Queue};
use super::decide::Fate;
use super::link::{BrokerError, Connected, MANDATORY, connect, short};
use super::message::Message;
use super::publish::{Publisher, Sent};
use super::{Stop, files, operations};
use crate::jobs::Jobs;
use crate::metrics;

/// How a subscription has ended, if not by an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ended {
    /// The master stops.
    Stopped,
    /// The broker has ended it.
    Cancelled,
}

/// A subscription.
pub(super) struct Session {
    /// For the files alone, the queue where messages wait to be tried again.
    retry: Option<String>,
    queue: String,
    kind: &'static str,
    dead_letter: String,
    pub(super) max_retries: u32,
    connected: Connected,
    channel: Channel,
    pub(super) consumer: Consumer,
    publisher: Publisher,
}

impl Session {
    /// Connects, sees to it that the queues are there, and subscribes.
    pub(super) async fn open(config: &BrokerConfig, queue: &Queue) -> Result<Self, BrokerError> {
        let name = queue.name();
        let connected = connect(&config.address, &format!("tally {name}")).await?;
        connected.ensure_exchange(&config.dead_letter).await?;
        connected.ensure_queue(name).await?;
        let retry = match queue {
            // What fails there fails for the store, and waits here.
            Queue::Operations(_) => None,
            Queue::Files(_) => {
                let retry = format!("{name}.retry");
                connected.ensure_queue_with(&retry, back_to(name)).await?;
                Some(retry)
            }
        };
        let sending = connect(&config.address, &format!("tally {name} (answers)")).await?;
        let publisher = Publisher::new(sending).await?;
        let channel = connected.channel().await?;
        channel.basic_qos(queue.prefetch(), BasicQosOptions::default()).await?;
        let options = BasicConsumeOptions::default();
        let consuming =
            channel.basic_consume(short(name)?, "".into(), options, FieldTable::default());
        let consumer = consuming.await?;
        Ok(Self {
            retry,
            queue: name.to_owned(),
            kind: queue.kind(),
            dead_letter: config.dead_letter.clone(),
            max_retries: config.max_retries,
            connected,
            channel,
            consumer,
            publisher,
        })
    }

    /// Consumes until the master stops or something breaks.
    pub(super) async fn run(
        mut self,
        jobs: &Jobs,
        queue: &Queue,
        stop: &mut Stop,
    ) -> Result<Ended, BrokerError> {
        let ended = match queue {
            Queue::Operations(queue) => operations::consume(&mut self, jobs, queue, stop).await,
            Queue::Files(queue) => files::consume(&mut self, jobs, queue, stop).await,
        };
        // What is not acknowledged goes back into the queue with the connection.
        self.publisher.close().await;
        self.connected.close().await;
        ended
    }

    /// Sends on what is to be sent on of a delivery.
    pub(super) async fn send_on(
        &self,
        message: &Message,
        fate: &Fate,
    ) -> Result<Option<Sent>, BrokerError> {
        let attempts = message.attempts().saturating_add(1);
        let (queue, id) = (&self.queue, message.message_id().unwrap_or_default());
        let sent = match fate {
            Fate::Done | Fate::Refused => return Ok(None),
            Fate::Dead(reason) => {
                warn!(queue, message_id = id, reason, "a message goes to the dead-letter queue");
                let properties = message.properties_on(queue, attempts, reason);
                let to = &self.dead_letter;
                self.publisher.send(to, to, MANDATORY, &message.body, properties).await?
            }
            Fate::Retry { reason, delay } => {
                info!(queue, message_id = id, reason, ?delay, "a message is tried again later");
                let wait = delay.as_millis().to_string();
                let properties = message.properties_on(queue, attempts, reason);
                let properties = properties.with_expiration(short(&wait)?);
                let to = self.retry.as_deref().unwrap_or(queue);
                self.publisher.send("", to, MANDATORY, &message.body, properties).await?
            }
        };
        Ok(Some(sent))
    }

    /// Answers who waits for an answer, if somebody does.
    pub(super) async fn reply(
        &self,
        message: &Message,
        json: impl FnOnce() -> Vec<u8>,
    ) -> Result<Option<Sent>, BrokerError> {
        let Some((to, id)) = message.reply_to() else { return Ok(None) };
        let mut properties =
            BasicProperties::default().with_content_type("application/json".into());
        if let Some(id) = id {
            properties = properties.with_correlation_id(id);
        }
        // Who has gone away needs no answer: one that no queue takes is dropped.
        let options = BasicPublishOptions::default();
        Ok(Some(self.publisher.send("", to.as_str(), options, &json(), properties).await?))
    }

    /// Acknowledges a delivery, and with `multiple` all before it.
    pub(super) async fn ack(&self, tag: u64, multiple: bool) -> Result<(), BrokerError> {
        Ok(self.channel.basic_ack(tag, BasicAckOptions { multiple }).await?)
    }

    /// Counts what became of a delivery.
    pub(super) fn count(&self, fate: &Fate) {
        metrics::broker_message(self.kind, fate.as_str());
    }

    /// So many deliveries more are in work, until what comes back is dropped.
    pub(super) fn in_flight(&self, messages: usize) -> InFlight {
        let (kind, messages) = (self.kind, i32::try_from(messages).unwrap_or(i32::MAX));
        metrics::broker_in_flight(kind, messages);
        InFlight { kind, messages }
    }
}

/// Deliveries that are in work.
pub(super) struct InFlight {
    kind: &'static str,
    messages: i32,
}

impl Drop for InFlight {
    fn drop(&mut self) {
        metrics::broker_in_flight(self.kind, -self.messages);
    }
}

/// Of a queue whose messages go to `queue` when their time is over.
fn back_to(queue: &str) -> FieldTable {
    let mut arguments = FieldTable::default();
    let text = |text: &str| AMQPValue::LongString(text.as_bytes().into());
    arguments.insert("x-dead-letter-exchange".into(), text(""));
    arguments.insert("x-dead-letter-routing-key".into(), text(queue));
    arguments
}
