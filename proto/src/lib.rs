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

/// The version of the cluster protocol that this build speaks.
pub const PROTOCOL: v1::ProtocolVersion = v1::ProtocolVersion { major: 1, minor: 3 };

/// This build's version, for people.
pub const BUILD: &str = env!("CARGO_PKG_VERSION");
