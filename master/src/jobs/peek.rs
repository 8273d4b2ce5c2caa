//! The first bytes of an input, held back until it is known what table they would fill. They are then taken
//! in as if nobody had looked.

use std::io::Read;

use bytes::Bytes;

use tally_common::table::INFER_BYTES;

use crate::decompress::Decompress;
use crate::spool::InputError;

/// Bytes that are decompressed at once: what comes out of more than this is never held.
const PIECE_BYTES: usize = 4 << 10;

/// What has come of an input so far.
#[derive(Default)]
pub struct Peek {
    /// As it came.
    held: Vec<Bytes>,
    bytes: usize,
    decoder: Decompress,
    /// Decompressed.
    plain: Vec<u8>,
    /// No more is wanted, or it can not be had: what is wrong with it comes out when it is taken in.
    enough: bool,
    whole: bool,
}

impl Peek {
    /// Takes the next bytes as they were sent. `false` where that is enough.
    pub fn push(&mut self, data: Bytes) -> bool {
        for piece in data.chunks(PIECE_BYTES) {
            if self.enough {
                break;
            }
            let plain = &mut self.plain;
            let fed = self.decoder.feed(piece, &mut |data| keep(data, plain));
            self.bytes += piece.len();
            self.enough = fed.is_err() || self.bytes >= INFER_BYTES;
        }
        self.held.push(data);
        !self.enough
    }

    /// There is no more.
    pub fn end(&mut self) {
        if !self.enough {
            let plain = &mut self.plain;
            let ended = std::mem::take(&mut self.decoder).finish(&mut |data| keep(data, plain));
            (self.enough, self.whole) = (true, ended.is_ok());
        }
    }

    /// One that wants nothing: the table is there.
    pub(super) fn needless() -> Self {
        Self { enough: true, ..Self::default() }
    }

    /// Whether more is wanted.
    pub fn wants_more(&self) -> bool {
        !self.enough
    }

    /// Takes the next bytes, or that there are none.
    pub fn take(&mut self, data: Option<Bytes>) {
        match data {
            Some(data) => drop(self.push(data)),
            None => self.end(),
        }
    }

    /// Takes the beginning of a file.
    ///
    /// # Errors
    /// Where it can not be read.
    pub(super) fn read(mut from: impl Read) -> std::io::Result<Self> {
        let (mut peek, mut buffer) = (Self::default(), vec![0; INFER_BYTES]);
        let n = crate::spool::read_up_to(&mut from, &mut buffer)?;
        buffer.truncate(n);
        let whole = n < INFER_BYTES;
        peek.push(buffer.into());
        if whole {
            peek.end();
        }
        Ok(peek)
    }

    /// What there is to tell a table from: whole records, if that is not all.
    pub(super) fn sample(&self) -> &[u8] {
        if self.whole || self.plain.len() >= INFER_BYTES {
            return &self.plain;
        }
        let last = self.plain.iter().rposition(|byte| *byte == b'\n');
        let end = last.map_or(self.plain.len(), |last| last + 1);
        &self.plain[..end]
    }

    /// All that came, as it came.
    pub fn into_held(self) -> Vec<Bytes> {
        self.held
    }
}

/// Keeps what there is room for; an error ends decompressing.
fn keep(data: &[u8], plain: &mut Vec<u8>) -> Result<(), InputError> {
    let room = INFER_BYTES - plain.len();
    plain.extend_from_slice(&data[..data.len().min(room)]);
    if plain.len() == INFER_BYTES { Err(InputError::Stopped) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn peek(data: &[u8], piece: usize) -> Peek {
        let mut peek = Peek::default();
        let enough = data.chunks(piece).any(|piece| !peek.push(Bytes::copy_from_slice(piece)));
        if !enough {
            peek.end();
        }
        peek
    }

    #[test]
    fn the_beginning_is_seen_and_nothing_is_lost() {
        let mut text = b"a,b\n".to_vec();
        while text.len() < 3 * INFER_BYTES {
            text.extend_from_slice(b"some text,2020-01-01\n");
        }
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gzip.write_all(&text).unwrap();
        let packed = [gzip.finish().unwrap(), zstd::encode_all(&text[..], 1).unwrap()];
        for data in [&text, &packed[0], &packed[1]] {
            for piece in [1, 1000, 1 << 20] {
                let peek = peek(data, piece);
                assert_eq!(peek.sample(), &text[..INFER_BYTES]);
                let held = peek.into_held().concat();
                assert_eq!(held, data[..held.len()]);
            }
        }
    }

    #[test]
    fn a_short_input_is_seen_whole_and_a_broken_one_up_to_its_last_record() {
        let text = b"a,b\n1,2\n3,4";
        let packed = zstd::encode_all(&text[..], 1).unwrap();
        assert_eq!(peek(text, 3).sample(), text);
        assert_eq!(peek(&packed, 3).sample(), text);
        assert_eq!(peek(b"", 3).sample(), b"");
        let mut part = Peek::default();
        part.push(Bytes::from_static(text));
        assert_eq!(part.sample(), b"a,b\n1,2\n");
    }
}
