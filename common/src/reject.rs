//! Records that could not be counted, and why.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Why a record was not counted. The number is its code in a run and on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[repr(u8)]
pub enum RejectReason {
    /// The record has more or fewer fields than the header.
    FieldCount = 1,
    /// An integer column holds something else.
    NotAnInteger = 2,
    /// An integer that does not fit 64 bits.
    IntegerRange = 3,
    /// A date column holds something that is not of the form `YYYY-MM-DD`.
    NotADate = 4,
    /// A date of the right form that does not exist, such as 2021-02-29.
    NoSuchDate = 5,
    /// A text key is not valid UTF-8.
    InvalidUtf8 = 6,
    /// A quoted field is still open where the input ends.
    UnterminatedQuote = 7,
    /// A key column of a table is empty.
    EmptyKey = 8,
    /// A text is longer than a table's column takes.
    TooLong = 9,
    /// A text for a table holds a NUL character.
    Nul = 10,
}

impl RejectReason {
    /// The reason of a code.
    pub const fn from_code(code: u8) -> Option<Self> {
        Some(match code {
            1 => Self::FieldCount,
            2 => Self::NotAnInteger,
            3 => Self::IntegerRange,
            4 => Self::NotADate,
            5 => Self::NoSuchDate,
            6 => Self::InvalidUtf8,
            7 => Self::UnterminatedQuote,
            8 => Self::EmptyKey,
            9 => Self::TooLong,
            10 => Self::Nul,
            _ => return None,
        })
    }

    /// Its code in a run and on the wire.
    pub const fn code(self) -> u8 {
        self as u8
    }
}

impl fmt::Display for RejectReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::FieldCount => "wrong number of fields",
            Self::NotAnInteger => "not an integer",
            Self::IntegerRange => "integer does not fit 64 bits",
            Self::NotADate => "not a date (YYYY-MM-DD)",
            Self::NoSuchDate => "no such date",
            Self::InvalidUtf8 => "not valid UTF-8",
            Self::UnterminatedQuote => "a quote is never closed",
            Self::EmptyKey => "the key is empty",
            Self::TooLong => "the text is too long for a table",
            Self::Nul => "the text holds a NUL character",
        })
    }
}

/// A reject as a run keeps it: where the record stands in its task, not its bytes, which are still
/// in the input and are copied from there into the rejects file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Reject {
    /// Line breaks of the task before the record's first byte.
    pub line: u64,
    /// Offset of the record's first byte from the task's first byte.
    pub offset: u64,
    /// Bytes of the record, its terminator not included.
    pub len: u32,
    /// Index of the column in the header at fault; the number of fields found where the reason is
    /// [`RejectReason::FieldCount`].
    pub column: u32,
    /// What is wrong.
    pub reason: RejectReason,
}
