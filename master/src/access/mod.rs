//! Who may do what: what a caller shows of himself, and what that lets him do. The edges ask [`Access`] before
//! anything else sees a request; nothing here knows what a route or a method does.

mod audit;
mod certificate;
mod ending;
mod file;
mod guard;
mod key;
mod keys;
mod owner;
mod random;
mod rates;
mod scope;
mod session;
pub(crate) mod tls;
mod tokens;
mod watch;
mod who;

use std::net::SocketAddr;
use std::sync::Arc;

pub(crate) use audit::About;
pub use certificate::Certificate;
pub(crate) use ending::{Ended, Until, silence};
pub use file::FileError;
pub use guard::{Access, AccessConfig, AccessError, Credential, Need, Refusal};
pub use key::{Key, KeyId, KeyLimits, Standing};
pub use keys::{KeysError, KeysFile, NewKey};
pub use owner::Owner;
pub use scope::{NoScope, Scope, Scopes};
pub(crate) use session::{COOKIE, LIFETIME};
pub use session::{Session, Sessions};
pub use tls::{Tls, TlsError, TlsFiles};
pub use tokens::{Token, TokensError, TokensFile};
pub use who::Who;

/// What a connection says of who is at its other end. The listeners put it into each request's extensions.
#[derive(Clone, Debug, Default)]
pub struct Peer {
    /// Its address; `None` for one of this machine that came by the Unix socket.
    pub address: Option<SocketAddr>,
    /// The client's certificate, where it sent one, and our client CA vouches for it.
    pub certificate: Option<Arc<Certificate>>,
}
