//! The gRPC protocol of Tally: the code generated from `proto/tally/v1`; [`convert`], which is the
//! only place where foreign wire data is checked on its way into the domain's types; [`channel`] and
//! [`dial`], how a master is dialled; [`frames`], the streams of bulk bytes; and [`trace`], which trace
//! they belong to.

pub mod channel;
pub mod convert;
pub mod dial;
pub mod frames;
mod line;
pub mod pem;
mod secret;
pub mod trace;

pub use line::Line;
pub use secret::{Secret, SecretError};

/// Generated from the .proto files, where every message and field is documented.
#[allow(missing_docs, unreachable_pub, rust_2018_idioms, clippy::all, clippy::too_many_lines)]
pub mod v1 {
    tonic::include_proto!("tally.v1");
}

/// The compiled descriptors, for the reflection service.
pub const FILE_DESCRIPTOR_SET: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/tally.v1.bin"));

use std::sync::atomic::{AtomicU32, Ordering};

/// The version of the cluster protocol that this build speaks. Minor versions: 1 sends again what has arrived
/// damaged, 2 reads tasks where the master keeps them, 3 compresses bulk bytes. Whoever does not know of one
/// of these leaves its fields out, and goes without.
pub const PROTOCOL: v1::ProtocolVersion = v1::ProtocolVersion { major: 1, minor: 3 };

/// This build's version, for people.
pub const BUILD: &str = env!("CARGO_PKG_VERSION");

/// The minor version that this process speaks.
static SPOKEN: AtomicU32 = AtomicU32::new(PROTOCOL.minor);

/// Makes this process speak another minor version, as an older build would, or as one that knows more: for
/// tests of upgrades. To be called before anything is said.
pub fn speak(minor: u32) {
    SPOKEN.store(minor, Ordering::Relaxed);
}

/// The version that this process speaks.
pub fn spoken() -> v1::ProtocolVersion {
    v1::ProtocolVersion { minor: SPOKEN.load(Ordering::Relaxed), ..PROTOCOL }
}

/// Whether this process knows what came with a minor version.
pub fn speaks(minor: u32) -> bool {
    SPOKEN.load(Ordering::Relaxed) >= minor
}
