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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::access::{
        Access, AccessConfig, Certificate, KeyLimits, KeysFile, NewKey, Scope, Scopes, Who,
    };

    #[test]
    fn limits_are_a_keys_own_and_else_those_of_the_master() {
        let folder = tempfile::tempdir().unwrap();
        let file = KeysFile::of_data_dir(folder.path());
        let make = |name: &str, limits| {
            let (name, scopes) = (name.to_owned(), Scope::Submit.into());
            file.create(NewKey { name, scopes, lifetime_ms: None, limits }).unwrap().0
        };
        let own = KeyLimits { max_jobs: Some(3), ..KeyLimits::default() };
        let (one, other) = (make("one", own), make("other", KeyLimits::default()));
        let mut config = AccessConfig::new(folder.path());
        config.limits =
            KeyLimits { max_jobs: Some(7), bytes_per_day: Some(9), ..KeyLimits::default() };
        let access = Access::start(config).unwrap();
        let limits = |owner: &Owner| {
            let limits = access.limits_of(owner);
            (limits.max_jobs, limits.bytes_per_day)
        };
        assert_eq!(limits(&Owner::of_key(&one.id)), (Some(3), Some(9)));
        assert_eq!(limits(&Owner::of_key(&other.id)), (Some(7), Some(9)));
        // A certificate that is named as a key is no key.
        let name = one.id.to_string();
        let certificate = Arc::new(Certificate { name: name.clone(), scopes: None });
        let named = Who::Certificate(certificate, Scopes::NONE).owner().unwrap();
        assert_eq!(named.as_str(), format!("cert:{name}"));
        assert_eq!(limits(&named), (Some(7), Some(9)));
        assert_eq!(Who::Key(Arc::new(one)).owner(), Some(Owner::stored(&name)));
        assert_eq!(Who::Anonymous(Scopes::NONE).owner(), None);
    }
}
