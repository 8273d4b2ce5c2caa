//! A client of the broker that waits for every answer.

use lapin::options::{
    BasicAckOptions, BasicGetOptions, BasicPublishOptions, ConfirmSelectOptions,
    QueueDeclareOptions, QueueDeleteOptions,
};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{BasicProperties, Channel, Connection, ConnectionProperties};
use serde_json::Value;
use tokio::runtime::Runtime;

use tally_tests::{Rabbit, eventually};

/// A connection, and threads to use it.
pub(super) struct Client {
    runtime: Runtime,
    _connection: Connection,
    channel: Channel,
}

/// A message that has been taken out of a queue.
#[derive(Debug)]
pub(super) struct Got {
    pub(super) body: Vec<u8>,
    pub(super) properties: BasicProperties,
}

impl Got {
    pub(super) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    /// A header, as text.
    pub(super) fn header(&self, name: &str) -> String {
        let headers = self.properties.headers().as_ref().unwrap().inner();
        match headers.get(name) {
            Some(AMQPValue::LongString(text)) => String::from_utf8_lossy(text.as_bytes()).into(),
            Some(AMQPValue::LongInt(number)) => number.to_string(),
            other => panic!("{name}: {other:?}"),
        }
    }
}

/// Properties of a persistent message with an id and a header `table`.
pub(super) fn properties(message_id: &str, table: &str) -> BasicProperties {
    let mut headers = FieldTable::default();
    if !table.is_empty() {
        headers.insert("table".into(), AMQPValue::LongString(table.into()));
    }
    let plain = BasicProperties::default().with_delivery_mode(2).with_headers(headers);
    if message_id.is_empty() { plain } else { plain.with_message_id(message_id.into()) }
}

impl Client {
    pub(super) fn new(rabbit: &Rabbit) -> Self {
        let runtime = Runtime::new().unwrap();
        let url = rabbit.url();
        let (connection, channel) = runtime.block_on(async {
            let connection = Connection::connect(&url, ConnectionProperties::default());
            let connection = connection.await.unwrap();
            let channel = connection.create_channel().await.unwrap();
            channel.confirm_select(ConfirmSelectOptions::default()).await.unwrap();
            (connection, channel)
        });
        Self { runtime, _connection: connection, channel }
    }

    pub(super) fn declare(&self, queue: &str) {
        let durable = QueueDeclareOptions { durable: true, ..QueueDeclareOptions::default() };
        let declared = self.channel.queue_declare(queue.into(), durable, FieldTable::default());
        self.runtime.block_on(declared).unwrap();
    }

    pub(super) fn delete(&self, queue: &str) {
        let deleted = self.channel.queue_delete(queue.into(), QueueDeleteOptions::default());
        self.runtime.block_on(deleted).unwrap();
    }

    /// Messages that lie in a queue and are nobody's at the moment.
    pub(super) fn ready(&self, queue: &str) -> u32 {
        let passive = QueueDeclareOptions { passive: true, ..QueueDeclareOptions::default() };
        let declared = self.channel.queue_declare(queue.into(), passive, FieldTable::default());
        self.runtime.block_on(declared).unwrap().message_count()
    }

    /// Sends a message and waits until it is in its queue.
    pub(super) fn send(&self, queue: &str, body: &[u8], properties: BasicProperties) {
        let options = BasicPublishOptions { mandatory: true, ..BasicPublishOptions::default() };
        let confirmed = self.runtime.block_on(async {
            let sent =
                self.channel.basic_publish("".into(), queue.into(), options, body, properties);
            sent.await.unwrap().await.unwrap()
        });
        assert!(confirmed.is_ack() && confirmed.take_message().is_none(), "{queue}");
    }

    /// Takes a message out, as soon as there is one.
    pub(super) fn take(&self, queue: &str) -> Got {
        eventually(&format!("a message in {queue}"), || self.try_take(queue))
    }

    fn try_take(&self, queue: &str) -> Option<Got> {
        self.runtime.block_on(async {
            let got = self.channel.basic_get(queue.into(), BasicGetOptions::default()).await;
            let delivery = got.unwrap()?.delivery;
            delivery.ack(BasicAckOptions::default()).await.unwrap();
            Some(Got { body: delivery.data, properties: delivery.properties })
        })
    }
}
