//! The bytes of a frame, compressed: each frame on its own, so that one that is sent again needs
//! nothing that came before it. Costs time on a thread: never to be called on one of tokio's workers.

use bytes::Bytes;
use prost::Message;
use thiserror::Error;
use zstd::bulk::{Compressor, Decompressor};

use tally_common::limits::FRAME_BYTES;

use super::pool::Buffer;
use crate::v1;

/// Level of zstd: the fastest. A higher one would make the link wait for the thread that compresses.
const ZSTD_LEVEL: i32 = 1;

/// How frames are compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compression {
    /// The smaller one.
    Zstd,
    /// The one that takes a little less time.
    Lz4,
}

impl Compression {
    /// All that this build takes.
    pub const ALL: [Self; 2] = [Self::Zstd, Self::Lz4];

    /// What the wire says; `None` where it says none, or one that a newer side may know.
    pub fn from_wire(wire: i32) -> Option<Self> {
        match v1::Compression::try_from(wire) {
            Ok(v1::Compression::Zstd) => Some(Self::Zstd),
            Ok(v1::Compression::Lz4) => Some(Self::Lz4),
            Ok(v1::Compression::None) | Err(_) => None,
        }
    }

    /// The wire form.
    pub fn to_wire(self) -> i32 {
        let wire = match self {
            Self::Zstd => v1::Compression::Zstd,
            Self::Lz4 => v1::Compression::Lz4,
        };
        wire.into()
    }
}

/// Why compressed bytes make no sense.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum PackedError {
    /// It is no protobuf.
    #[error("a compressed frame can not be decoded: {0}")]
    Malformed(String),
    /// It is compressed in no way that is known.
    #[error("a frame is compressed in a way that is not known here ({0})")]
    Unknown(i32),
    /// It says that there is nothing in it, or too much.
    #[error("a compressed frame is said to hold {0} bytes; 1 to {FRAME_BYTES} are taken")]
    Length(u32),
    /// It can not be decompressed, or not to so many bytes as it says.
    #[error("a compressed frame is damaged: {0}")]
    Damaged(String),
}

/// Compresses the frames of one stream.
pub struct Packer {
    compression: Compression,
    /// Made when it is first needed, and kept: making one costs as much as using it.
    zstd: Option<Compressor<'static>>,
    /// Where compressed bytes go at first: they may be more than the plain ones.
    room: Vec<u8>,
}

impl Packer {
    /// One that compresses so.
    pub fn new(compression: Compression) -> Self {
        Self { compression, zstd: None, room: Vec::new() }
    }

    /// A frame's bytes, compressed; `None` where that does not make them fewer, and they had better be
    /// sent as they are.
    pub fn pack(&mut self, plain: &[u8]) -> Option<v1::Packed> {
        let plain_bytes = u32::try_from(plain.len()).ok()?;
        let len = match self.compression {
            // No more room than the plain bytes take: more is of no use.
            Compression::Zstd => {
                self.room.resize(plain.len(), 0);
                let zstd = match &mut self.zstd {
                    Some(zstd) => zstd,
                    none => none.insert(Compressor::new(ZSTD_LEVEL).ok()?),
                };
                zstd.compress_to_buffer(plain, self.room.as_mut_slice()).ok()?
            }
            Compression::Lz4 => {
                self.room.resize(lz4_flex::block::get_maximum_output_size(plain.len()), 0);
                lz4_flex::block::compress_into(plain, &mut self.room).ok()?
            }
        };
        let data = self.room.get(..len).filter(|packed| packed.len() < plain.len())?;
        let data = Bytes::copy_from_slice(data);
        Some(v1::Packed { compression: self.compression.to_wire(), plain_bytes, data })
    }
}

/// Decompresses the frames of one stream, however each of them is compressed.
#[derive(Default)]
pub struct Unpacker {
    zstd: Option<Decompressor<'static>>,
}

impl Unpacker {
    /// The plain bytes of an encoded `Packed`. Never takes more memory than a frame has, whatever the
    /// bytes say.
    ///
    /// # Errors
    /// [`PackedError`]
    pub fn unpack(&mut self, packed: Bytes) -> Result<Bytes, PackedError> {
        let packed = v1::Packed::decode(packed)
            .map_err(|error| PackedError::Malformed(error.to_string()))?;
        let compression = Compression::from_wire(packed.compression);
        let compression = compression.ok_or(PackedError::Unknown(packed.compression))?;
        let expected = packed.plain_bytes as usize;
        if !(1..=FRAME_BYTES).contains(&expected) {
            return Err(PackedError::Length(packed.plain_bytes));
        }
        let mut buffer = Buffer::take();
        // Both stop where the room ends.
        let room = &mut buffer.room()[..expected];
        let found = match compression {
            Compression::Zstd => self.zstd(&packed.data, room)?,
            Compression::Lz4 => lz4_flex::block::decompress_into(&packed.data, room)
                .map_err(|error| PackedError::Damaged(error.to_string()))?,
        };
        if found != expected {
            let problem = format!("it holds {found} bytes, and not {expected}");
            return Err(PackedError::Damaged(problem));
        }
        Ok(buffer.bytes(0, found))
    }

