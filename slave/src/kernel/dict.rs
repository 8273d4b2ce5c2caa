//! Keys as bytes to ids, dense from 0 in the order of their first appearance.
//!
//! An open-addressing table of (hash, id) in one word each, beside the ids' entries. An entry holds
//! its key's first 31 bytes, so that a short key is compared without a look at the arena. The hash
//! has a fixed seed: it decides about speed only, never about a result.
//!
//! Keys are looked up many at a time, in steps: hash all, [`Dictionary::guess`] all, then
//! [`Dictionary::confirm`] all. A step has no branch that waits for memory, so the processor fetches
//! for many keys at once.

/// Bytes of a key that are compared as words.
const SHORT: usize = 31;

/// A key's first 31 bytes, zeros after its end; then its length, or [`LONG`].
#[derive(Clone, Copy, Default)]
#[repr(align(32))]
struct Words([u64; 4]);

/// Stands in the last byte of a key's words where the key has more bytes than these.
const LONG: u8 = 0xff;

/// What is known of a key without the dictionary. Its bytes are kept elsewhere.
#[derive(Clone, Copy, Default)]
pub(super) struct Sight {
    words: Words,
    hash: u32,
    /// The id that it probably has, plus 1; or 0.
    pub(super) guess: u32,
}

/// Where a key is in the arena.
#[derive(Clone, Copy)]
struct Place {
    at: u32,
    len: u32,
}

/// A key that was fetched ahead.
#[derive(Clone, Copy)]
pub(super) struct Collected {
    short: [u8; SHORT + 1],
    id: u32,
}

impl Collected {
    /// The key, which is one of `dictionary`.
    #[inline]
    pub(super) fn bytes<'a>(&'a self, dictionary: &'a Dictionary) -> &'a [u8] {
        match self.short.get(..usize::from(self.short[SHORT])) {
            Some(short) => short,
            None => dictionary.key(self.id),
        }
    }
}

/// See the module.
pub(super) struct Dictionary {
    /// `hash << 32 | id + 1`, or 0. The place of a hash is its highest bits.
    slots: Vec<u64>,
    shift: u32,
    entries: Vec<Words>,
    places: Vec<Place>,
    arena: Vec<u8>,
    /// How many bytes all keys begin with in common.
    common: usize,
}

const FIRST_BITS: u32 = 10;

/// Slots that [`Dictionary::guess`] looks at: at most half are taken, so a key is rarely further on.
const NEAR: usize = 4;

/// What to keep of a key's words by its length.
const MASKS: [Words; SHORT + 1] = {
    let mut masks = [Words([0; 4]); SHORT + 1];
    let mut len = 0;
    while len <= SHORT {
        let mut byte = 0;
        while byte < len {
            masks[len].0[byte / 8] |= 0xff << (8 * (byte % 8));
            byte += 1;
        }
        len += 1;
    }
    masks
};

#[inline(always)]
fn words(chunk: &[u8; SHORT + 1]) -> Words {
    let (eights, _) = chunk.as_chunks();
    Words([0, 1, 2, 3].map(|i| u64::from_le_bytes(eights[i])))
}

/// The words of the first bytes of a key near its buffer's end.
fn last_words(bytes: &[u8]) -> Words {
    let mut chunk = [0; SHORT + 1];
    let len = bytes.len().min(SHORT);
    chunk[..len].copy_from_slice(&bytes[..len]);
    words(&chunk)
}

#[inline(always)]
fn mix(a: u64, b: u64) -> u64 {
    let product = u128::from(a) * u128::from(b);
    product as u64 ^ (product >> 64) as u64
}

#[inline(always)]
fn hash_words(seed: u64, Words([a, b, c, d]): Words) -> u64 {
    let ab = mix(a ^ 0x9e37_79b9_7f4a_7c15, b ^ seed);
    let cd = mix(c ^ 0xa076_1d64_78bd_642f, d ^ 0xe703_7ed1_a0b4_28db);
    mix(ab ^ 0x8ebc_6af0_9c88_c6e3, cd ^ seed)
}

