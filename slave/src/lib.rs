//! The slave: joins a master, counts the tasks that it is given, returns sorted runs.
//!
//! The async side ([`session`]) only moves bytes and messages; all counting happens on the threads
//! of [`worker`], so that no tokio worker is ever held up by parsing.

pub mod config;
pub mod kernel;
mod outbox;
mod remote;
pub mod session;
mod spool;
pub mod worker;
