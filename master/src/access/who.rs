//! Who asks: found out once for each request, before anything else looks at it.

use std::fmt;
use std::sync::Arc;

use super::{Certificate, Key, Owner, Scope, Scopes, Session, Token};

/// Somebody who asks for something. The edges put it into each request's extensions.
#[derive(Clone, Debug)]
pub enum Who {
    /// Anybody, and what anybody may: everything on an open master, nothing on a guarded one.
    Anonymous(Scopes),
    /// A slave, by a join token.
    Slave(Token),
    /// The owner of a key.
    Key(Arc<Key>),
    /// The owner of a certificate, and what that lets him do.
    Certificate(Arc<Certificate>, Scopes),
    /// Somebody at the dashboard, who has shown a key to log in.
    Session(Session),
}

impl Who {
    /// What he may do.
    pub fn scopes(&self) -> Scopes {
        match self {
            Self::Anonymous(scopes) | Self::Certificate(_, scopes) => *scopes,
            Self::Slave(_) => Scope::Join.into(),
            Self::Key(key) => key.scopes,
            Self::Session(session) => session.key.scopes,
        }
    }

    /// Whether he may do what wants this scope.
    pub fn allows(&self, scope: Scope) -> bool {
        self.scopes().allow(scope)
    }

    /// His key, if he has one: for what is counted by key.
    pub fn key(&self) -> Option<&Arc<Key>> {
        match self {
            Self::Key(key) => Some(key),
            Self::Session(session) => Some(&session.key),
            Self::Anonymous(_) | Self::Slave(_) | Self::Certificate(..) => None,
        }
    }

    /// Whose the jobs are that he submits, if they are anybody's in particular.
    pub fn owner(&self) -> Option<Owner> {
        match self {
            Self::Certificate(certificate, _) => Some(Owner::of_certificate(&certificate.name)),
            who => who.key().map(|key| Owner::of_key(&key.id)),
        }
    }
}

/// As the audit log has it.
impl fmt::Display for Who {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Anonymous(_) => f.write_str("anonymous"),
            Self::Slave(_) => f.write_str("join-token"),
            Self::Key(key) => write!(f, "key:{}({})", key.id, key.name),
            Self::Certificate(certificate, _) => write!(f, "cert:{}", certificate.name),
            Self::Session(session) => write!(f, "session:key {}", session.key.id),
        }
    }
}
