//! Connections by TLS, made anew with what the files have.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use rustls::{CertificateError, ClientConfig, Error, RootCertStore};
use tokio::io::AsyncBufReadExt;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tonic::codegen::Service;
use tonic::codegen::http::Uri;

use super::{DialError, TlsFiles};
use crate::pem;

/// Where `https://` is served, if the URL does not say.
const PORT: u16 = 443;

/// How much may wait to be encrypted and sent, in bytes: several records with each system call, and little enough
/// to stay in the cache. With the 64 KiB of rustls a data message takes sixteen calls.
pub const TLS_BUFFER: usize = 256 << 10;

/// How long a master may take to send what HTTP/2 begins with, before the connection is used all the same.
const FIRST_WORD: Duration = Duration::from_secs(2);

/// Makes connections.
#[derive(Clone)]
pub(super) struct Connector {
    host: String,
    port: u16,
    name: ServerName<'static>,
    files: TlsFiles,
}

impl Connector {
    pub(super) fn new(uri: &Uri, files: TlsFiles) -> Result<Self, String> {
        let host = uri.host().ok_or("it has no host")?;
        // An IPv6 address stands in brackets.
        let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        let name = ServerName::try_from(host.clone()).map_err(|error| error.to_string())?;
        Ok(Self { host, port: uri.port_u16().unwrap_or(PORT), name, files })
    }

    /// What TLS is spoken with, as the files are now.
    pub(super) fn client(&self) -> Result<Arc<ClientConfig>, DialError> {
        let roots = match &self.files.ca {
            Some(ca) => pem::authorities(ca)?,
            None => RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() },
        };
        let builder = ClientConfig::builder_with_provider(pem::provider())
            .with_safe_default_protocol_versions()
            .expect("ring does TLS 1.2 and 1.3")
            .with_root_certificates(roots);
        let mut config = match &self.files.identity {
            None => builder.with_no_client_auth(),
            Some((cert, key)) => {
                let (chain, secret) = (pem::certificates(cert)?, pem::key(key)?);
                builder.with_client_auth_cert(chain, secret).map_err(|error| {
                    DialError::Identity { cert: cert.clone(), key: key.clone(), error }
                })?
            }
        };
        config.alpn_protocols = vec![b"h2".to_vec()];
        Ok(Arc::new(config))
    }

    async fn connect(self) -> io::Result<TokioIo<TlsStream<TcpStream>>> {
        let client = self.client().map_err(io::Error::other)?;
        let stream = TcpStream::connect((self.host.as_str(), self.port)).await?;
        stream.set_nodelay(true)?;
        let connector = TlsConnector::from(client);
        let shaken = connector.connect(self.name.clone(), stream).await;
        let mut stream = shaken.map_err(|error| self.explain(error))?;
        stream.get_mut().1.set_buffer_limit(Some(TLS_BUFFER));
        if self.files.identity.is_some() {
            // By TLS 1.3 our side is done before the master has looked at our certificate. It has something to
            // say as soon as it has: that, or why not.
            let first = timeout(FIRST_WORD, stream.fill_buf()).await;
            if let Ok(Err(error)) = first {
                return Err(self.explain(error));
            }
        }
        Ok(TokioIo::new(stream))
    }

    /// Says it in words that tell what to do.
    fn explain(&self, error: io::Error) -> io::Error {
        let inner = error.get_ref().and_then(|error| error.downcast_ref::<Error>());
        let trusted = match &self.files.ca {
            Some(ca) => format!("of an authority of {}", ca.display()),
            None => "of an authority that the public web trusts (--tls-ca names others)".to_owned(),
        };
        let words = match inner {
            Some(Error::InvalidCertificate(
                // Two authorities may have the same name.
                CertificateError::UnknownIssuer | CertificateError::BadSignature,
            )) => {
                format!("its certificate is not {trusted}")
            }
            Some(Error::InvalidCertificate(
                CertificateError::Expired | CertificateError::ExpiredContext { .. },
            )) => "its certificate has expired".to_owned(),
            Some(Error::InvalidCertificate(
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
            )) => format!("its certificate is not for the name {}", self.host),
            Some(Error::InvalidMessage(_)) => {
                "it does not speak TLS there; is it http:// in place of https://?".to_owned()
            }
            Some(Error::AlertReceived(alert)) => match self.files.identity {
                Some(_) => format!("it refuses our certificate ({alert:?})"),
                None => format!("it refuses to speak TLS with us ({alert:?})"),
            },
            Some(Error::NoApplicationProtocol) => "it does not speak gRPC there".to_owned(),
            _ => return error,
        };
        io::Error::new(error.kind(), words)
    }
}

impl Service<Uri> for Connector {
    type Response = TokioIo<TlsStream<TcpStream>>;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<Self::Response>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    /// Where to is known already.
    fn call(&mut self, _: Uri) -> Self::Future {
        Box::pin(self.clone().connect())
    }
}
