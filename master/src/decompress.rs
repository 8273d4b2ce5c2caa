//! gzip and zstd, known by their content, decompressed as they stream, within a ratio limit.

use std::fs::File;
use std::io::{self, Read, Seek, Write};
use std::path::Path;

use flate2::read::MultiGzDecoder as MultiGzReader;
use flate2::write::MultiGzDecoder;
use thiserror::Error;
use zstd::stream::raw::{Decoder as ZstdDecoder, InBuffer, Operation, OutBuffer};

use crate::spool::InputError;

/// Bytes that come out for one that goes in before an input is taken for a bomb: real CSV stays far
/// below it.
const MAX_RATIO: u64 = 1000;

/// Bytes that may come out before the ratio is looked at: small inputs may well be all alike.
const RATIO_FREE_BYTES: u64 = 256 << 20;

/// Bytes decompressed at a time.
const CHUNK_BYTES: usize = 256 << 10;

/// Why compressed bytes make no sense.
#[derive(Debug, Error)]
pub enum DecompressError {
    /// Damaged, or cut off.
    #[error("the {encoding} data is damaged or cut off: {problem}")]
    Damaged {
        /// `gzip` or `zstd`.
        encoding: &'static str,
        /// What the decoder said.
        problem: String,
    },
    /// It blows up beyond reason.
    #[error("the compressed input grows more than {MAX_RATIO} times; refused")]
    Bomb,
}

/// How an input is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Encoding {
    Plain,
    Gzip,
    Zstd,
}

impl Encoding {
    /// Looks at the first 4 bytes of an input; fewer only where it has fewer.
    pub(crate) fn sniff(start: &[u8]) -> Self {
        match start {
            [0x1f, 0x8b, ..] => Self::Gzip,
            [0x28, 0xb5, 0x2f, 0xfd, ..] => Self::Zstd,
            _ => Self::Plain,
        }
    }
}

/// A decoder that finds out by itself what it decodes.
#[derive(Default)]
pub struct Decompress {
    /// Bytes held back until there are enough to tell.
    start: Vec<u8>,
    decoder: Option<Decoder>,
    taken: u64,
    given: u64,
}

enum Decoder {
    Plain,
    Gzip(Box<MultiGzDecoder<Vec<u8>>>),
    Zstd { decoder: Box<ZstdDecoder<'static>>, out: Vec<u8>, frame: Frame },
}

/// Bytes of the number that a zstd frame begins with.
const ZSTD_MAGIC_BYTES: usize = 4;

/// Bytes that a zstd frame's header has at most.
const ZSTD_HEADER_BYTES: usize = 18;

/// The zstd frame at hand. The decoder, when it streams, does not hold a frame that ends in an empty
/// block to the length that its header gives.
#[derive(Default)]
struct Frame {
    /// Its first bytes, up to [`ZSTD_HEADER_BYTES`] of them; none between two frames.
    head: Vec<u8>,
    given: u64,
}

impl Frame {
    /// Notes what the decoder took and gave.
    fn note(&mut self, taken: &[u8], given: usize) {
        let room = ZSTD_HEADER_BYTES - self.head.len();
        self.head.extend_from_slice(&taken[..taken.len().min(room)]);
        self.given += given as u64;
    }

