//! Finding records and fields in CSV bytes: RFC 4180 with what people really send, agreeing with the
//! `csv` crate on every input.
//!
//! A record ends at LF, CRLF or a lone CR outside quotes. A quote opens a quoted field only where a
//! field begins; anywhere else in an unquoted field it is a byte like any other. What follows a
//! closing quote up to the next separator belongs to the field as it stands.
//!
//! There is one algorithm, over blocks of 64 bytes as bit masks, with two ways to make the masks
//! ([`blocks`]): AVX2 where the machine has it, and plain 64-bit arithmetic. Quotes come in pairs
//! nearly always, and then whether a byte is quoted is the parity of the quotes before it; the one
//! case in which that is wrong, a quote in the middle of an unquoted field, is seen in the masks and
//! stepped over byte by byte.

mod blocks;
pub mod cut;
mod field;
mod split;
mod state;
#[cfg(test)]
mod tests;

pub use field::{append_unquoted, unquote};
pub use split::{FieldIndex, Record, Split, split};
