//! Operations and files that come through an AMQP 0-9-1 broker, such as RabbitMQ. Each queue has a
//! consumer of its own, which connects, consumes, and begins anew whenever anything breaks.
//!
//! A delivery is acknowledged when what it wants is durable, or when it lies in the dead-letter queue,
//! and never before: whatever breaks in between, it is delivered again, and message ids make that
//! harmless. What to do with a delivery is decided in [`decide`], which does no IO.

mod address;
mod config;
mod consumed;
mod decide;
mod files;
mod link;
mod message;
mod operations;
mod publish;
mod session;
mod submit;

use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinSet;
use tracing::{info, warn};
use uuid::Uuid;

use tally_common::backoff::Backoff;

use crate::jobs::Jobs;
use crate::metrics;

pub use address::{Address, BadAddress};
pub use config::{BadQueue, BrokerConfig, FilesQueue, OperationsQueue, Queue};
pub(crate) use consumed::Consumed;
pub use link::{BrokerError, Connected, connect};
pub use publish::{Publisher, Sent};

use session::{Ended, Session};

/// Between two attempts to reach the broker: soon, since most restarts are short, and not so often that
/// a broker that comes up has to deal with those who knock.
const RECONNECT: Backoff = Backoff::new(Duration::from_millis(500), Duration::from_secs(30));

/// Resolves when the master stops.
#[derive(Clone, Debug)]
pub(crate) struct Stop(pub(crate) watch::Receiver<bool>);

impl Stop {
    /// Waits until the master stops.
    pub(crate) async fn wait(&mut self) {
        // An error means that the sender is gone, and so is the server.
        let _ = self.0.wait_for(|stop| *stop).await;
    }

    /// Waits for some time; `false` where the master stops meanwhile.
    pub(crate) async fn sleep(&mut self, time: Duration) -> bool {
        tokio::select! {
            () = self.wait() => false,
            () = tokio::time::sleep(time) => true,
        }
    }
}

/// Any number, for the spread of waits.
fn jitter() -> u64 {
    Uuid::new_v4().as_u64_pair().1
}

/// Consumes all queues until the master stops. What is in flight then is finished if that takes no
/// waiting, and else delivered again to the next master.
pub(crate) async fn run(jobs: Jobs, config: BrokerConfig, stop: Stop) {
    let mut consumers = JoinSet::new();
    for queue in config.queues() {
        consumers.spawn(consume(jobs.clone(), config.clone(), queue, stop.clone()));
    }
    while consumers.join_next().await.is_some() {}
}

/// Consumes one queue, over as many connections as it takes.
async fn consume(jobs: Jobs, config: BrokerConfig, queue: Queue, mut stop: Stop) {
    let (name, kind) = (queue.name().to_owned(), queue.kind());
    let mut failures = 0;
    loop {
        let opened = tokio::select! {
            () = stop.wait() => return,
            opened = Session::open(&config, &queue) => opened,
        };
        let error = match opened {
            Ok(session) => {
                info!(queue = name, broker = %config.address, "consuming");
                failures = 0;
                metrics::broker_connected(kind, 1);
                let consuming = jobs.consumed().begin();
                let ended = session.run(&jobs, &queue, &mut stop).await;
                drop(consuming);
                metrics::broker_connected(kind, -1);
                match ended {
                    Ok(Ended::Stopped) => return,
                    Ok(Ended::Cancelled) => {
                        "the broker has ended the subscription: the queue was deleted, or its node \
                         went away"
                            .to_owned()
                    }
                    Err(error) => error.to_string(),
                }
            }
            Err(error) => error.to_string(),
        };
        metrics::broker_reconnect(kind);
        let wait = RECONNECT.wait(failures, jitter());
        failures = failures.saturating_add(1);
        warn!(queue = name, broker = %config.address, error, ?wait, "not consuming; trying again");
        if !stop.sleep(wait).await {
            return;
        }
    }
}