impl Sight {
    /// The sight of the key `buffer[start..end]`.
    #[inline(always)]
    pub(super) fn of(buffer: &[u8], start: usize, end: usize) -> Self {
        let len = end - start;
        // Whatever follows the key is loaded with it and then masked: no branch on its length.
        let mut words = match buffer[start..].first_chunk() {
            Some(chunk) => words(chunk),
            None => last_words(&buffer[start..end]),
        };
        for (word, mask) in words.0.iter_mut().zip(MASKS[len.min(SHORT)].0) {
            *word &= mask;
        }
        let mark = if len > SHORT { LONG } else { len as u8 };
        words.0[3] |= u64::from(mark) << 56;
        let mut hash = hash_words(0xd1b5_4a32_d192_ed03, words);
        if len > SHORT {
            hash = hash_rest(hash, &buffer[start + SHORT..end]);
        }
        Self { words, hash: (hash >> 32) as u32, guess: 0 }
    }
}

/// Goes on with the hash of a long key.
#[inline(never)]
fn hash_rest(mut hash: u64, rest: &[u8]) -> u64 {
    for chunk in rest.chunks(SHORT) {
        hash = hash_words(hash ^ chunk.len() as u64, last_words(chunk));
    }
    hash
}

impl Dictionary {
    pub(super) fn new() -> Self {
        Self {
            slots: vec![0; (1 << FIRST_BITS) + NEAR],
            shift: 32 - FIRST_BITS,
            entries: Vec::new(),
            places: Vec::new(),
            arena: Vec::new(),
            common: 0,
        }
    }

    /// Forgets all keys. Its memory is kept: whoever forgets many is about to meet as many.
    pub(super) fn clear(&mut self) {
        self.slots.truncate(self.places() + NEAR);
        self.slots.fill(0);
        self.entries.clear();
        self.places.clear();
        self.arena.clear();
        self.common = 0;
    }

    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    /// Bytes that it takes up.
    pub(super) fn memory(&self) -> usize {
        self.slots.len() * size_of::<u64>()
            + self.entries.len() * (size_of::<Words>() + size_of::<Place>())
            + self.arena.len()
    }

    /// The key of an id.
    #[inline]
    pub(super) fn key(&self, id: u32) -> &[u8] {
        let place = &self.places[id as usize];
        &self.arena[place.at as usize..][..place.len as usize]
    }

    /// Fetches the entries of many ids at once, for their keys to be at hand one after another.
    pub(super) fn collect(&self, ids: &[u32], keys: &mut Vec<Collected>) {
        keys.clear();
        keys.extend(ids.iter().map(|&id| {
            let mut short = [0; SHORT + 1];
            for (bytes, word) in short.chunks_exact_mut(8).zip(self.entries[id as usize].0) {
                bytes.copy_from_slice(&word.to_le_bytes());
            }
            Collected { short, id }
        }));
    }

    /// How many bytes all keys begin with in common.
    pub(super) fn common(&self) -> usize {
        self.common
    }

    /// Finds the id that a key has if it has any, but for the few that are far from their place or
    /// share their hash with another: [`Dictionary::confirm`] tells.
    #[inline(always)]
    pub(super) fn guess(&self, sight: &Sight) -> u32 {
        let place = (sight.hash >> self.shift) as usize;
        // The table has that many slots more than places.
        let near = &self.slots[place..place + NEAR];
        near.iter().fold(
            0,
            |guess, &slot| {
                if (slot >> 32) as u32 == sight.hash { slot as u32 } else { guess }
            },
        )
    }

    /// The id of the key `bytes`, whose sight has been taken and whose id been guessed.
    #[inline(always)]
    pub(super) fn confirm(&self, sight: &Sight, bytes: &[u8]) -> Option<u32> {
        if sight.guess > 0 && self.is(sight.guess - 1, sight, bytes) {
            return Some(sight.guess - 1);
        }
        self.search(sight, bytes)
    }

    /// The id of a key, whatever was guessed.
    #[cold]
    fn search(&self, sight: &Sight, bytes: &[u8]) -> Option<u32> {
        let from = (sight.hash >> self.shift) as usize;
        let taken = self.slots[from..].iter().take_while(|&&slot| slot != 0);
        taken
            .filter(|&&slot| (slot >> 32) as u32 == sight.hash)
            .map(|&slot| slot as u32 - 1)
            .find(|&id| self.is(id, sight, bytes))
    }

