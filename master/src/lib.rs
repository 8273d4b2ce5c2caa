//! The master: takes inputs in, cuts them into tasks, hands these to slaves, keeps each partial
//! once, merges what came back, and serves all that over gRPC and HTTP.
//!
//! One way through: `intake` → `coordinator` (which owns the [`ledger`]) → `finish`. The edges,
//! [`grpc`] and [`gateway`], know the application's verbs in [`jobs`] and [`cluster`] and nothing
//! behind them.

pub mod access;
pub mod backup;
#[cfg(feature = "broker")]
pub mod broker;
mod cause;
mod clock;
pub mod cluster;
pub mod config;
mod coordinator;
pub mod decompress;
pub mod direct;
mod disk;
mod edge;
pub mod feed;
pub mod fetch;
mod finish;
mod formats;
pub mod gateway;
mod greeting;
pub mod grpc;
pub mod intake;
pub mod jobs;
pub mod ledger;
mod look;
mod machine;
pub mod merge;
pub mod metrics;
mod pace;
pub mod read_at;
mod readers;
pub mod recount;
mod removal;
mod runs;
pub mod sample;
pub mod server;
pub mod sources;
pub mod spool;
mod store;
pub mod tables;
mod trace;
