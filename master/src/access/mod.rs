//! Who may do what: what a caller shows of himself, and what that lets him do. The edges ask [`Access`] before
//! anything else sees a request; nothing here knows what a route or a method does.

mod file;
mod guard;
mod key;
mod keys;
mod random;
mod scope;
mod session;
mod tokens;
mod watch;
mod who;

use std::sync::Arc;

pub use file::FileError;
pub use guard::{Access, AccessConfig, AccessError, Credential, Need, Refusal};
pub use key::{Key, KeyId, KeyLimits, Standing};
pub use keys::{KeysError, KeysFile, NewKey};
pub use scope::{NoScope, Scope, Scopes};
pub use session::{Session, Sessions};
pub use tokens::{TokensError, TokensFile};
pub use who::Who;

/// What a connection says of who is at its other end. The listeners put it into each request's extensions.
#[derive(Clone, Debug, Default)]
pub struct Peer {
    /// The client's certificate, where it sent one, and our client CA vouches for it.
    pub certificate: Option<Arc<Certificate>>,
}

/// A client's certificate that has been verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certificate {
    /// Its common name, else its first alternative name: for the audit log.
    pub name: String,
    /// What its URIs `urn:tally:scope:…` let it do; `None` where it has none of these, and the operator's word
    /// for such certificates holds.
    pub scopes: Option<Scopes>,
}
