//! Certificates and keys as they lie in files, for both ends of TLS. Every error names its file and what is
//! wrong with it, and has nothing of a key.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::RootCertStore;
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use thiserror::Error;

/// Largest file that is read, in bytes: a bundle of all the world's authorities has a quarter of that.
const MAX_FILE_BYTES: u64 = 1 << 20;

/// What is wrong with a file.
#[derive(Debug, Error)]
#[error("{}: {wrong}", path.display())]
pub struct PemError {
    path: PathBuf,
    wrong: Wrong,
}

#[derive(Debug, Error)]
enum Wrong {
    #[error("it can not be read: {0}")]
    Read(#[from] io::Error),
    #[error("it has more than {} KiB; is it the right file?", MAX_FILE_BYTES >> 10)]
    Large,
    #[error("there is no {0} in it, in PEM (-----BEGIN …)")]
    Nothing(&'static str),
    #[error("it is no PEM: {0}")]
    Malformed(String),
    #[error("it is no certificate that can be used: {0}")]
    Unusable(String),
}

/// What encrypts: the same on both sides, whatever else is linked in.
pub fn provider() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}

/// The certificates of a file, in their order: first one's own, then those that vouch for it.
///
/// # Errors
/// [`PemError`], also where there are none.
pub fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, PemError> {
    let found = || -> Result<Vec<_>, Wrong> {
        let text = read(path)?;
        let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&text).collect();
        let found = found.map_err(malformed("certificate"))?;
        if found.is_empty() { Err(Wrong::Nothing("certificate")) } else { Ok(found) }
    };
    found().map_err(of(path))
}

/// The private key of a file.
///
/// # Errors
/// [`PemError`], also where there is none.
pub fn key(path: &Path) -> Result<PrivateKeyDer<'static>, PemError> {
    let found = || -> Result<_, Wrong> {
        PrivateKeyDer::from_pem_slice(&read(path)?).map_err(malformed("private key"))
    };
    found().map_err(of(path))
}

/// The authorities of a file.
///
/// # Errors
/// [`PemError`], also where there are none.
pub fn authorities(path: &Path) -> Result<RootCertStore, PemError> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(path)? {
        let added = roots.add(certificate);
        added.map_err(|error| of(path)(Wrong::Unusable(error.to_string())))?;
    }
    Ok(roots)
}

fn of(path: &Path) -> impl FnOnce(Wrong) -> PemError {
    let path = path.to_owned();
    move |wrong| PemError { path, wrong }
}

fn read(path: &Path) -> Result<Vec<u8>, Wrong> {
    use io::Read;
    let mut text = Vec::new();
    std::fs::File::open(path)?.take(MAX_FILE_BYTES + 1).read_to_end(&mut text)?;
    if text.len() as u64 > MAX_FILE_BYTES { Err(Wrong::Large) } else { Ok(text) }
}

/// Without the words of the parser that quote the file: they may be of a key.
fn malformed(what: &'static str) -> impl Fn(pem::Error) -> Wrong {
    move |error| match error {
        pem::Error::NoItemsFound => Wrong::Nothing(what),
        pem::Error::MissingSectionEnd { .. } => Wrong::Malformed("an end is missing".to_owned()),
        pem::Error::IllegalSectionStart { .. } => {
            Wrong::Malformed("a line -----BEGIN is broken".to_owned())
        }
        pem::Error::Base64Decode(_) => {
            Wrong::Malformed("what is between the lines is no base64".to_owned())
        }
        _ => Wrong::Malformed("it can not be parsed".to_owned()),
    }
}