    fn zstd(&mut self, packed: &[u8], room: &mut [u8]) -> Result<usize, PackedError> {
        let damaged = |error: std::io::Error| PackedError::Damaged(error.to_string());
        let zstd = match &mut self.zstd {
            Some(zstd) => zstd,
            none => none.insert(Decompressor::new().map_err(damaged)?),
        };
        zstd.decompress_to_buffer(packed, room).map_err(damaged)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// All the ways there and back, as they go over the wire.
    fn there_and_back(plain: &[u8]) {
        let mut unpacker = Unpacker::default();
        for compression in Compression::ALL {
            assert_eq!(Compression::from_wire(compression.to_wire()), Some(compression));
            let mut packer = Packer::new(compression);
            // The second time by what the first has left.
            for _ in 0..2 {
                let Some(packed) = packer.pack(plain) else { continue };
                assert!(packed.data.len() < plain.len());
                let found = unpacker.unpack(packed.encode_to_vec().into()).unwrap();
                assert!(found == plain, "{compression:?}, {} bytes", plain.len());
            }
        }
    }

    fn unpacked(compression: i32, plain_bytes: u32, data: &[u8]) -> Result<Bytes, PackedError> {
        let data = Bytes::copy_from_slice(data);
        let packed = v1::Packed { compression, plain_bytes, data };
        Unpacker::default().unpack(packed.encode_to_vec().into())
    }

    fn packed(compression: Compression, plain: &[u8]) -> v1::Packed {
        Packer::new(compression).pack(plain).unwrap()
    }

    proptest! {
        #[test]
        fn what_is_unpacked_is_what_was_packed(
            word in prop::collection::vec(any::<u8>(), 0..40),
            times in 0usize..3000,
            noise in prop::collection::vec(any::<u8>(), 0..2000),
        ) {
            there_and_back(&[word.repeat(times), noise].concat());
        }

        #[test]
        fn garbage_is_refused_or_has_as_many_bytes_as_it_says(
            data in prop::collection::vec(any::<u8>(), 0..200),
            plain_bytes in 0u32..2_000_000,
            compression in -1i32..4,
        ) {
            if let Ok(found) = unpacked(compression, plain_bytes, &data) {
                prop_assert_eq!(found.len(), plain_bytes as usize);
            }
            let _ = Unpacker::default().unpack(data.into());
        }

        #[test]
        fn what_is_cut_off_or_flipped_is_refused_or_as_long_as_ever(
            len in 1usize..5000, at in any::<prop::sample::Index>(), bit in 0u8..8,
        ) {
            let plain: Vec<u8> = (0..len + 100).map(|n| (n / 7 % 50) as u8).collect();
            for compression in Compression::ALL {
                let v1::Packed { compression, plain_bytes, data } = packed(compression, &plain);
                let at = at.index(data.len());
                let cut = unpacked(compression, plain_bytes, &data[..at]);
                prop_assert!(matches!(cut, Err(PackedError::Damaged(_))), "{:?}", cut);
                let mut flipped = data.to_vec();
                flipped[at] ^= 1 << bit;
                if let Ok(found) = unpacked(compression, plain_bytes, &flipped) {
                    prop_assert_eq!(found.len(), plain.len());
                }
            }
        }
    }

    #[test]
    fn a_frame_of_any_size() {
        for len in [1, 100, FRAME_BYTES - 1, FRAME_BYTES] {
            there_and_back(&vec![b'a'; len]);
            there_and_back(&(0..len).map(|n| (n % 251) as u8).collect::<Vec<_>>());
        }
        assert_eq!(Packer::new(Compression::Zstd).pack(&[]), None);
        assert_eq!(Packer::new(Compression::Lz4).pack(&[]), None);
    }

    #[test]
    fn what_gets_no_smaller_stays_as_it_is() {
        let mut state = 1u64;
        let noise = std::iter::repeat_with(|| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (state >> 56) as u8
        });
        let noise: Vec<u8> = noise.take(FRAME_BYTES).collect();
        for compression in Compression::ALL {
            assert_eq!(Packer::new(compression).pack(&noise), None);
        }
    }

    #[test]
    fn more_than_a_frame_is_refused_whatever_it_says() {
        let bomb = vec![0; 64 * FRAME_BYTES];
        for compression in Compression::ALL {
            let v1::Packed { compression, plain_bytes, data } = packed(compression, &bomb);
            for said in [0, plain_bytes, FRAME_BYTES as u32 + 1, u32::MAX] {
                assert_eq!(unpacked(compression, said, &data), Err(PackedError::Length(said)));
            }
            // One that lies about it.
            for said in [1, FRAME_BYTES as u32] {
                let refused = unpacked(compression, said, &data);
                assert!(matches!(refused, Err(PackedError::Damaged(_))), "{refused:?}");
            }
        }
        // Several in one, of which each is small enough.
        let half = packed(Compression::Zstd, &bomb[..FRAME_BYTES / 2]);
        let (zstd, whole) = (half.compression, FRAME_BYTES as u32);
        assert_eq!(unpacked(zstd, whole, &half.data.repeat(2)).unwrap().len(), FRAME_BYTES);
        let refused = unpacked(zstd, whole, &half.data.repeat(3));
        assert!(matches!(refused, Err(PackedError::Damaged(_))), "{refused:?}");
    }

    #[test]
    fn fewer_bytes_than_it_says_are_refused() {
        for compression in Compression::ALL {
            let v1::Packed { compression, plain_bytes, data } = packed(compression, &[7; 1000]);
            let refused = unpacked(compression, plain_bytes + 1, &data);
            assert!(matches!(refused, Err(PackedError::Damaged(_))), "{refused:?}");
        }
    }

    #[test]
    fn a_compression_of_a_newer_version_is_refused() {
        for compression in [0, 3, -1] {
            assert_eq!(unpacked(compression, 1, b"a"), Err(PackedError::Unknown(compression)));
        }
    }
}
