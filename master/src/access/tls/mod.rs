//! TLS for both listeners: the files that it is made of, and what is made of them.
//!
//! Files are looked at about once a second, and taken up when they have changed, so that a certificate is renewed
//! without a restart: new connections have the new one, those that are open go on. Files that can not be used leave
//! the last good ones in force. A client's certificate is verified where one is sent, and never demanded here: who
//! has neither that nor a key is refused with each request, and told why.

mod connection;
mod files;
mod handshake;
mod plain;

use std::fmt;
use std::sync::{Arc, PoisonError, RwLock, Weak};
use std::time::Duration;

use rustls::ServerConfig;
use tokio::time::{MissedTickBehavior, interval};
use tracing::{error, info};

use crate::access::Scopes;
use crate::metrics;
use files::Loaded;

pub(crate) use connection::{Connection, Socket};
pub use files::{TlsError, TlsFiles};
pub(crate) use handshake::connection;

/// Time between two looks at the files.
const LOOK: Duration = Duration::from_secs(1);

/// What is spoken inside TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Protocol {
    /// HTTP/2 alone.
    Grpc,
    /// HTTP/1.1 and HTTP/2.
    Http,
}

/// TLS as the files have it.
#[derive(Clone)]
pub struct Tls(Arc<Shared>);

struct Shared {
    files: TlsFiles,
    loaded: RwLock<Loaded>,
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Tls").field(&self.0.files).finish()
    }
}

impl Tls {
    /// Reads the files.
    ///
    /// # Errors
    /// [`TlsError`], which names the file and what is wrong with it.
    pub fn load(files: TlsFiles) -> Result<Self, TlsError> {
        let loaded = RwLock::new(Loaded::read(&files)?);
        Ok(Self(Arc::new(Shared { files, loaded })))
    }

    /// What a client's certificate may that says nothing of scopes.
    pub fn client_scopes(&self) -> Scopes {
        self.0.files.client_scopes
    }

    /// Whether certificates of clients are looked at.
    pub fn knows_clients(&self) -> bool {
        self.0.files.client_ca.is_some()
    }

    /// What a handshake is made with now.
    fn config(&self, protocol: Protocol) -> Arc<ServerConfig> {
        let loaded = self.0.loaded.read().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(match protocol {
            Protocol::Grpc => &loaded.grpc,
            Protocol::Http => &loaded.http,
        })
    }

    /// Follows the files for as long as anybody holds this.
    pub(crate) fn follow(&self) {
        self.show_end();
        tokio::spawn(follow(Arc::downgrade(&self.0)));
    }

    fn show_end(&self) {
        let loaded = self.0.loaded.read().unwrap_or_else(PoisonError::into_inner);
        metrics::certificate_ends(loaded.ends);
    }
}

async fn follow(shared: Weak<Shared>) {
    let mut times = interval(LOOK);
    times.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut seen = shared.upgrade().map(|shared| {
        let loaded = shared.loaded.read().unwrap_or_else(PoisonError::into_inner);
        loaded.stamps.clone()
    });
    loop {
        times.tick().await;
        let Some(shared) = shared.upgrade() else { return };
        // A few calls of stat, and of files that are a few kilobytes.
        let look = tokio::task::spawn_blocking(move || {
            let now = shared.files.stamps();
            if seen.as_ref() != Some(&now) {
                take_up(&Tls(shared));
            }
            Some(now)
        });
        // A thread that panicked has seen nothing: the next look is as good.
        seen = look.await.unwrap_or_default();
    }
}

/// Takes up what the files have now. Stamps are taken before they are read: what is written meanwhile is looked at
/// once more. So that a certificate and its key, which are written one after the other, cost an error in the log
/// at worst.
fn take_up(tls: &Tls) {
    match Loaded::read(&tls.0.files) {
        Ok(loaded) => {
            info!(certificate = %tls.0.files.cert.display(), "TLS goes on with files that have changed");
            *tls.0.loaded.write().unwrap_or_else(PoisonError::into_inner) = loaded;
            tls.show_end();
        }
        Err(error) => {
            error!(%error, "TLS files have changed and can not be used; what was there before stays in force");
        }
    }
}
