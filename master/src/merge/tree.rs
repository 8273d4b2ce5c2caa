//! A tree of losers over sorted sequences of heads, which compares one number where it can.
//!
//! Each head has a code: where it first differs from the head that was smallest before it, and what
//! it has there. Of two heads with codes relative to the same one, the smaller code is that of the
//! smaller head; only where codes are equal are the heads looked at, from there on. (This is
//! offset-value coding; see Graefe and Do, "Offset-value coding in database query processing", 2023.)

use std::cmp::Ordering;

/// The code of a head that is the same as the one before it.
const SAME: u64 = 0;
/// The code of a sequence that has no more heads.
pub(super) const END: u64 = u64::MAX;

/// Bytes of a head that a code has.
const CHUNK: usize = 6;
/// The last chunk that a code tells from others.
const LAST_CHUNK: usize = 4094;

/// Zero bytes behind a head.
const PADDING: usize = 8;

/// Where heads are found, each with [`PADDING`] zeros behind it.
pub(super) trait Heads {
    /// That at which a sequence stands. It is not asked for where the sequence is at its end.
    fn padded(&self, sequence: usize) -> &[u8];
}

/// The code of a (padded) head relative to a smaller one that has the same first `shared` bytes.
#[inline]
pub(super) fn code(padded: &[u8], shared: usize) -> u64 {
    let chunk = (shared / CHUNK).min(LAST_CHUNK);
    let rest = padded.get(chunk * CHUNK..).unwrap_or_default();
    let word = rest.first_chunk().map_or(0, |word| u64::from_be_bytes(*word));
    // A head that ends comes before one that goes on with zeros.
    let len = rest.len().saturating_sub(PADDING).min(CHUNK);
    ((LAST_CHUNK + 1 - chunk) as u64) << 52 | (word >> 16) << 4 | len as u64
}

/// The chunk that a code is of.
#[inline]
fn chunk_of(code: u64) -> usize {
    LAST_CHUNK + 1 - (code >> 52) as usize
}

/// The tree: leaves stand for sequences, each inner node keeps who lost there.
pub(super) struct Tree {
    /// By node, from 1; the leaf of sequence `i` would be node `sequences + i`.
    losers: Vec<u32>,
    /// Who won at a node that is played anew.
    won: Vec<u32>,
    /// Nodes that are to be played anew, a bit each.
    dirty: Vec<u64>,
    codes: Vec<u64>,
    winner: usize,
    /// Nodes up to which the sequences that were found to be the same won.
    tops: Vec<usize>,
}

impl Tree {
    /// A tree over sequences of which each stands at its first head, or at its end.
    pub(super) fn new(heads: &impl Heads, codes: Vec<u64>) -> Self {
        let sequences = codes.len();
        let mut tree = Self {
            losers: vec![0; sequences],
            won: vec![0; sequences],
            dirty: vec![u64::MAX; sequences / 64 + 1],
            codes,
            winner: 0,
            tops: Vec::new(),
        };
        for node in (1..sequences).rev() {
            tree.play(node, heads);
        }
        if sequences > 1 {
            tree.winner = tree.won[1] as usize;
        }
        tree.dirty.fill(0);
        tree
    }

    /// Finds all sequences that stand at the smallest head; none where all are at their ends.
    #[inline]
    pub(super) fn smallest(&mut self, same: &mut Vec<usize>) {
        same.clear();
        self.tops.clear();
        if self.codes.get(self.winner).is_none_or(|code| *code == END) {
            return;
        }
        same.push(self.winner);
        self.tops.push(0);
        let mut at = 0;
        // Whoever has the same head has lost to the winner, or to one that has.
        while at < same.len() {
            let mut node = (self.codes.len() + same[at]) / 2;
            while node > self.tops[at] {
                let loser = self.losers[node] as usize;
                if self.codes[loser] == SAME {
                    same.push(loser);
                    self.tops.push(node);
                }
                node /= 2;
            }
            at += 1;
        }
    }

    /// Takes the code of a sequence that has moved on to another head.
    #[inline]
    pub(super) fn set(&mut self, sequence: usize, code: u64) {
        self.codes[sequence] = code;
    }

    /// Plays again after exactly the sequences that [`Self::smallest`] gave have moved on.
    #[inline]
    pub(super) fn replay(&mut self, moved: &[usize], heads: &impl Heads) {
        let sequences = self.codes.len();
        if let [only] = moved {
            let mut winner = *only;
            let mut node = (sequences + winner) / 2;
            while node > 0 {
                let other = self.losers[node] as usize;
                if !self.beats(winner, other, heads) {
                    self.losers[node] = winner as u32;
                    winner = other;
                }
                node /= 2;
            }
            self.winner = winner;
            return;
        }
        for sequence in moved {
            let mut node = (sequences + sequence) / 2;
            while node > 0 && self.dirty[node / 64] >> (node % 64) & 1 == 0 {
                self.dirty[node / 64] |= 1 << (node % 64);
                node /= 2;
            }
        }
        // A node's children have greater numbers.
        for word in (0..self.dirty.len()).rev() {
            let mut rest = self.dirty[word];
            while rest != 0 {
                let bit = 63 - rest.leading_zeros() as usize;
                rest ^= 1 << bit;
                self.play(word * 64 + bit, heads);
            }
        }
        self.dirty.fill(0);
        if sequences > 1 {
            self.winner = self.won[1] as usize;
        }
    }

