//! The plain design that the kernel must never be much slower than: whole group keys as byte strings in
//! one hash table, sorted when all is counted.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

use tally_common::scan::{FieldIndex, split};
use tally_common::value::{parse_date, parse_integer};
use tally_slave::kernel::Bounds;

/// Groups of song and date, ascending, with their sums.
pub type Groups = Vec<(Box<[u8]>, i64)>;

/// Counts plays. Records that can not be read are left out.
pub fn count(body: &[u8]) -> Groups {
    let mut groups: HashMap<Box<[u8]>, i64, BuildHasherDefault<Words>> = HashMap::default();
    let (mut index, mut rest, mut scratch) = (FieldIndex::default(), body, Vec::new());
    while !rest.is_empty() {
        let window = &rest[..rest.len().min(Bounds::default().window_bytes)];
        let split = split(window, b',', window.len() == rest.len(), &mut index);
        for i in 0..index.len() {
            let record = index.record(i, window);
            if record.fields() != 3 {
                continue;
            }
            let [song, date, plays] = [0, 1, 2].map(|field| {
                let (start, end) = record.field(field);
                let text = &window[start..end];
                text.strip_prefix(b"\"").and_then(|text| text.strip_suffix(b"\"")).unwrap_or(text)
            });
            let (Ok(_), Ok(plays)) = (parse_date(date), parse_integer(plays)) else { continue };
            scratch.clear();
            scratch.extend_from_slice(song);
            scratch.push(0);
            scratch.extend_from_slice(date);
            match groups.get_mut(&scratch[..]) {
                Some(sum) => *sum += plays,
                None => {
                    groups.insert(scratch.clone().into_boxed_slice(), plays);
                }
            }
        }
        rest = &rest[split.consumed..];
    }
    let mut groups: Groups = groups.into_iter().collect();
    groups.sort_unstable_by(|a, b| a.0.cmp(&b.0));
    groups
}

/// A fast hash, word by word, as rustc's own tables have: a slow one would flatter the kernel.
#[derive(Default)]
struct Words(u64);

impl Hasher for Words {
    fn write(&mut self, bytes: &[u8]) {
        for chunk in bytes.chunks(8) {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            self.write_u64(u64::from_le_bytes(word));
        }
    }

    fn write_u64(&mut self, word: u64) {
        self.0 = (self.0.rotate_left(5) ^ word).wrapping_mul(0x517c_c1b7_2722_0a95);
    }

    fn write_usize(&mut self, word: usize) {
        self.write_u64(word as u64);
    }

    fn finish(&self) -> u64 {
        self.0
    }
}
