//! How a master is dialled by those who have something to show, or want to know whom they talk to: TLS, a
//! client's certificate, a credential.
//!
//! Files are read anew for each connection, so that those who stay take up renewed certificates and tokens
//! when they connect again.

mod connect;

use std::path::PathBuf;

use thiserror::Error;
use tonic::Status;
use tonic::codegen::http::Uri;
use tonic::transport::{Channel, Endpoint};

use crate::channel::{cause, tuned};
use crate::pem::PemError;
use crate::{Line, Secret, SecretError};
use connect::Connector;

pub use connect::{TLS_BUFFER, TLS_READ};

/// Where a credential comes from.
#[derive(Clone, Debug)]
pub enum Credential {
    /// A file that is read for each connection.
    File(PathBuf),
    /// It is known.
    Known(Secret),
}

/// Files for TLS.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TlsFiles {
    /// The authorities that a master's certificate must be of; `None` for those that the public web trusts.
    pub ca: Option<PathBuf>,
    /// The certificate and the key to show: who we are.
    pub identity: Option<(PathBuf, PathBuf)>,
}

/// A master, and how it is dialled.
#[derive(Clone, Debug)]
pub struct Dial {
    /// Where it listens for gRPC: `http://`, `https://` or `unix:`.
    pub url: String,
    /// Used with `https://`.
    pub tls: TlsFiles,
    /// What says who is calling.
    pub credential: Option<Credential>,
}

/// Why a master is not reached.
#[derive(Debug, Error)]
pub enum DialError {
    /// The URL is none.
    #[error("{url:?} is no URL: {error}")]
    Url {
        /// As it was given.
        url: String,
        /// What is wrong with it.
        error: String,
    },
    /// A file of TLS can not be used.
    #[error(transparent)]
    File(#[from] PemError),
    /// Key and certificate can not be used together.
    #[error("{} with {}: {error}", cert.display(), key.display())]
    Identity {
        /// The certificate's file.
        cert: PathBuf,
        /// The key's file.
        key: PathBuf,
        /// What is wrong with them.
        error: rustls::Error,
    },
    /// There is no credential where one was to be.
    #[error(transparent)]
    Secret(#[from] SecretError),
    /// Nobody answers there, or not as wanted.
    #[error("no master answers at {url}: {why}")]
    Unreachable {
        /// Where.
        url: String,
        /// What happened.
        why: String,
    },
}

impl DialError {
    /// Whether it lies in what was said here, and not in the network or the master.
    pub const fn is_ours(&self) -> bool {
        !matches!(self, Self::Unreachable { .. })
    }
}

impl From<DialError> for Status {
    fn from(error: DialError) -> Self {
        match error.is_ours() {
            true => Self::invalid_argument(error.to_string()),
            false => Self::unavailable(error.to_string()),
        }
    }
}

impl Dial {
    /// A master at a URL, without a credential; with `https://`, one that the public web trusts.
    pub fn plain(url: impl Into<String>) -> Self {
        Self { url: url.into(), tls: TlsFiles::default(), credential: None }
    }

    /// Connects.
    ///
    /// # Errors
    /// [`DialError`]
    pub async fn connect(&self) -> Result<Line, DialError> {
        let secret = match &self.credential {
            Some(Credential::File(path)) => Some(Secret::read(path)?),
            Some(Credential::Known(secret)) => Some(secret.clone()),
            None => None,
        };
        Ok(Line::new(self.channel().await?, secret.as_ref()))
    }

    async fn channel(&self) -> Result<Channel, DialError> {
        let wrong = |error: String| DialError::Url { url: self.url.clone(), error };
        let unreachable = |error: tonic::transport::Error| DialError::Unreachable {
            url: self.url.clone(),
            why: cause(&error),
        };
        if !self.url.starts_with("https://") {
            let endpoint = Endpoint::from_shared(self.url.clone());
            let endpoint = endpoint.map_err(|error| wrong(error.to_string()))?;
            return tuned(endpoint).connect().await.map_err(unreachable);
        }
        let uri: Uri = self.url.parse().map_err(|error| wrong(format!("{error}")))?;
        let connector = Connector::new(&uri, self.tls.clone()).map_err(wrong)?;
        // What is wrong with the files is found before anybody is called.
        connector.client()?;
        // The connector does TLS itself, so that it reads the files for each connection; tonic would want to where
        // the scheme says so. Requests are for the true one all the same.
        let bare = format!("http://{}", uri.authority().map_or("", |authority| authority.as_str()));
        let endpoint = Endpoint::from_shared(bare).map_err(|error| wrong(error.to_string()))?;
        let endpoint = tuned(endpoint.origin(uri));
        endpoint.connect_with_connector(connector).await.map_err(unreachable)
    }
}