    /// Plays at a node of which at least one side has changed.
    #[inline]
    fn play(&mut self, node: usize, heads: &impl Heads) {
        let sequences = self.codes.len();
        let side = |child: usize| match child.checked_sub(sequences) {
            Some(leaf) => leaf,
            None if self.dirty[child / 64] >> (child % 64) & 1 != 0 => self.won[child] as usize,
            // Who has moved on had won here: the other side's best is the one who lost.
            None => self.losers[node] as usize,
        };
        let (a, b) = (side(2 * node), side(2 * node + 1));
        let (winner, loser) = if self.beats(a, b, heads) { (a, b) } else { (b, a) };
        self.won[node] = winner as u32;
        self.losers[node] = loser as u32;
    }

    /// Whether `a` has the smaller head, or the same. The loser's code becomes relative to the other.
    #[inline]
    fn beats(&mut self, a: usize, b: usize, heads: &impl Heads) -> bool {
        match self.codes[a].cmp(&self.codes[b]) {
            Ordering::Less => true,
            Ordering::Greater => false,
            Ordering::Equal => self.codes[a] == END || self.look(a, b, heads),
        }
    }

    /// Looks at two heads whose codes are equal.
    #[inline(never)]
    fn look(&mut self, a: usize, b: usize, heads: &impl Heads) -> bool {
        let (head_a, head_b) = (heads.padded(a), heads.padded(b));
        let (len_a, len_b) = (head_a.len() - PADDING, head_b.len() - PADDING);
        let from = ((chunk_of(self.codes[a]) + 1) * CHUNK).min(len_a).min(len_b);
        let shared = from + common_prefix(&head_a[from..], &head_b[from..]);
        if shared >= len_a && len_a == len_b {
            self.codes[b] = SAME;
            return true;
        }
        let shared = shared.min(len_a).min(len_b);
        let less = match (shared == len_a, shared == len_b) {
            (false, false) => head_a[shared] < head_b[shared],
            (ends, _) => ends,
        };
        let (loser, head) = if less { (b, head_b) } else { (a, head_a) };
        self.codes[loser] = code(head, shared);
        less
    }
}

/// Length of the common prefix.
#[inline]
fn common_prefix(a: &[u8], b: &[u8]) -> usize {
    let words = a.as_chunks().0.iter().zip(b.as_chunks().0);
    let mut equal = 0;
    for (a, b) in words {
        let differs = u64::from_le_bytes(*a) ^ u64::from_le_bytes(*b);
        if differs != 0 {
            return equal + differs.trailing_zeros() as usize / 8;
        }
        equal += 8;
    }
    equal + a[equal..].iter().zip(&b[equal..]).take_while(|(a, b)| a == b).count()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Sorted heads with where each sequence stands in its own.
    struct Lists(Vec<(Vec<Vec<u8>>, usize)>);

    impl Heads for Lists {
        fn padded(&self, sequence: usize) -> &[u8] {
            let (heads, at) = &self.0[sequence];
            &heads[*at]
        }
    }

    impl Lists {
        /// Moves a sequence on and gives its code.
        fn advance(&mut self, sequence: usize) -> u64 {
            let (heads, at) = &mut self.0[sequence];
            *at += 1;
            let Some(head) = heads.get(*at) else { return END };
            let before = &heads[*at - 1];
            let len = (before.len() - PADDING).min(head.len() - PADDING);
            code(head, common_prefix(&before[..len], &head[..len]))
        }
    }

    fn head() -> impl Strategy<Value = Vec<u8>> {
        let bytes = prop::collection::vec(prop_oneof![Just(0u8), Just(1), Just(255)], 0..5);
        let repeated = (0usize..30, bytes.clone()).prop_map(|(n, mut bytes)| {
            bytes.splice(0..0, std::iter::repeat_n(b'x', n));
            bytes
        });
        let far = (24_550usize..24_590, bytes).prop_map(|(n, mut bytes)| {
            bytes.splice(0..0, std::iter::repeat_n(b'x', n));
            bytes
        });
        prop_oneof![20 => repeated, 1 => far]
    }

    proptest! {
        #[test]
        fn heads_come_in_order_each_once(
            lists in prop::collection::vec(prop::collection::btree_set(head(), 0..12), 0..20),
        ) {
            let mut expected = std::collections::BTreeMap::<Vec<u8>, Vec<usize>>::new();
            for (i, list) in lists.iter().enumerate() {
                for head in list {
                    expected.entry(head.clone()).or_default().push(i);
                }
            }
            let padded = |mut head: Vec<u8>| {
                head.extend_from_slice(&[0; PADDING]);
                head
            };
            let lists = lists.into_iter().map(|list| (list.into_iter().map(padded).collect(), 0));
            let mut lists = Lists(lists.collect());
            let codes = lists.0.iter().map(|(heads, _): &(Vec<Vec<u8>>, usize)| {
                heads.first().map_or(END, |head| code(head, 0))
            });
            let mut tree = Tree::new(&lists, codes.collect());
            let (mut found, mut same) = (Vec::new(), Vec::new());
            loop {
                tree.smallest(&mut same);
                let Some(first) = same.first() else { break };
                let head = lists.padded(*first);
                let head = head[..head.len() - PADDING].to_vec();
                for sequence in &same {
                    let code = lists.advance(*sequence);
                    tree.set(*sequence, code);
                }
                tree.replay(&same, &lists);
                same.sort_unstable();
                found.push((head, same.clone()));
            }
            prop_assert_eq!(found, expected.into_iter().collect::<Vec<_>>());
        }
    }
}
