//! Bytes on their way out, and the ready-made pieces that rows are put together from.
//!
//! Never allocates after it is made.

use std::io::{self, Write};

/// Bytes gathered before they are written, and room for the row that goes beyond them.
const WRITE_BYTES: usize = 1 << 20;
const SPARE_BYTES: usize = 4 << 10;

/// A short text in a place of fixed size: it is copied whole, spare bytes and all, because a copy
/// of constant length is a move or two while one of the text's own length is a call.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cell<const N: usize> {
    bytes: [u8; N],
    len: u8,
}

impl<const N: usize> Cell<N> {
    /// A cell of `text`, which is at most `N` (and 255) bytes long.
    pub(super) fn new(text: impl AsRef<[u8]>) -> Self {
        let text = text.as_ref();
        let mut bytes = [0; N];
        bytes[..text.len()].copy_from_slice(text);
        Self { bytes, len: u8::try_from(text.len()).expect("a cell is shorter than 256 bytes") }
    }
}

/// The output's next bytes.
#[derive(Debug)]
pub(super) struct Buffer {
    bytes: Box<[u8]>,
    filled: usize,
}

impl Buffer {
    pub(super) fn new() -> Self {
        Self { bytes: vec![0; WRITE_BYTES + SPARE_BYTES].into(), filled: 0 }
    }

    pub(super) fn len(&self) -> usize {
        self.filled
    }

    pub(super) fn is_full(&self) -> bool {
        self.filled >= WRITE_BYTES
    }

    #[inline]
    pub(super) fn push<const N: usize>(&mut self, cell: &Cell<N>) {
        self.bytes[self.filled..self.filled + N].copy_from_slice(&cell.bytes);
        self.filled += usize::from(cell.len);
    }

    pub(super) fn push_bytes(&mut self, bytes: &[u8]) {
        self.bytes[self.filled..self.filled + bytes.len()].copy_from_slice(bytes);
        self.filled += bytes.len();
    }

    #[inline]
    pub(super) fn push_byte(&mut self, byte: u8) {
        self.bytes[self.filled] = byte;
        self.filled += 1;
    }

    /// Appends a number in decimal.
    #[inline]
    pub(super) fn push_number(&mut self, mut number: u64) {
        let len = number.checked_ilog10().unwrap_or(0) as usize + 1;
        for byte in self.bytes[self.filled..self.filled + len].iter_mut().rev() {
            *byte = b'0' + (number % 10) as u8;
            number /= 10;
        }
        self.filled += len;
    }

    /// What has been gathered, as a cell; the buffer is empty then.
    pub(super) fn take_cell<const N: usize>(&mut self) -> Cell<N> {
        let filled = std::mem::take(&mut self.filled);
        Cell::new(&self.bytes[..filled])
    }

    /// Writes what has been gathered and forgets it; returns how many bytes that was.
    pub(super) fn write_to(&mut self, out: &mut impl Write) -> io::Result<u64> {
        let filled = std::mem::take(&mut self.filled);
        out.write_all(&self.bytes[..filled])?;
        Ok(filled as u64)
    }
}
