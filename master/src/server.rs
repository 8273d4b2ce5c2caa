//! Wiring: a coordinator, the verbs, and the two listeners; and how they stop.

use std::future::Future;
use std::io;
use std::path::PathBuf;

use thiserror::Error;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};
use tokio::time::timeout;
use tracing::{info, warn};

use crate::cluster::Cluster;
use crate::config::Config;
use crate::coordinator::{self, Message};
use crate::jobs::Jobs;
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
}

impl Master {
    /// Starts a master on its data folder. Must be called within a tokio runtime.
    ///
    /// # Errors
    /// [`ServerError::DataDir`].
    pub fn start(config: Config) -> Result<Self, ServerError> {
        let uploads = config.data_dir.join("uploads");
        for folder in [&config.data_dir.join("jobs"), &uploads] {
            std::fs::create_dir_all(folder)
                .map_err(|error| ServerError::DataDir { path: config.data_dir.clone(), error })?;
        }
        let coordinator = coordinator::start(config.clone());
        let jobs = Jobs::new(coordinator.clone(), config.data_dir.clone(), config.max_uploads);
        let cluster = Cluster::new(coordinator.clone(), uploads);
        Ok(Self { config, coordinator, jobs, cluster })
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
        grpc: TcpListener,
        http: TcpListener,
        shutdown: impl Future<Output = ()>,
    ) -> Result<(), ServerError> {
        let stop = watch::Sender::new(false);
        let stopped = |mut stop: watch::Receiver<bool>| async move {
            // An error means that the sender is gone, and so is the server.
            let _ = stop.wait_for(|stop| *stop).await;
        };
        let grpc = grpc::serve(grpc, self.jobs(), self.cluster(), stopped(stop.subscribe()));
        let http = gateway::serve(http, self.jobs(), &self.config, stopped(stop.subscribe()));
        let servers =
            async { tokio::try_join!(async { Ok(grpc.await?) }, async { Ok(http.await?) }) };
        let mut servers = std::pin::pin!(servers);
        tokio::select! {
            ended = servers.as_mut() => return ended.map(|_: ((), ())| ()),
            () = shutdown => info!("stopping"),
        }
        let goodbye = Message::Stop { reason: "the master is stopping".to_owned() };
        // A coordinator that is gone has stopped already.
        let _ = self.coordinator.send(goodbye).await;
        stop.send_replace(true);
        match timeout(self.config.grace, servers).await {
            Ok(ended) => ended.map(|_| ()),
            Err(_) => {
                warn!("requests were still under way when the grace period ended");
                Ok(())
            }
        }
    }
}
