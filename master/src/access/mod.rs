//! Who may do what: what a caller shows of himself, and what that lets him do.

mod certificate;
mod scope;
pub(crate) mod tls;

use std::net::SocketAddr;
use std::sync::Arc;

pub use certificate::Certificate;
pub use scope::{Scope, Scopes};
pub use tls::{Tls, TlsError, TlsFiles};

/// What a connection says of who is at its other end. The listeners put it into each request's extensions.
#[derive(Clone, Debug, Default)]
pub struct Peer {
    /// Its address; `None` for one of this machine that came by the Unix socket.
    pub address: Option<SocketAddr>,
    /// The client's certificate, where it sent one, and our client CA vouches for it.
    pub certificate: Option<Arc<Certificate>>,
}
