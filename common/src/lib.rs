//! The words and algorithms that master and slave share.
//!
//! Pure: nothing in this crate knows tokio, opens a file, reads a clock or draws a random number.
//! Whoever calls it hands in bytes, times and seeds.

pub mod api;
pub mod backoff;
pub mod combine;
pub mod dialect;
pub mod formula;
pub mod id;
pub mod key;
pub mod limits;
pub mod preflight;
pub mod reject;
pub mod run;
pub mod scan;
pub mod spec;
pub mod table;
pub mod value;
