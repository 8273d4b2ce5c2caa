//! Connections to a broker, and the queues and exchanges that must be there. What is there already is
//! taken as it is; what is not is declared durable.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use lapin::options::{
    BasicPublishOptions, ExchangeDeclareOptions, QueueBindOptions, QueueDeclareOptions,
};
use lapin::protocol::{AMQPErrorKind, AMQPSoftError};
use lapin::runtime::default_runtime;
use lapin::tcp::OwnedTLSConfig;
use lapin::types::{FieldTable, ShortString};
use lapin::{Channel, Connection, ConnectionProperties, ErrorKind, ExchangeKind};
use thiserror::Error;
use tokio::time::timeout;

use super::Address;

/// How long a broker may take from the first packet to an open connection: one that takes longer hangs.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(15);

/// How long closing a connection may take: nobody needs the answer.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);

/// What AMQP calls a normal end.
const REPLY_SUCCESS: u16 = 200;

/// Whether a message that no queue takes comes back.
pub(super) const MANDATORY: BasicPublishOptions =
    BasicPublishOptions { mandatory: true, immediate: false };

/// What went wrong between here and a broker. Never holds a password.
#[derive(Debug, Error)]
pub enum BrokerError {
    /// The broker refused, or the connection broke.
    #[error("{0}")]
    Amqp(#[from] lapin::Error),
    /// The file of authorities that the address names.
    #[error("cacertfile {0:?}: {1}")]
    Authorities(PathBuf, io::Error),
    /// It does not answer.
    #[error("the broker does not answer within {} s", CONNECT_TIMEOUT.as_secs())]
    Silent,
    /// It took no responsibility for a message.
    #[error(
        "the broker did not take a message for {0:?}: its queue is full, or could not be written"
    )]
    NotTaken(String),
    /// No queue takes a message.
    #[error("no queue takes messages for {0:?}: it was deleted, or is not bound")]
    Unroutable(String),
    /// A name is longer than AMQP allows.
    #[error("{0:?} is longer than the 255 bytes that AMQP has for a name")]
    TooLong(String),
}

impl BrokerError {
    /// Whether trying again is of no use: the login was refused, or may not do what was asked.
    pub fn is_refusal(&self) -> bool {
        match self {
            Self::Amqp(error) => matches!(soft(error), Some(AMQPSoftError::ACCESSREFUSED)),
            Self::TooLong(_) => true,
            _ => false,
        }
    }
}

/// An open connection.
#[derive(Debug)]
pub struct Connected(pub(super) Connection);

/// Connects and logs in. `name` is shown by the broker's own tools.
///
/// # Errors
/// [`BrokerError::Authorities`], [`BrokerError::Amqp`] and [`BrokerError::Silent`].
pub async fn connect(address: &Address, name: &str) -> Result<Connected, BrokerError> {
    let properties = ConnectionProperties::default().with_connection_name(name.into());
    let runtime = default_runtime()?;
    let mut tls = OwnedTLSConfig::default();
    if let Some(file) = address.authorities() {
        // Read each time: it may be renewed while we run.
        let read = tokio::fs::read_to_string(file).await;
        let pem = read.map_err(|error| BrokerError::Authorities(file.to_owned(), error))?;
        tls.cert_chain = Some(pem);
    }
    let connecting = Connection::connect_uri_with_config(address.uri(), properties, tls, runtime);
    match timeout(CONNECT_TIMEOUT, connecting).await {
        Ok(connected) => Ok(Connected(connected?)),
        Err(_) => Err(BrokerError::Silent),
    }
}

impl Connected {
    /// A new channel.
    pub(super) async fn channel(&self) -> Result<Channel, BrokerError> {
        Ok(self.0.create_channel().await?)
    }

    /// Sees to it that there is a queue. One that there is stays as it is.
    ///
    /// # Errors
    /// [`BrokerError`].
    pub async fn ensure_queue(&self, name: &str) -> Result<(), BrokerError> {
        self.ensure_queue_with(name, FieldTable::default()).await
    }

    pub(super) async fn ensure_queue_with(
        &self,
        name: &str,
        arguments: FieldTable,
    ) -> Result<(), BrokerError> {
        let name = short(name)?;
        // Asking needs no right to configure. What is not there costs the channel.
        let passive = QueueDeclareOptions { passive: true, ..QueueDeclareOptions::default() };
        let channel = self.channel().await?;
        match channel.queue_declare(name.clone(), passive, FieldTable::default()).await {
            Err(error) if soft(&error) == Some(AMQPSoftError::NOTFOUND) => {}
            asked => {
                asked?;
                return close(&channel).await;
            }
        }
        let durable = QueueDeclareOptions { durable: true, ..QueueDeclareOptions::default() };
        let channel = self.channel().await?;
        channel.queue_declare(name, durable, arguments).await?;
        close(&channel).await
    }

    /// Sees to it that there is an exchange with a queue of the same name behind it.
    pub(super) async fn ensure_exchange(&self, name: &str) -> Result<(), BrokerError> {
        let short = short(name)?;
        let channel = self.channel().await?;
        let passive = ExchangeDeclareOptions { passive: true, ..ExchangeDeclareOptions::default() };
        let (kind, none) = (ExchangeKind::Fanout, FieldTable::default());
        match channel.exchange_declare(short.clone(), kind.clone(), passive, none.clone()).await {
            Err(error) if soft(&error) == Some(AMQPSoftError::NOTFOUND) => {
                let durable =
                    ExchangeDeclareOptions { durable: true, ..ExchangeDeclareOptions::default() };
                let channel = self.channel().await?;
                channel.exchange_declare(short.clone(), kind, durable, none.clone()).await?;
                close(&channel).await?;
            }
            asked => {
                asked?;
                close(&channel).await?;
            }
        }
        self.ensure_queue(name).await?;
        let channel = self.channel().await?;
        let bound = channel.queue_bind(
            short.clone(),
            short.clone(),
            short,
            QueueBindOptions::default(),
            none,
        );
        match bound.await {
            // Who may not bind finds out by what comes back.
            Err(error) if soft(&error) == Some(AMQPSoftError::ACCESSREFUSED) => Ok(()),
            bound => {
                bound?;
                close(&channel).await
            }
        }
    }

    /// Says goodbye, if that does not take long.
    pub async fn close(self) {
        let _ = timeout(CLOSE_TIMEOUT, self.0.close(REPLY_SUCCESS, "done".into())).await;
    }
}

async fn close(channel: &Channel) -> Result<(), BrokerError> {
    Ok(channel.close(REPLY_SUCCESS, "done".into()).await?)
}

/// The broker's reason, where it is one that leaves the connection open.
fn soft(error: &lapin::Error) -> Option<AMQPSoftError> {
    match error.kind() {
        ErrorKind::ProtocolError(error) => match error.kind() {
            AMQPErrorKind::Soft(soft) => Some(soft.clone()),
            AMQPErrorKind::Hard(_) => None,
        },
        _ => None,
    }
}

/// A name as AMQP has it.
pub(super) fn short(name: &str) -> Result<ShortString, BrokerError> {
    ShortString::try_new(name).map_err(|_| BrokerError::TooLong(name.to_owned()))
}
