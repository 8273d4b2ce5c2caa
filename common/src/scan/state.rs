//! The state machine of a CSV reader, byte by byte: what the masks must agree with.

/// Where a reader stands after a byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum At {
    /// At the start of a field, and so perhaps of a record.
    FieldStart,
    /// In an unquoted field, or behind the closing quote of a quoted one.
    Unquoted,
    /// Between quotes.
    Quoted,
    /// Behind a quote that was between quotes: the closing one, or the first of a doubled one.
    QuoteInQuoted,
}

impl At {
    /// Where the reader stands after a byte that is neither separator nor record terminator, or that
    /// is one but between quotes.
    #[inline]
    #[cfg(test)]
    pub(super) fn after(self, byte: u8) -> Self {
        match (self, byte) {
            (Self::Quoted, b'"') => Self::QuoteInQuoted,
            (Self::Quoted, _) | (Self::QuoteInQuoted | Self::FieldStart, b'"') => Self::Quoted,
            // The CR of a CRLF, or one whose LF may come with the next bytes.
            (state, b'\r') => state,
            _ => Self::Unquoted,
        }
    }
}