    /// It is complete: the next one begins.
    fn end(&mut self) -> Result<(), DecompressError> {
        let Self { head, given } = std::mem::take(self);
        match zstd::zstd_safe::get_frame_content_size(&head) {
            Ok(Some(expected)) if expected != given => {
                let problem = format!("a frame of {expected} bytes has {given}");
                Err(DecompressError::Damaged { encoding: "zstd", problem })
            }
            // Its header gives no length, or it is one of those that hold no data.
            _ => Ok(()),
        }
    }
}

impl Decoder {
    fn of(encoding: Encoding) -> io::Result<Self> {
        Ok(match encoding {
            Encoding::Plain => Self::Plain,
            Encoding::Gzip => Self::Gzip(Box::new(MultiGzDecoder::new(Vec::new()))),
            Encoding::Zstd => {
                let decoder = Box::new(ZstdDecoder::new()?);
                Self::Zstd { decoder, out: vec![0; CHUNK_BYTES], frame: Frame::default() }
            }
        })
    }
}

/// Where plain bytes go.
pub type Give<'a> = dyn FnMut(&[u8]) -> Result<(), InputError> + 'a;

impl Decompress {
    /// Takes the next bytes in and gives out what they become.
    ///
    /// # Errors
    /// [`InputError::Decompress`] where they make no sense, and what `give` gives.
    pub fn feed(&mut self, data: &[u8], give: &mut Give<'_>) -> Result<(), InputError> {
        self.taken += data.len() as u64;
        if self.decoder.is_some() {
            return self.decode(data, give);
        }
        self.start.extend_from_slice(data);
        if self.start.len() >= 4 { self.begin(give) } else { Ok(()) }
    }

    fn begin(&mut self, give: &mut Give<'_>) -> Result<(), InputError> {
        let start = std::mem::take(&mut self.start);
        self.decoder = Some(Decoder::of(Encoding::sniff(&start))?);
        self.decode(&start, give)
    }

    fn decode(&mut self, data: &[u8], give: &mut Give<'_>) -> Result<(), InputError> {
        let (taken, given) = (self.taken, &mut self.given);
        let mut give = |plain: &[u8]| {
            *given += plain.len() as u64;
            if *given > RATIO_FREE_BYTES && *given / MAX_RATIO > taken {
                return Err(DecompressError::Bomb.into());
            }
            give(plain)
        };
        match &mut self.decoder {
            None => Ok(()),
            Some(Decoder::Plain) => give(data),
            Some(Decoder::Gzip(decoder)) => {
                // In small steps: what one step gives is held in memory, up to 1,032 times as much.
                for step in data.chunks(CHUNK_BYTES / 256) {
                    decoder.write_all(step).map_err(gzip)?;
                    give(decoder.get_ref())?;
                    decoder.get_mut().clear();
                }
                Ok(())
            }
            Some(Decoder::Zstd { decoder, out, frame }) => {
                let mut at = 0;
                loop {
                    // A frame that is there whole would be decoded in one go, which is stricter with
                    // some than decoding it as it comes: its magic number goes in by itself.
                    let end = match ZSTD_MAGIC_BYTES.saturating_sub(frame.head.len()) {
                        0 => data.len(),
                        missing => data.len().min(at + missing),
                    };
                    let mut input = InBuffer::around(&data[at..end]);
                    let mut output = OutBuffer::around(&mut out[..]);
                    let hint = decoder.run(&mut input, &mut output).map_err(zstd_damage)?;
                    let n = output.pos();
                    frame.note(&data[at..at + input.pos()], n);
                    at += input.pos();
                    if hint == 0 {
                        frame.end()?;
                    }
                    give(&out[..n])?;
                    if at == data.len() && n < out.len() {
                        return Ok(());
                    }
                    if hint == 0 && at < data.len() {
                        decoder.reinit()?;
                    }
                }
            }
        }
    }

