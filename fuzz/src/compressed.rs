//! Compressed inputs.

use std::io::{BufReader, Read};

use tally_master::decompress::Decompress;
use tally_master::spool::InputError;

use crate::{choose, pieces};

/// Most bytes that are looked at: what is tried here is damage; the ratio limit has a test of its
/// own.
const MOST: usize = 1 << 20;

/// Bytes come out the same however they go in, and are those that the decoders' own readers give.
pub fn decompress(mut data: &[u8]) {
    let sizes = [choose(&mut data), choose(&mut data)];
    let whole = decode(std::iter::once(data));
    let parts = decode(pieces(data, sizes));
    // Whoever stopped at the limit saw no damage behind it, and the other one may have.
    let limit = [&whole, &parts].into_iter().flatten().any(|found| found.len() == MOST);
    match (&whole, &parts) {
        _ if limit => {}
        (Some(whole), Some(parts)) => assert!(whole == parts, "in pieces of {sizes:?}"),
        (None, None) => {}
        (whole, parts) => {
            let [whole, parts] = [whole, parts].map(Option::is_some);
            panic!("decodes whole: {whole}, in pieces of {sizes:?}: {parts}");
        }
    }
    let Some(found) = whole.filter(|found| found.len() < MOST) else { return };
    let mut expected = Vec::new();
    // A frame that is there whole would be decoded in one go, which is stricter with some.
    let slowly = BufReader::with_capacity(1, data);
    match data {
        [0x1f, 0x8b, ..] => {
            let read = flate2::read::MultiGzDecoder::new(data).read_to_end(&mut expected);
            read.expect("what was decoded can be read");
        }
        [0x28, 0xb5, 0x2f, 0xfd, ..] => {
            let read = zstd::Decoder::with_buffer(slowly)
                .and_then(|mut decoder| decoder.read_to_end(&mut expected));
            read.expect("what was decoded can be read");
        }
        _ => expected = data.to_vec(),
    }
    assert!(found == expected);
}

/// What `pieces` become, up to [`MOST`] bytes; `None` where they are refused.
fn decode<'a>(pieces: impl Iterator<Item = &'a [u8]>) -> Option<Vec<u8>> {
    let (mut decompress, mut out) = (Decompress::default(), Vec::new());
    for piece in pieces {
        let fed = decompress.feed(piece, &mut |plain| {
            out.extend_from_slice(plain);
            match out.len() < MOST {
                true => Ok(()),
                false => Err(InputError::Cancelled),
            }
        });
        match fed {
            Ok(()) => {}
            Err(InputError::Cancelled) => {
                out.truncate(MOST);
                return Some(out);
            }
            Err(_) => return None,
        }
    }
    let finished = decompress.finish(&mut |plain| {
        out.extend_from_slice(plain);
        Ok(())
    });
    out.truncate(MOST);
    finished.is_ok().then_some(out)
}
