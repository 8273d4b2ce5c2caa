//! Frames that came compressed.

use bytes::Bytes;
use prost::Message;

use tally_common::limits::FRAME_BYTES;
use tally_proto::frames::{Compression, Packer, Unpacker};
use tally_proto::v1::Packed;

/// A frame is refused, or is what it says: as zstd's own reader has it, and the same there and back again.
pub fn packed(data: &[u8]) {
    let mut unpacker = Unpacker::default();
    let Ok(found) = unpacker.unpack(Bytes::copy_from_slice(data)) else { return };
    let frame = Packed::decode(data).expect("what was unpacked can be decoded");
    assert!((1..=FRAME_BYTES).contains(&found.len()));
    assert_eq!(found.len(), frame.plain_bytes as usize);
    if Compression::from_wire(frame.compression) == Some(Compression::Zstd) {
        let read = zstd::decode_all(&frame.data[..]).expect("what was unpacked can be read");
        assert!(found == read);
    }
    for compression in Compression::ALL {
        let Some(packed) = Packer::new(compression).pack(&found) else { continue };
        let again = unpacker.unpack(packed.encode_to_vec().into());
        assert!(again.expect("what was packed can be unpacked") == found);
    }
}