    /// There are no more bytes: gives out what is left, and sees to it that nothing is missing.
    ///
    /// # Errors
    /// [`InputError::Decompress`] where something is missing, and what `give` gives.
    pub fn finish(mut self, give: &mut Give<'_>) -> Result<(), InputError> {
        if self.decoder.is_none() {
            self.begin(give)?;
        }
        match &mut self.decoder {
            Some(Decoder::Gzip(decoder)) => {
                decoder.try_finish().map_err(gzip)?;
                give(decoder.get_ref())
            }
            Some(Decoder::Zstd { frame, .. }) if !frame.head.is_empty() => {
                Err(zstd_damage(io::Error::from(io::ErrorKind::UnexpectedEof)).into())
            }
            _ => Ok(()),
        }
    }
}

fn gzip(error: io::Error) -> DecompressError {
    DecompressError::Damaged { encoding: "gzip", problem: error.to_string() }
}

fn zstd_damage(error: io::Error) -> DecompressError {
    DecompressError::Damaged { encoding: "zstd", problem: error.to_string() }
}

/// Opens a file to be read decompressed, whatever it is.
///
/// # Errors
/// Whatever the system gives.
pub fn open_decompressed(path: &Path) -> io::Result<Box<dyn Read>> {
    let mut file = File::open(path)?;
    let mut start = [0; 4];
    let n = crate::spool::read_up_to(&mut file, &mut start)?;
    file.rewind()?;
    Ok(match Encoding::sniff(&start[..n]) {
        Encoding::Plain => Box::new(file),
        Encoding::Gzip => Box::new(MultiGzReader::new(file)),
        Encoding::Zstd => Box::new(zstd::stream::read::Decoder::new(file)?),
    })
}

#[cfg(test)]
mod tests {
    use flate2::Compression;
    use flate2::write::GzEncoder;
    use proptest::prelude::*;

    use super::*;

    fn decompress(data: &[u8], step: usize) -> Result<Vec<u8>, InputError> {
        let mut out = Vec::new();
        let mut decompress = Decompress::default();
        for piece in data.chunks(step) {
            decompress.feed(piece, &mut |plain| {
                out.extend_from_slice(plain);
                Ok(())
            })?;
        }
        decompress.finish(&mut |plain| {
            out.extend_from_slice(plain);
            Ok(())
        })?;
        Ok(out)
    }

    fn gzipped(data: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(data).unwrap();
        encoder.finish().unwrap()
    }

    fn zstded(data: &[u8]) -> Vec<u8> {
        zstd::encode_all(data, 1).unwrap()
    }

    proptest! {
        #[test]
        fn what_was_compressed_comes_back(
            data in prop::collection::vec(any::<u8>(), 0..3000),
            more in prop::collection::vec(0u8..4, 0..3000),
            step in 1usize..700,
        ) {
            prop_assume!(Encoding::sniff(&data) == Encoding::Plain);
            prop_assert_eq!(&decompress(&data, step).unwrap(), &data);
            let both = [&data[..], &more[..]].concat();
            for compress in [gzipped, zstded] {
                prop_assert_eq!(&decompress(&compress(&data), step).unwrap(), &data);
                // Two members or frames one after the other are one input.
                let two = [compress(&data), compress(&more)].concat();
                prop_assert_eq!(&decompress(&two, step).unwrap(), &both);
            }
        }

        #[test]
        fn what_is_cut_off_is_refused(
            data in prop::collection::vec(any::<u8>(), 1..2000),
            step in 1usize..700,
            keep in 0.0f64..1.0,
        ) {
            for compressed in [gzipped(&data), zstded(&data)] {
                let keep = 4 + ((compressed.len() - 4) as f64 * keep) as usize;
                prop_assert!(decompress(&compressed[..keep], step).is_err());
            }
        }
    }

    #[test]
    fn a_frame_that_is_shorter_than_it_says_is_refused() {
        // 34 bytes are announced; the last and only block is empty.
        let short = [0x28, 0xb5, 0x2f, 0xfd, 0x20, 34, 1, 0, 0];
        for step in 1..=short.len() {
            assert!(decompress(&short, step).is_err(), "in steps of {step}");
        }
    }

    #[test]
    fn a_frame_is_the_same_however_it_comes() {
        // A compressed block without content, which a decoder may take or not.
        let odd = [0x28, 0xb5, 0x2f, 0xfd, 0x20, 0, 4, 0, 0, 1, 0, 0];
        let whole = decompress(&odd, odd.len()).ok();
        for step in 1..odd.len() {
            assert_eq!(decompress(&odd, step).ok(), whole, "in steps of {step}");
        }
    }

    #[test]
    fn a_bomb_is_refused() {
        let zeros = vec![0; 600 << 20];
        let bomb = zstded(&zeros);
        assert!(matches!(
            decompress(&bomb, 4096),
            Err(InputError::Decompress(DecompressError::Bomb))
        ));
    }
}
