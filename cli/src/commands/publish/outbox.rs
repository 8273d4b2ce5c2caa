//! Messages on their way: so many at a time are unconfirmed, and when the connection breaks these are
//! sent again, in their order, over the next one.

use std::collections::VecDeque;
use std::time::Duration;

use tally_common::backoff::Backoff;
use tally_master::broker::{Address, BrokerError, Publisher, Sent, connect};
use tracing::warn;
use uuid::Uuid;

use crate::exit::Kind;

/// Messages that may be unconfirmed at a time: the broker confirms many at once, and what is lost with
/// a connection has to be sent again.
const MAX_UNCONFIRMED: usize = 1000;

/// Between two attempts to reach the broker.
const RECONNECT: Backoff = Backoff::new(Duration::from_millis(250), Duration::from_secs(10));

/// A message that is to be sent.
#[derive(Clone, Debug)]
pub(super) struct Letter {
    pub(super) body: Vec<u8>,
    pub(super) message_id: String,
    pub(super) content_type: &'static str,
    pub(super) headers: Vec<(&'static str, String)>,
}

/// Messages on their way to one queue.
pub(super) struct Outbox {
    address: Address,
    queue: String,
    retry_for: Duration,
    publisher: Publisher,
    /// Oldest first.
    unconfirmed: VecDeque<(Letter, Sent)>,
    /// Time that has been waited since the broker last confirmed something.
    waited: Duration,
    tries: u32,
}

impl Outbox {
    /// Connects, and sees to it that the queue is there.
    pub(super) async fn open(
        address: Address,
        queue: String,
        retry_for: Duration,
    ) -> anyhow::Result<Self> {
        let (mut waited, mut tries) = (Duration::ZERO, 0);
        let publisher = loop {
            match dial(&address, &queue).await {
                Ok(publisher) => break publisher,
                Err(error) => {
                    pause(&address, &error, retry_for, &mut waited, &mut tries).await?;
                }
            }
        };
        let (waited, tries) = (Duration::ZERO, 0);
        let unconfirmed = VecDeque::new();
        Ok(Self { address, queue, retry_for, publisher, unconfirmed, waited, tries })
    }

    /// Sends a message; waits for others to be confirmed first where too many are not.
    pub(super) async fn send(&mut self, letter: Letter) -> anyhow::Result<()> {
        while self.unconfirmed.len() >= MAX_UNCONFIRMED {
            self.confirm().await?;
        }
        loop {
            match post(&self.publisher, &self.queue, &letter).await {
                Ok(sent) => {
                    self.unconfirmed.push_back((letter, sent));
                    return Ok(());
                }
                Err(error) => self.begin_anew(error).await?,
            }
        }
    }

    /// Waits until all are confirmed.
    pub(super) async fn flush(&mut self) -> anyhow::Result<()> {
        while !self.unconfirmed.is_empty() {
            self.confirm().await?;
        }
        Ok(())
    }

    /// Waits until the oldest is.
    async fn confirm(&mut self) -> anyhow::Result<()> {
        let Some((letter, sent)) = self.unconfirmed.pop_front() else { return Ok(()) };
        match sent.confirmed().await {
            Ok(()) => {
                (self.waited, self.tries) = (Duration::ZERO, 0);
                Ok(())
            }
            Err(error) => {
                let again = self.begin_anew_with(letter, error).await?;
                self.unconfirmed.push_front(again);
                Ok(())
            }
        }
    }

    /// Connects again and sends what was not confirmed; first of all a letter that was taken out.
    async fn begin_anew_with(
        &mut self,
        first: Letter,
        mut error: BrokerError,
    ) -> anyhow::Result<(Letter, Sent)> {
        loop {
            self.pause(&error).await?;
            match self.send_all(Some(&first)).await {
                Ok(Some(sent)) => return Ok((first, sent)),
                // It was given one.
                Ok(None) => {}
                Err(next) => error = next,
            }
        }
    }

    async fn begin_anew(&mut self, mut error: BrokerError) -> anyhow::Result<()> {
        loop {
            self.pause(&error).await?;
            match self.send_all(None).await {
                Ok(_) => return Ok(()),
                Err(next) => error = next,
            }
        }
    }

    async fn pause(&mut self, error: &BrokerError) -> anyhow::Result<()> {
        pause(&self.address, error, self.retry_for, &mut self.waited, &mut self.tries).await
    }

    async fn send_all(&mut self, first: Option<&Letter>) -> Result<Option<Sent>, BrokerError> {
        self.publisher = dial(&self.address, &self.queue).await?;
        let first = match first {
            Some(letter) => Some(post(&self.publisher, &self.queue, letter).await?),
            None => None,
        };
        for (letter, sent) in &mut self.unconfirmed {
            *sent = post(&self.publisher, &self.queue, letter).await?;
        }
        Ok(first)
    }

    pub(super) async fn close(self) {
        self.publisher.close().await;
    }
}

async fn dial(address: &Address, queue: &str) -> Result<Publisher, BrokerError> {
    let publisher = Publisher::new(connect(address, "tally publish").await?).await?;
    publisher.ensure_queue(queue).await?;
    Ok(publisher)
}

async fn post(publisher: &Publisher, queue: &str, letter: &Letter) -> Result<Sent, BrokerError> {
    let headers: Vec<_> = letter.headers.iter().map(|(name, text)| (*name, &**text)).collect();
    let Letter { body, message_id, content_type, .. } = letter;
    publisher.to_queue(queue, body, content_type, message_id, &headers).await
}

/// Waits before another attempt, unless that is of no use or has gone on for too long.
async fn pause(
    address: &Address,
    error: &BrokerError,
    retry_for: Duration,
    waited: &mut Duration,
    tries: &mut u32,
) -> anyhow::Result<()> {
    if error.is_refusal() || *waited >= retry_for {
        return Err(Kind::Unreachable.error(format!("{address}: {error}")));
    }
    let wait = RECONNECT.wait(*tries, Uuid::new_v4().as_u64_pair().1);
    *tries = tries.saturating_add(1);
    *waited += wait;
    warn!(broker = %address, %error, ?wait, "the broker can not be reached; trying again");
    tokio::time::sleep(wait).await;
    Ok(())
}
