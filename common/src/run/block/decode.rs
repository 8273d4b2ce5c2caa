//! Reading the groups of an entry that was found.

use super::super::batch::NARROW;
use super::super::columns::{self, STRIDE, Width};
use super::super::format::RunError;
use super::{DATES, GroupReader};
use crate::key::TailKind;

/// No aggregate of a run is as large, or as small: 128 billion records with the largest integer there
/// is. That leaves room to add up as many runs as there may be.
const MAX_VALUE: u128 = 1 << 100;

impl GroupReader {
    /// Reads the groups of the entry.
    ///
    /// # Errors
    /// [`RunError::Corrupt`].
    #[inline]
    pub fn decode(&mut self) -> Result<(), RunError> {
        match self.tail_kind {
            TailKind::None => {
                if !self.new_head {
                    return Err(self.disorder());
                }
                self.last = 0;
            }
            TailKind::Date => {
                if !self.new_head && i64::from(self.ordinals[0]) <= self.before {
                    return Err(self.disorder());
                }
                let tails = &self.payload[self.tails_at..];
                let count = self.count - 1;
                self.last =
                    columns::get_ascending(tails, count, self.widths[0], &mut self.ordinals);
                if self.last > *DATES.end() {
                    return Err(self.no_date());
                }
            }
            TailKind::Bytes => {
                // Known, as tails go.
                self.last = 0;
                self.read_tail()?;
            }
        }
        let (mut at, mut bits) = (self.values_at, 0);
        for (i, into) in self.narrow.chunks_exact_mut(STRIDE).enumerate() {
            let width = self.widths[i + 1];
            if width == Width::WIDE {
                return self.decode_wide();
            }
            columns::get_signed(&self.payload[at..], self.count, width, into);
            at += self.count * width.bytes();
            if width.bytes() == 8 {
                bits |= into[..self.count].iter().fold(0, |bits, v| bits | (v ^ (v >> 63)));
            }
        }
        if bits >= NARROW {
            return self.decode_wide();
        }
        self.is_wide = false;
        Ok(())
    }

    #[cold]
    fn decode_wide(&mut self) -> Result<(), RunError> {
        self.wide.resize(self.narrow.len(), 0);
        self.is_wide = true;
        let mut at = self.values_at;
        for (i, into) in self.wide.chunks_exact_mut(STRIDE).enumerate() {
            let width = self.widths[i + 1];
            let column = &self.payload[at..];
            at += self.count * width.bytes();
            if width == Width::WIDE {
                for (to, bytes) in into[..self.count].iter_mut().zip(column.as_chunks().0) {
                    *to = i128::from_le_bytes(*bytes);
                    if (*to ^ (*to >> 127)) as u128 >= MAX_VALUE {
                        return Err(self.corrupt("a value does not read"));
                    }
                }
            } else {
                let narrow = &mut self.narrow[..STRIDE];
                columns::get_signed(column, self.count, width, narrow);
                into.iter_mut().zip(narrow).for_each(|(to, value)| *to = i128::from(*value));
            }
        }
        Ok(())
    }
}
