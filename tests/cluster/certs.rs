//! Certificates for tests, made by `tally certs`.

use std::net::TcpStream;
use std::path::PathBuf;
use std::process::Output;
use std::sync::Arc;

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection};
use tally_proto::pem;
use tally_tests::{Options, Trust, run};
use tempfile::TempDir;

/// An authority and what it vouches for, made by `tally certs`.
pub(crate) struct Certs(TempDir);

impl Certs {
    pub(crate) fn make() -> Self {
        let certs = Self(tempfile::tempdir().unwrap());
        certs.tally(&["ca"]);
        certs.tally(&["server", "127.0.0.1", "localhost"]);
        certs.tally(&["client", "slave", "--scope", "join"]);
        certs.tally(&["client", "alice", "--scope", "admin"]);
        certs.tally(&["client", "guest", "--scope", "read"]);
        certs
    }

    fn tally(&self, args: &[&str]) {
        let folder = self.0.path().to_str().unwrap();
        let made = run(["certs"].iter().chain(args).chain(&["--dir", folder]));
        assert!(made.status.success(), "{}", said(&made));
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub(crate) fn text(&self, name: &str) -> String {
        self.path(name).to_str().unwrap().to_owned()
    }

    /// What a client or a slave of this name is given.
    pub(crate) fn shown_by(&self, name: &str) -> Vec<String> {
        let own = [("--tls-cert", format!("{name}.pem")), ("--tls-key", format!("{name}.key"))];
        let own = own.into_iter().flat_map(|(flag, file)| [flag.to_owned(), self.text(&file)]);
        self.trusted().into_iter().chain(own).collect()
    }

    pub(crate) fn trusted(&self) -> Vec<String> {
        vec!["--tls-ca".to_owned(), self.text("ca.pem")]
    }

    /// How somebody of this name reaches the gateway.
    pub(crate) fn trust(&self, name: &str) -> Trust {
        let own = (self.path(&format!("{name}.pem")), self.path(&format!("{name}.key")));
        Trust { ca: self.path("ca.pem"), identity: Some(own) }
    }

    pub(crate) fn options(&self) -> Options {
        let master = [
            ("--tls-cert", "127.0.0.1.pem"),
            ("--tls-key", "127.0.0.1.key"),
            ("--tls-client-ca", "ca.pem"),
        ];
        let flags = master.into_iter().flat_map(|(flag, file)| [flag.to_owned(), self.text(file)]);
        Options {
            flags: flags.collect(),
            slave_flags: self.shown_by("slave"),
            client_flags: self.shown_by("alice"),
            tls: Some(self.trust("alice")),
            ..Options::default()
        }
    }

    /// The certificate that is shown at this address to those who trust this authority.
    pub(crate) fn shown_at(&self, address: &str) -> Vec<u8> {
        let roots = pem::authorities(&self.path("ca.pem")).unwrap();
        let config = ClientConfig::builder_with_provider(pem::provider())
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        let name = ServerName::try_from("127.0.0.1").unwrap();
        let mut tls = ClientConnection::new(Arc::new(config), name).unwrap();
        let mut stream = TcpStream::connect(address).unwrap();
        while tls.is_handshaking() {
            tls.complete_io(&mut stream).unwrap();
        }
        tls.peer_certificates().unwrap()[0].to_vec()
    }

    /// A new certificate for the master, of the same authority, in place of the one that it has.
    pub(crate) fn renew(&self) -> Vec<u8> {
        self.tally(&["server", "localhost", "127.0.0.1"]);
        for (new, old) in [("localhost.key", "127.0.0.1.key"), ("localhost.pem", "127.0.0.1.pem")] {
            std::fs::rename(self.path(new), self.path(old)).unwrap();
        }
        pem::certificates(&self.path("127.0.0.1.pem")).unwrap()[0].to_vec()
    }
}

pub(crate) fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

pub(crate) fn address(url: &str) -> &str {
    url.split_once("://").unwrap().1
}

pub(crate) fn health(url: &str, more: &[String]) -> Output {
    run(["health", "--master", url].into_iter().chain(more.iter().map(String::as_str)))
}