    #[inline(always)]
    fn is(&self, id: u32, sight: &Sight, bytes: &[u8]) -> bool {
        let (entry, words) = (&self.entries[id as usize].0, &sight.words.0);
        let differ = (entry[0] ^ words[0])
            | (entry[1] ^ words[1])
            | (entry[2] ^ words[2])
            | (entry[3] ^ words[3]);
        differ == 0 && (bytes.len() <= SHORT || self.key(id) == bytes)
    }

    /// Takes a key in that is not there and gives it an id.
    pub(super) fn insert(&mut self, sight: &Sight, bytes: &[u8]) -> u32 {
        // At most half full, so that looks stay short.
        if (self.entries.len() + 1) * 2 > self.places() {
            self.grow();
        }
        let id = self.entries.len() as u32;
        self.common = if id == 0 {
            bytes.len()
        } else {
            let first = &self.key(0)[..self.common];
            first.iter().zip(bytes).take_while(|(a, b)| a == b).count()
        };
        let (at, len) = (self.arena.len() as u32, bytes.len() as u32);
        self.arena.extend_from_slice(bytes);
        self.entries.push(sight.words);
        self.places.push(Place { at, len });
        self.put(u64::from(sight.hash) << 32 | u64::from(id + 1));
        id
    }

    /// Slots where a hash may have its place.
    fn places(&self) -> usize {
        1 << (32 - self.shift)
    }

    /// Puts a slot where it belongs or after: there is always an empty one behind the last place,
    /// since the table grows by one when there is none.
    fn put(&mut self, slot: u64) {
        let place = (slot >> 32 >> self.shift) as usize;
        let free = self.slots[place..].iter().take_while(|&&slot| slot != 0).count();
        self.slots[place + free] = slot;
        if place + free + 1 == self.slots.len() {
            self.slots.push(0);
        }
    }

    #[cold]
    fn grow(&mut self) {
        self.shift -= 1;
        let slots = vec![0; self.places() + NEAR];
        let old = std::mem::replace(&mut self.slots, slots);
        for slot in old {
            if slot != 0 {
                self.put(slot);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;

    use super::*;

    fn look(dictionary: &Dictionary, key: &[u8]) -> Option<u32> {
        let mut sight = Sight::of(key, 0, key.len());
        sight.guess = dictionary.guess(&sight);
        dictionary.confirm(&sight, key)
    }

    proptest! {
        #[test]
        fn same_ids_as_a_map(
            keys in prop::collection::vec(prop::collection::vec(0u8..2, 0..60), 0..300),
        ) {
            let (mut dictionary, mut map) = (Dictionary::new(), HashMap::new());
            for key in &keys {
                let next = map.len() as u32;
                let id = *map.entry(key.clone()).or_insert(next);
                // Surrounded by other bytes or not, a key is the same.
                let mut padded = vec![7; 5];
                padded.extend_from_slice(key);
                padded.extend_from_slice(&[9; 20]);
                let within = Sight::of(&padded, 5, 5 + key.len());
                prop_assert_eq!(look(&dictionary, key), (id < next).then_some(id));
                if id == next {
                    prop_assert_eq!(dictionary.insert(&within, key), id);
                }
                prop_assert_eq!(look(&dictionary, key), Some(id));
                prop_assert_eq!(dictionary.key(id), &key[..]);
            }
            let common = |a: &[u8], b: &[u8]| a.iter().zip(b).take_while(|(a, b)| a == b).count();
            let least = keys.iter().map(|key| common(&keys[0], key)).min().unwrap_or(0);
            prop_assert_eq!(dictionary.common(), least);
        }
    }

    #[test]
    fn many_keys_grow_the_table() {
        let mut dictionary = Dictionary::new();
        let sight = Sight::of(b"forgotten", 0, 9);
        dictionary.insert(&sight, b"forgotten");
        dictionary.clear();
        assert_eq!(look(&dictionary, b"forgotten"), None);
        for id in 0..50_000u32 {
            let key = format!("a key with number {id}");
            let sight = Sight::of(key.as_bytes(), 0, key.len());
            assert_eq!(dictionary.insert(&sight, key.as_bytes()), id);
        }
        for id in 0..50_000u32 {
            let key = format!("a key with number {id}");
            assert_eq!(look(&dictionary, key.as_bytes()), Some(id));
        }
    }
}
