//! A simulated wide cluster: a real master, fed from by many slaves that only pretend to count. Shows
//! what the master itself can feed: tasks a second, streams, bytes a second, and where it saturates.
//!
//! The master is the real binary in a process of its own, with its data on disk. A simulated slave is a
//! tokio task here with a connection of its own; all that it leaves out is the counting.

mod answers;
mod bench;
mod client;
mod crowd;
mod load;
mod process;
pub mod report;
mod slave;

pub use bench::{Bench, Row, SPEC_FLAGS};
pub use crowd::Fed;
pub use load::Load;
pub use process::{Tally, Usage, raise_file_limit};
