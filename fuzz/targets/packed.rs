//! See [`tally_fuzz::packed`].
#![no_main]
#![allow(missing_docs)]

libfuzzer_sys::fuzz_target!(|data: &[u8]| tally_fuzz::packed(data));
