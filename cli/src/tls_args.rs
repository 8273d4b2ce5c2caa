//! What a master speaks TLS with, on the command line.

use std::path::PathBuf;

use tally_master::access::{Scope, Tls, TlsFiles};

use crate::exit::Kind;

/// Files for TLS.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct ServerTlsArgs {
    /// Speak TLS, for gRPC and for HTTP, with the certificate in this file (PEM: its own first, then those that vouch
    /// for it). It is read again when it changes
    #[arg(long, value_name = "FILE", env = "TALLY_TLS_CERT")]
    tls_cert: Option<PathBuf>,
    /// The certificate's private key
    #[arg(long, value_name = "FILE", env = "TALLY_TLS_KEY")]
    tls_key: Option<PathBuf>,
    /// Take certificates of slaves and clients that these authorities vouch for: they may what their URIs say,
    /// urn:tally:scope:join, read, submit or admin
    #[arg(long, value_name = "FILE", env = "TALLY_TLS_CLIENT_CA")]
    tls_client_ca: Option<PathBuf>,
    /// What those may that have no such URI: join, read, submit, admin
    #[arg(
        long,
        value_name = "SCOPES",
        env = "TALLY_TLS_CLIENT_SCOPES",
        value_delimiter = ',',
        default_value = "join"
    )]
    tls_client_scopes: Vec<Scope>,
}

impl ServerTlsArgs {
    /// Reads the files, where there are any.
    pub(crate) fn load(&self) -> anyhow::Result<Option<Tls>> {
        let usage = |text: &str| Err(Kind::Usage.error(text));
        let (cert, key) = match (&self.tls_cert, &self.tls_key) {
            (Some(cert), Some(key)) => (cert.clone(), key.clone()),
            (None, None) if self.tls_client_ca.is_some() => {
                return usage("--tls-client-ca is of no use without --tls-cert and --tls-key");
            }
            (None, None) => return Ok(None),
            _ => return usage("--tls-cert and --tls-key go together"),
        };
        let client_scopes = self.tls_client_scopes.iter().copied().collect();
        let files = TlsFiles { cert, key, client_ca: self.tls_client_ca.clone(), client_scopes };
        let tls = Tls::load(files).map_err(|error| Kind::Usage.error(error.to_string()))?;
        Ok(Some(tls))
    }
}
