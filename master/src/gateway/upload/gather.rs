//! Between a body and its upload: small pieces are put together, and what is of no use is thrown away.

use bytes::Bytes;

use tally_common::id::JobId;

use super::DRAIN_BYTES;
use crate::gateway::problem::Problem;
use crate::jobs::Upload;

/// Pieces smaller than this are gathered before they are passed on, in bytes: hyper gives bodies in
/// pieces of a few KiB, and each passes a queue.
const GATHER_BYTES: usize = 256 << 10;

/// Gathers small pieces.
#[derive(Default)]
pub(in crate::gateway) struct Gather {
    pieces: Vec<u8>,
    /// Bytes that came after the input had turned out to be of no use.
    drained: usize,
}

impl Gather {
    /// `false` where no more need be read.
    pub(in crate::gateway) async fn push(&mut self, upload: &mut Upload, data: Bytes) -> bool {
        if self.drained > 0 {
            self.drained += data.len();
            return self.drained < DRAIN_BYTES;
        }
        let taken = if self.pieces.is_empty() && data.len() >= GATHER_BYTES {
            upload.push(data).await
        } else {
            self.pieces.extend_from_slice(&data);
            self.pieces.len() < GATHER_BYTES || self.flush(upload).await
        };
        self.drained += usize::from(!taken);
        true
    }

    /// Takes pieces that had been held back.
    pub(in crate::gateway) async fn push_all(&mut self, upload: &mut Upload, held: Vec<Bytes>) {
        for data in held {
            self.push(upload, data).await;
        }
    }

    async fn flush(&mut self, upload: &mut Upload) -> bool {
        let full = std::mem::replace(&mut self.pieces, Vec::with_capacity(GATHER_BYTES * 2));
        upload.push(full.into()).await
    }

    /// Passes on what has been gathered.
    pub(in crate::gateway) async fn flush_rest(&mut self, upload: &mut Upload) {
        if !self.pieces.is_empty() {
            // What is wrong, if it is, comes with the end.
            self.flush(upload).await;
        }
    }

    pub(super) async fn finish(mut self, mut upload: Upload) -> Result<JobId, Problem> {
        self.flush_rest(&mut upload).await;
        Ok(upload.finish().await?)
    }
}
