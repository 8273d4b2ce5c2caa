//! How a master is reached, on the command line and in the environment: where it is, whom we trust to be it, and
//! what we show. No flag takes a secret itself: every user of a machine can read its command lines.

use std::path::PathBuf;

use tally_proto::dial::{Credential, Dial, TlsFiles};
use tally_proto::{Secret, pem};

use crate::exit::Kind;

/// An API key.
const API_KEY: &str = "TALLY_API_KEY";

/// A slave's token.
const TOKEN: &str = "TALLY_TOKEN";

/// Where the master is.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct MasterUrl {
    /// Where the master listens for gRPC: http://HOST:PORT, https://HOST:PORT, or unix:PATH for a socket of
    /// this machine
    #[arg(
        long = "master",
        value_name = "URL",
        default_value = "http://127.0.0.1:7070",
        env = "TALLY_MASTER"
    )]
    pub(crate) url: String,
}

/// Files for TLS. In the environment they are not named as a master's own: where one runs in a container, its
/// certificate is no client's, and a command that is run beside it would show it.
#[derive(Clone, Debug, Default, clap::Args)]
pub(crate) struct TlsArgs {
    /// The authorities that the master's certificate must be of, for https:// [default: those that the
    /// public web trusts]
    #[arg(long, value_name = "FILE", env = "TALLY_TLS_CA")]
    tls_ca: Option<PathBuf>,
    /// A certificate to show to the master, with those that vouch for it
    #[arg(long, value_name = "FILE", env = "TALLY_CLIENT_CERT")]
    tls_cert: Option<PathBuf>,
    /// Its private key
    #[arg(long, value_name = "FILE", env = "TALLY_CLIENT_KEY")]
    tls_key: Option<PathBuf>,
}

/// Whom a client trusts, and what it shows.
#[derive(Clone, Debug, Default, clap::Args)]
pub(crate) struct Credentials {
    #[command(flatten)]
    pub(crate) tls: TlsArgs,
    /// A file with the API key to show; the key itself may be in the environment, as TALLY_API_KEY
    #[arg(long, value_name = "FILE", env = "TALLY_API_KEY_FILE")]
    api_key_file: Option<PathBuf>,
}

/// A slave's token.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct TokenArgs {
    /// A file with the token to join with, read again for each connection; the token itself may be in the
    /// environment, as TALLY_TOKEN
    #[arg(long, value_name = "FILE", env = "TALLY_TOKEN_FILE")]
    token_file: Option<PathBuf>,
}

/// Where the master is, and how a client reaches it.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct MasterAddress {
    #[command(flatten)]
    at: MasterUrl,
    #[command(flatten)]
    credentials: Credentials,
}

impl MasterAddress {
    /// Where it is.
    pub(crate) fn url(&self) -> &str {
        &self.at.url
    }

    /// How it is dialled.
    pub(crate) fn dial(&self) -> anyhow::Result<Dial> {
        self.credentials.dial(self.url())
    }
}

impl TlsArgs {
    /// The files, where they fit together and the URL.
    pub(crate) fn files(&self, url: &str) -> anyhow::Result<TlsFiles> {
        let usage = |text: String| Err(Kind::Usage.error(text));
        let identity = match (&self.tls_cert, &self.tls_key) {
            (Some(cert), Some(key)) => Some((cert.clone(), key.clone())),
            (None, None) => None,
            _ => return usage("--tls-cert and --tls-key go together".to_owned()),
        };
        let files = TlsFiles { ca: self.tls_ca.clone(), identity };
        // What was meant to be encrypted must not go over the wire in clear. A socket of this machine does not.
        if url.starts_with("http://") && files != TlsFiles::default() {
            return usage(format!("files for TLS are of no use with {url}: say https://"));
        }
        Ok(files)
    }
}

impl Credentials {
    /// How the master at `url` is dialled.
    pub(crate) fn dial(&self, url: &str) -> anyhow::Result<Dial> {
        let credential = credential(self.api_key_file.as_ref(), API_KEY)?;
        Ok(Dial { url: url.to_owned(), tls: self.tls.files(url)?, credential })
    }

    /// What asks a master by HTTP at `url`, and the header that says who is asking.
    pub(crate) fn agent(&self, url: &str) -> anyhow::Result<(ureq::Agent, Option<String>)> {
        use ureq::tls::{Certificate, ClientCert, PrivateKey, RootCerts, TlsConfig};
        let files = self.tls.files(url)?;
        let usage = |error: pem::PemError| Kind::Usage.error(error.to_string());
        let read = |path: &PathBuf| -> anyhow::Result<Vec<Certificate<'static>>> {
            let chain = pem::certificates(path).map_err(usage)?;
            Ok(chain.iter().map(|one| Certificate::from_der(one).to_owned()).collect())
        };
        let mut tls = TlsConfig::builder();
        if let Some(ca) = &files.ca {
            tls = tls.root_certs(RootCerts::from(read(ca)?));
        }
        if let Some((cert, key)) = &files.identity {
            // Named before it is parsed by somebody who knows no names.
            pem::key(key).map_err(usage)?;
            let key = PrivateKey::from_pem(&std::fs::read(key)?)?;
            tls = tls.client_cert(Some(ClientCert::new_with_certs(&read(cert)?, key)));
        }
        let config = ureq::Agent::config_builder().http_status_as_error(false);
        let agent = config.tls_config(tls.build()).build().into();
        let secret = match credential(self.api_key_file.as_ref(), API_KEY)? {
            Some(Credential::File(path)) => Some(Secret::read(&path)?),
            Some(Credential::Known(secret)) => Some(secret),
            None => None,
        };
        Ok((agent, secret.map(|secret| secret.bearer())))
    }
}

impl TokenArgs {
    /// The token to join with.
    pub(crate) fn credential(&self) -> anyhow::Result<Option<Credential>> {
        credential(self.token_file.as_ref(), TOKEN)
    }
}

/// A file that is named goes before the environment.
fn credential(file: Option<&PathBuf>, variable: &str) -> anyhow::Result<Option<Credential>> {
    if let Some(file) = file {
        return Ok(Some(Credential::File(file.clone())));
    }
    let Some(text) = std::env::var_os(variable) else { return Ok(None) };
    let secret = Secret::new(&text.to_string_lossy(), variable);
    let secret = secret.map_err(|error| Kind::Usage.error(error.to_string()))?;
    Ok(Some(Credential::Known(secret)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_fit_together_is_a_mistake() {
        let file = || Some(PathBuf::from("x.pem"));
        let tls = TlsArgs { tls_ca: file(), ..TlsArgs::default() };
        assert!(tls.files("http://127.0.0.1:1").unwrap_err().to_string().contains("https://"));
        assert_eq!(tls.files("https://127.0.0.1:1").unwrap().ca, file());
        assert!(tls.files("unix:/run/tally.sock").is_ok());
        for tls in [
            TlsArgs { tls_cert: file(), ..TlsArgs::default() },
            TlsArgs { tls_key: file(), ..TlsArgs::default() },
        ] {
            let error = tls.files("https://127.0.0.1:1").unwrap_err().to_string();
            assert!(error.contains("go together"), "{error}");
        }
        assert_eq!(TlsArgs::default().files("http://127.0.0.1:1").unwrap(), TlsFiles::default());
    }
}
