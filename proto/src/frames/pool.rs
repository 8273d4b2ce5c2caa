//! Buffers for frames, used again and again. Fresh memory for each would be cleared by the kernel, or
//! by the allocator, at a cost that compares with that of sending it.

use std::sync::{Mutex, PoisonError};

use bytes::Bytes;

use tally_common::limits::FRAME_BYTES;

use super::outgoing::{ENVELOPE_BYTES, envelope};

/// What the address of the bytes is a multiple of, and what has to be a multiple of it where a file is
/// read directly, in bytes: the largest block size that disks in use have.
pub const ALIGN: usize = 4096;

/// Where bytes may go: a frame, and what has to be read around it.
const ROOM: usize = FRAME_BYTES + 2 * ALIGN;

/// Buffers that are kept for later; at a mebibyte each, no more than a few streams at work need.
const KEPT: usize = 12;

static FREE: Mutex<Vec<Vec<u8>>> = Mutex::new(Vec::new());

/// Room for a frame and its envelope.
#[derive(Debug)]
pub struct Buffer {
    memory: Vec<u8>,
    /// The first aligned place that has room for an envelope before it.
    start: usize,
}

impl Buffer {
    /// One that has been used before, or a new one. What it holds is of no meaning.
    pub fn take() -> Self {
        let used = FREE.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let memory = used.unwrap_or_else(|| vec![0; 2 * ALIGN + ROOM]);
        let after = memory[ENVELOPE_BYTES..].as_ptr().align_offset(ALIGN);
        Self { start: ENVELOPE_BYTES + after, memory }
    }

    /// Where the bytes go: a frame and two blocks, from an address that is a multiple of [`ALIGN`].
    pub fn room(&mut self) -> &mut [u8] {
        &mut self.memory[self.start..self.start + ROOM]
    }

    /// The bytes from `skip` on, `len` of them.
    ///
    /// # Panics
    /// Where there is no such room.
    pub fn bytes(self, skip: usize, len: usize) -> Bytes {
        let start = self.start + skip;
        Bytes::from_owner(self).slice(start..start + len)
    }

    /// The same as the field `field` of a message that is in its envelope.
    ///
    /// # Panics
    /// Where there is no such room.
    pub fn enveloped(mut self, field: u32, skip: usize, len: usize) -> Bytes {
        let envelope = envelope(field, len);
        let end = self.start + skip + len;
        let start = self.start + skip - envelope.len();
        self.memory[start..start + envelope.len()].copy_from_slice(&envelope);
        Bytes::from_owner(self).slice(start..end)
    }
}

impl AsRef<[u8]> for Buffer {
    fn as_ref(&self) -> &[u8] {
        &self.memory
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        let mut free = FREE.lock().unwrap_or_else(PoisonError::into_inner);
        if free.len() < KEPT {
            free.push(std::mem::take(&mut self.memory));
        }
    }
}
