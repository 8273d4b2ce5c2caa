//! The files that TLS is made of: read, checked, and noticed when they change.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::pki_types::CertificateDer;
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use rustls::{Error, ServerConfig};
use tally_proto::pem::{self, PemError};
use thiserror::Error as ThisError;
use tracing::warn;

use super::Protocol;
use crate::access::file::Stamp;
use crate::access::{Certificate, Scopes};
use crate::clock::Clock;

/// Permissions that let others than its owner and group read a key.
const OTHERS: u32 = 0o007;

/// Where the files are, and what they are good for.
#[derive(Clone, Debug)]
pub struct TlsFiles {
    /// The master's certificate, and those that vouch for it.
    pub cert: PathBuf,
    /// Its private key.
    pub key: PathBuf,
    /// The authorities that vouch for clients and slaves; `None` where their certificates are not looked at.
    pub client_ca: Option<PathBuf>,
    /// What certificates of clients may that say nothing of scopes.
    pub client_scopes: Scopes,
}

/// Why TLS can not be spoken.
#[derive(Debug, ThisError)]
pub enum TlsError {
    /// A file can not be used.
    #[error(transparent)]
    File(#[from] PemError),
    /// The key is another certificate's.
    #[error("the key {} does not belong to the certificate {}", key.display(), cert.display())]
    Mismatch {
        /// The key's file.
        key: PathBuf,
        /// The certificate's file.
        cert: PathBuf,
    },
    /// The certificate or the key is of a kind that is not known.
    #[error("the certificate {} with the key {}: {error}", cert.display(), key.display())]
    Unusable {
        /// The certificate's file.
        cert: PathBuf,
        /// The key's file.
        key: PathBuf,
        /// What is wrong.
        error: Error,
    },
    /// Certificates of clients can not be verified by it.
    #[error("{}: {error}", path.display())]
    ClientCa {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        error: String,
    },
}

impl TlsFiles {
    /// What the files are now; `None` for one that can not be looked at.
    pub(super) fn stamps(&self) -> Vec<Option<Stamp>> {
        let files = [Some(&self.cert), Some(&self.key), self.client_ca.as_ref()];
        files.into_iter().flatten().map(|path| Stamp::now(path)).collect()
    }
}

/// What has been made of them.
pub(super) struct Loaded {
    pub(super) grpc: Arc<ServerConfig>,
    pub(super) http: Arc<ServerConfig>,
    /// When the certificate ends, in seconds since 1970.
    pub(super) ends: i64,
    pub(super) stamps: Vec<Option<Stamp>>,
}

impl Loaded {
    pub(super) fn read(files: &TlsFiles) -> Result<Self, TlsError> {
        // Before they are read: what is written meanwhile is seen as a change.
        let stamps = files.stamps();
        let chain = pem::certificates(&files.cert)?;
        let ends = chain.first().map_or(0, |own| check_time(&files.cert, own));
        check_mode(&files.key);
        let server = server(files, chain)?;
        let of = |protocol| {
            let mut config = server.clone();
            config.alpn_protocols = match protocol {
                Protocol::Grpc => vec![b"h2".to_vec()],
                Protocol::Http => vec![b"h2".to_vec(), b"http/1.1".to_vec()],
            };
            Arc::new(config)
        };
        Ok(Self { grpc: of(Protocol::Grpc), http: of(Protocol::Http), ends, stamps })
    }
}

/// TLS 1.2 and 1.3, with what is made of the files.
fn server(files: &TlsFiles, chain: Vec<CertificateDer<'static>>) -> Result<ServerConfig, TlsError> {
    let key = pem::key(&files.key)?;
    let builder = ServerConfig::builder_with_provider(pem::provider())
        .with_safe_default_protocol_versions()
        .expect("ring does TLS 1.2 and 1.3");
    let builder = match &files.client_ca {
        None => builder.with_no_client_auth(),
        Some(path) => {
            let roots = Arc::new(pem::authorities(path)?);
            let verifier = WebPkiClientVerifier::builder_with_provider(roots, pem::provider())
                .allow_unauthenticated()
                .build();
            builder.with_client_cert_verifier(verifier.map_err(|error| TlsError::ClientCa {
                path: path.clone(),
                error: error.to_string(),
            })?)
        }
    };
    let (cert, at) = (files.cert.clone(), files.key.clone());
    let mut config = builder.with_single_cert(chain, key).map_err(|error| match error {
        Error::InconsistentKeys(_) => TlsError::Mismatch { key: at, cert },
        error => TlsError::Unusable { cert, key: at, error },
    })?;
    if files.client_ca.is_some() {
        // A session that is taken up again is not verified again: a certificate that has ended meanwhile would go
        // on being good. Connections here are few and long.
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
    }
    Ok(config)
}

/// When a certificate ends. One that has ended, or has not begun, is a warning: clients will say the same, and louder.
fn check_time(path: &Path, own: &CertificateDer<'_>) -> i64 {
    let Some((from, to)) = Certificate::validity(own) else { return 0 };
    let now = i64::try_from(Clock::start().unix_ms() / 1000).unwrap_or(i64::MAX);
    let path = path.display();
    if to < now {
        warn!(certificate = %path, "the master's certificate has expired: clients will refuse it");
    }
    if from > now {
        warn!(certificate = %path, "the master's certificate is not valid yet: clients will refuse it");
    }
    to
}

/// A key that others may read is a warning: in a container it may well be so.
fn check_mode(key: &Path) {
    if key.metadata().is_ok_and(|file| file.mode() & OTHERS != 0) {
        let path = key.display();
        warn!(key = %path, "others than its owner may read the master's private key: chmod 600 it");
    }
}
