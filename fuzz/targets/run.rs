//! See [`tally_fuzz::run`].
#![no_main]
#![allow(missing_docs)]

libfuzzer_sys::fuzz_target!(|data: &[u8]| tally_fuzz::run(data));
