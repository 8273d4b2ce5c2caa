//! Whole-cluster tests: real processes, real sockets, real files.
#![allow(clippy::unwrap_used, reason = "a test that unwraps fails, as it should")]

mod bad_input;
mod cli;
mod compressed;
mod conformance;
mod disk;
mod doctor;
mod faults;
mod formats;
mod hammer;
mod http;
mod in_place;
mod ingest;
mod limits;
mod lists;
mod looks;
mod metrics;
mod nearby;
mod postgres;
mod preflight;
mod query;
mod receipt;
mod restart;
mod retention;
mod rogue;
mod same;
mod seed;
mod sources;
mod submission;
mod tables;
mod tables_cli;
mod tables_grpc;
mod top;
mod traces;
mod watch;
mod wire;
