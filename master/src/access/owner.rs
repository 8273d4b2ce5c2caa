//! Whose a job is: what limits of jobs and bytes are counted by, and what is stored with a job.

use std::fmt;
use std::sync::Arc;

use super::KeyId;

/// What stands before a certificate's name, so that none is ever taken for a key's id.
const CERTIFICATE: &str = "cert:";

/// Somebody whose jobs are counted: a key, by its id, or a certificate, by its name.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Owner(Arc<str>);

impl Owner {
    /// Whoever has a key.
    pub(super) fn of_key(id: &KeyId) -> Self {
        Self(id.as_str().into())
    }

    /// Whoever has a certificate of that name.
    pub(super) fn of_certificate(name: &str) -> Self {
        Self(format!("{CERTIFICATE}{name}").into())
    }

    /// One that was stored with a job.
    pub(crate) fn stored(text: &str) -> Self {
        Self(text.into())
    }

    /// As it is stored and shown.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The key, if it is one.
    pub(super) fn key(&self) -> Option<KeyId> {
        KeyId::try_from(self.0.to_string()).ok()
    }
}

impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.strip_prefix(CERTIFICATE) {
            Some(name) => write!(f, "the certificate {name}"),
            None => write!(f, "the key {}", self.0),
        }
    }
}
