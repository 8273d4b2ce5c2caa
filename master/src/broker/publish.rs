//! Messages that are sent: each is persistent, and the broker confirms that it has taken it.

use lapin::options::{BasicPublishOptions, ConfirmSelectOptions};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{BasicProperties, Channel, Confirmation, PublisherConfirm};

use super::link::{BrokerError, Connected, MANDATORY, short};

/// Sends messages over a connection of its own: a broker that is short of memory or disk stops to read
/// from connections that send, and acknowledgements must not wait for that.
#[derive(Debug)]
pub struct Publisher {
    channel: Channel,
    connected: Connected,
}

/// A message that was sent and is not confirmed yet.
#[derive(Debug)]
pub struct Sent {
    to: String,
    confirm: PublisherConfirm,
}

impl Sent {
    /// Waits until the broker has taken it.
    ///
    /// # Errors
    /// [`BrokerError`]: whether it has is then not known.
    pub async fn confirmed(self) -> Result<(), BrokerError> {
        match self.confirm.await? {
            Confirmation::Ack(None) | Confirmation::NotRequested => Ok(()),
            Confirmation::Ack(Some(_)) => Err(BrokerError::Unroutable(self.to)),
            Confirmation::Nack(_) => Err(BrokerError::NotTaken(self.to)),
        }
    }
}

impl Publisher {
    /// Sends over `connected` from now on.
    ///
    /// # Errors
    /// [`BrokerError`].
    pub async fn new(connected: Connected) -> Result<Self, BrokerError> {
        let channel = connected.channel().await?;
        channel.confirm_select(ConfirmSelectOptions::default()).await?;
        Ok(Self { channel, connected })
    }

    /// Sends a message to a queue, persistent, with a message id and headers that are texts.
    ///
    /// # Errors
    /// [`BrokerError`].
    pub async fn to_queue(
        &self,
        queue: &str,
        body: &[u8],
        content_type: &str,
        message_id: &str,
        headers: &[(&str, &str)],
    ) -> Result<Sent, BrokerError> {
        let mut table = FieldTable::default();
        for (name, value) in headers {
            table.insert(short(name)?, AMQPValue::LongString(value.as_bytes().into()));
        }
        let properties = BasicProperties::default()
            .with_delivery_mode(2)
            .with_content_type(short(content_type)?)
            .with_message_id(short(message_id)?)
            .with_headers(table);
        self.send("", queue, MANDATORY, body, properties).await
    }

    pub(super) async fn send(
        &self,
        exchange: &str,
        key: &str,
        options: BasicPublishOptions,
        body: &[u8],
        properties: BasicProperties,
    ) -> Result<Sent, BrokerError> {
        let published =
            self.channel.basic_publish(short(exchange)?, short(key)?, options, body, properties);
        Ok(Sent { to: key.to_owned(), confirm: published.await? })
    }

    /// Sees to it that there is a queue.
    ///
    /// # Errors
    /// [`BrokerError`].
    pub async fn ensure_queue(&self, name: &str) -> Result<(), BrokerError> {
        self.connected.ensure_queue(name).await
    }

    /// Says goodbye.
    pub async fn close(self) {
        self.connected.close().await;
    }
}
