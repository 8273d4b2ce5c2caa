//! How an input's bytes are to be read: its delimiter and where the spec's columns stand in it.

mod header;

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use thiserror::Error;

pub use header::{Header, HeaderError, Names, read_header, read_names};

/// The byte between fields.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum Delimiter {
    /// `,`
    #[default]
    Comma,
    /// `;`
    Semicolon,
    /// A horizontal tab.
    Tab,
    /// `|`
    Pipe,
}

impl Delimiter {
    /// All that are known, in the order in which ties are broken when sniffing.
    pub const ALL: [Self; 4] = [Self::Comma, Self::Semicolon, Self::Tab, Self::Pipe];

    /// The byte itself.
    pub const fn byte(self) -> u8 {
        match self {
            Self::Comma => b',',
            Self::Semicolon => b';',
            Self::Tab => b'\t',
            Self::Pipe => b'|',
        }
    }

    /// The delimiter that a byte is.
    pub const fn from_byte(byte: u8) -> Option<Self> {
        Some(match byte {
            b',' => Self::Comma,
            b';' => Self::Semicolon,
            b'\t' => Self::Tab,
            b'|' => Self::Pipe,
            _ => return None,
        })
    }
}

impl fmt::Display for Delimiter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Comma => "comma",
            Self::Semicolon => "semicolon",
            Self::Tab => "tab",
            Self::Pipe => "pipe",
        })
    }
}

/// A word or character that is no delimiter.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{0:?} is not a delimiter: comma, semicolon, tab and pipe (or , ; | and \\t) are")]
pub struct BadDelimiter(String);

impl FromStr for Delimiter {
    type Err = BadDelimiter;

    fn from_str(text: &str) -> Result<Self, BadDelimiter> {
        Ok(match text {
            "comma" | "," => Self::Comma,
            "semicolon" | ";" => Self::Semicolon,
            "tab" | "\t" | "\\t" => Self::Tab,
            "pipe" | "|" => Self::Pipe,
            _ => return Err(BadDelimiter(text.to_owned())),
        })
    }
}

/// A column name as names are compared: trimmed, in lower case.
pub fn fold(name: &str) -> String {
    name.trim().to_lowercase()
}

/// Where a spec's columns stand in one input: all that a slave needs to know of its header.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Layout {
    /// The byte between fields.
    pub delimiter: Delimiter,
    /// Fields in the header, and so in every record; at least 1.
    pub fields: u32,
    /// For each group-by column of the spec, its index among the fields.
    pub keys: Vec<u32>,
    /// For each aggregate of the spec, the index of its column; `None` for a count.
    pub values: Vec<Option<u32>>,
    /// For each column of the spec's rows, its index; `None` where the input has it not. Empty where
    /// the records are no rows of a table.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rows: Vec<Option<u32>>,
}
