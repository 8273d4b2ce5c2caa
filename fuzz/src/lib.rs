//! What may come from outside, held to what it must never do: each function here takes any bytes at
//! all, and panics where a promise is broken. `cargo fuzz` looks for such bytes; the tests run what
//! it has found worth keeping.

mod compressed;
mod counted;
mod headers;
mod packed;
mod requests;
mod runs;
mod scanned;
mod served;

pub use compressed::decompress;
pub use counted::count;
pub use headers::header;
pub use packed::packed;
pub use requests::{MARKERS, grpc, http};
pub use runs::run;
pub use scanned::scan;

/// Takes a byte off the front: a choice that the input makes for the target. 0 where there is none.
fn choose(data: &mut &[u8]) -> u8 {
    match data.split_first() {
        Some((first, rest)) => {
            *data = rest;
            *first
        }
        None => 0,
    }
}

/// Bytes as the `csv` crate is to read them: it drops a byte order mark at the start, so it is given
/// one to drop. In Tally that is for whoever reads the header.
fn for_csv(data: &[u8]) -> Vec<u8> {
    [b"\xef\xbb\xbf", data].concat()
}

/// Cuts `data` into pieces of the sizes that `sizes` gives, over and over; sizes of 0 count as 1.
fn pieces(data: &[u8], sizes: [u8; 2]) -> impl Iterator<Item = &[u8]> {
    let (mut rest, mut turn) = (data, 0);
    std::iter::from_fn(move || {
        let size = usize::from(sizes[turn % 2].max(1)).min(rest.len());
        turn += 1;
        let (piece, after) = rest.split_at(size);
        rest = after;
        (!piece.is_empty()).then_some(piece)
    })
}
