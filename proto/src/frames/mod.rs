//! The streams that carry bulk bytes, without copying them.
//!
//! A generated client or server copies each message twice: into the buffer that it is encoded in, and
//! out of the pieces that HTTP/2 delivers. Where messages are nothing but bytes in an envelope
//! (`TaskFrame`, `DataFrame`, `SubmitFrame`, `PartialFrame`) neither is needed: what goes out is the
//! envelope and the bytes themselves, and what comes in is passed on in the pieces that it comes in. On
//! the wire nothing differs: the other side may be any gRPC client or server.
//!
//! Between sites, tasks and partials may be compressed, frame by frame ([`Compression`]); these are
//! copied.

mod call;
mod decode;
mod file;
mod incoming;
mod outgoing;
mod packed;
mod pool;

pub use call::{download, upload};
pub use decode::{FrameError, Frames, Part, Shape};
pub use file::{DirectReader, frame_at, open_direct};
pub use incoming::{Incoming, request};
pub use outgoing::{Outgoing, Piece, message, respond, respond_once};
pub use packed::{Compression, PackedError, Packer, Unpacker};
pub use pool::{ALIGN, Buffer};

/// Paths of the methods that are carried this way.
pub mod path {
    /// `Cluster.StreamTask`.
    pub const STREAM_TASK: &str = "/tally.v1.Cluster/StreamTask";
    /// `Cluster.ReturnPartial`.
    pub const RETURN_PARTIAL: &str = "/tally.v1.Cluster/ReturnPartial";
    /// `Jobs.Submit`.
    pub const SUBMIT: &str = "/tally.v1.Jobs/Submit";
    /// `Jobs.Result`.
    pub const RESULT: &str = "/tally.v1.Jobs/Result";
    /// `Jobs.Rejects`.
    pub const REJECTS: &str = "/tally.v1.Jobs/Rejects";
    /// `Jobs.Input`.
    pub const INPUT: &str = "/tally.v1.Jobs/Input";
}

#[cfg(test)]
mod tests;
