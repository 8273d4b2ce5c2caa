//! Wiring: a coordinator, the verbs, and the two listeners; and how they stop.

use std::future::Future;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use thiserror::Error;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval, timeout};
use tracing::{info, warn};
use uuid::Uuid;

use crate::clock::Clock;
use crate::cluster::Cluster;
use crate::config::Config;
use crate::coordinator::{self, Message};
use crate::disk::Disk;
use crate::feed::Feed;
use crate::jobs::Jobs;
use crate::readers::Readers;
use crate::store::{Store, StoreError};
use crate::tables::Tables;
use crate::{gateway, grpc};

/// Why a master can not run.
#[derive(Debug, Error)]
pub enum ServerError {
    /// Its data folder can not be used.
    #[error("the data folder {}: {error}", path.display())]
    DataDir {
        /// The folder.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
    /// Its store can not be used.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Its gRPC listener failed.
    #[error("gRPC: {0}")]
    Grpc(#[from] tonic::transport::Error),
    /// Its HTTP listener failed.
    #[error("HTTP: {0}")]
    Http(#[from] io::Error),
}

/// A master without listeners: what `tally count` runs in its own process, and what [`serve`] puts
/// on the network.
pub struct Master {
    config: Config,
    coordinator: mpsc::Sender<Message>,
    jobs: Jobs,
    cluster: Cluster,
    store: Option<Store>,
}

impl Master {
    /// Starts a master on its data folder. Must be called within a tokio runtime.
    ///
    /// # Errors
    /// [`ServerError::DataDir`] and [`ServerError::Store`].
    pub async fn start(config: Config) -> Result<Self, ServerError> {
        let uploads = config.data_dir.join("uploads");
        let unusable = |error| ServerError::DataDir { path: config.data_dir.clone(), error };
        // What was on its way when the last process stopped is of no use.
        match std::fs::remove_dir_all(&uploads) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(unusable(error)),
            _ => {}
        }
        for folder in [&config.data_dir.join("jobs"), &uploads] {
            std::fs::create_dir_all(folder).map_err(unusable)?;
        }
        let disk = Disk::new(config.data_dir.clone(), config.disk_reserve);
        disk.look();
        let readers = Readers::default();
        let store = match (config.durable, &config.store) {
            (true, Some(url)) => Some(Store::connect(&url.0, &config.data_dir).await?),
            (true, None) => Some(Store::open(&config.data_dir).await?),
            (false, _) => None,
        };
        let tables = match &store {
            Some(store) => Tables::open(store.db().clone(), Clock::start(), config.keep).await?,
            None => Tables::default(),
        };
        let stored = store.clone();
        let feed = Feed::new(Uuid::now_v7().as_u64_pair().0);
        let coordinator = coordinator::start(
            config.clone(),
            Arc::clone(&disk),
            readers.clone(),
            store.clone(),
            feed.clone(),
            tables.clone(),
        );
        let coordinator = coordinator.await?;
        tokio::spawn(sweep(coordinator.downgrade(), config.sweep));
        let jobs = Jobs::new(coordinator.clone(), &config, disk, readers, store, feed, tables);
        jobs.read_on().await;
        jobs.watch_sources().await?;
        let cluster = Cluster::new(coordinator.clone(), uploads);
        Ok(Self { config, coordinator, jobs, cluster, store: stored })
    }

    /// The verbs for clients.
    pub fn jobs(&self) -> Jobs {
        self.jobs.clone()
    }

    /// The verbs for slaves.
    pub fn cluster(&self) -> Cluster {
        self.cluster.clone()
    }

    /// Serves gRPC and HTTP until `shutdown` resolves, then tells the slaves, lets requests under
    /// way end within the grace period, and stops.
    ///
    /// # Errors
    /// Where a listener fails.
    pub async fn serve(
        self,
        grpc: impl Into<grpc::Listener>,
        http: TcpListener,
        shutdown: impl Future<Output = ()>,
    ) -> Result<(), ServerError> {
        if let Some(tls) = &self.config.tls {
            tls.follow();
        }
        let stop = watch::Sender::new(false);
        // Ends with this function.
        let mut beside = JoinSet::new();
        beside.spawn(self.config.access.clone().follow());
        let stopped = |mut stop: watch::Receiver<bool>| async move {
            // An error means that the sender is gone, and so is the server.
            let _ = stop.wait_for(|stop| *stop).await;
        };
        let stopping = stopped(stop.subscribe());
        let grpc = grpc::serve(grpc.into(), self.jobs(), self.cluster(), &self.config, stopping);
        let http = gateway::serve(http, self.jobs(), &self.config, stopped(stop.subscribe()));
        #[cfg(feature = "broker")]
        let broker = self.consume_broker(stop.subscribe());
        #[cfg(not(feature = "broker"))]
        let broker = async {};
        let servers = async {
            let broker = async {
                broker.await;
                Ok(())
            };
            tokio::try_join!(async { Ok(grpc.await?) }, async { Ok(http.await?) }, broker)
        };
        let mut servers = std::pin::pin!(servers);
        tokio::select! {
            ended = servers.as_mut() => return ended.map(|_: ((), (), ())| ()),
            () = shutdown => info!("stopping"),
            // Nothing can be brought to an end any more: whatever this master still did would be undone.
            error = taken_over(self.store.as_ref()) => return Err(error.into()),
        }
        if let Some(sources) = self.jobs.sources() {
            sources.stop().await;
        }
        let drain = Message::Drain { reason: "the master is stopping".to_owned() };
        // A coordinator that is gone has stopped already.
        let _ = self.coordinator.send(drain).await;
        stop.send_replace(true);
        let ended = match timeout(self.config.grace, servers).await {
            Ok(ended) => ended.map(|_| ()),
            Err(_) => {
                warn!("requests were still under way when the grace period ended");
                Ok(())
            }
        };
        let access = self.config.access.clone();
        // It ends by itself, after a moment at most.
        let _ = tokio::task::spawn_blocking(move || access.close()).await;
        let (reply, stopped) = oneshot::channel();
        if self.coordinator.send(Message::Stop { reply }).await.is_ok() {
            // It has to be waited for: it writes what there is still to write.
            let _ = stopped.await;
        }
        ended
    }
}

#[cfg(feature = "broker")]
impl Master {
    /// Takes messages from the AMQP broker until the master stops, if it has one.
    fn consume_broker(&self, stop: watch::Receiver<bool>) -> impl Future<Output = ()> + use<> {
        let (jobs, config) = (self.jobs(), self.config.broker.clone());
        async move {
            if let Some(config) = config {
                crate::broker::run(jobs, config, crate::broker::Stop(stop)).await;
            }
        }
    }
}

/// Waits until another master has taken over the store, if one ever does.
async fn taken_over(store: Option<&Store>) -> StoreError {
    match store {
        Some(store) => store.taken_over().await,
        None => std::future::pending().await,
    }
}

/// Has the coordinator look now and then whether something may be removed.
async fn sweep(coordinator: mpsc::WeakSender<Message>, every: Duration) {
    let mut times = interval(every);
    times.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        times.tick().await;
        let Some(coordinator) = coordinator.upgrade() else { return };
        if coordinator.send(Message::Sweep).await.is_err() {
            return;
        }
    }
}
