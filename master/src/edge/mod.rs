//! What both edges, HTTP and gRPC, do with tables alike: operations that come in, changes that are
//! followed, all rows that go out. Knows nothing of either protocol.

mod follow;
mod incoming;
mod scan;

pub(crate) use follow::{Following, News};
pub(crate) use incoming::Batch;
pub(crate) use scan::{Outgoing, send};
