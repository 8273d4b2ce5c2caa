//! Names of songs: two words and a number, `Midnight River 4711`, some with letters beyond ASCII,
//! some that a CSV file must quote.
//!
//! A name is a pure function of the seed and the song's index; the number keeps it unique.

use super::Plan;
use super::buffer::{Buffer, Cell};

/// Most bytes of a name as it stands in the file, its quotes included.
pub(super) const NAME_BYTES: usize = 63;

/// The first number in a name: all have four digits or more.
const FIRST_NUMBER: u64 = 1000;

/// One in how many of the quoted names holds a newline.
const NEWLINE_ONE_IN: u64 = 32;

#[rustfmt::skip]
pub(super) const FIRST_WORDS: [&str; 64] = [
    "Midnight", "Golden", "Broken", "Electric", "Silent", "Crimson", "Distant", "Burning",
    "Velvet", "Frozen", "Hollow", "Neon", "Paper", "Restless", "Scarlet", "Shining",
    "Summer", "Winter", "Wild", "Lonely", "Crystal", "Dancing", "Endless", "Falling",
    "Forgotten", "Gentle", "Hidden", "Iron", "Laughing", "Lost", "Magnetic", "Northern",
    "Painted", "Quiet", "Rising", "Rolling", "Running", "Sacred", "Secret", "Silver",
    "Sleeping", "Southern", "Spinning", "Stolen", "Strange", "Sweet", "Tender", "Thunder",
    "Twisted", "Wandering", "Weightless", "Whispering", "Wooden", "Yellow", "Young", "Ancient",
    "Beautiful", "Blue", "Bright", "Careless", "Dangerous", "Dusty", "Emerald", "Faded",
];

#[rustfmt::skip]
pub(super) const SECOND_WORDS: [&str; 64] = [
    "River", "Highway", "Morning", "Shadow", "Garden", "Mountain", "Heart", "Ocean",
    "Window", "Mirror", "Thunder", "Avenue", "Bridge", "Candle", "Carnival", "Castle",
    "Desert", "Diamond", "Dream", "Echo", "Engine", "Feather", "Fire", "Flower",
    "Forest", "Ghost", "Harbour", "Heaven", "Horizon", "Island", "Journey", "Kingdom",
    "Lantern", "Letter", "Lighthouse", "Lullaby", "Machine", "Melody", "Memory", "Moonlight",
    "Orchard", "Parade", "Promise", "Rainbow", "Railway", "Satellite", "Season", "Serenade",
    "Signal", "Skyline", "Snowfall", "Stranger", "Sunrise", "Symphony", "Telephone", "Tomorrow",
    "Valley", "Voyage", "Waterfall", "Weekend", "Whisper", "Wildfire", "Station", "Story",
];

#[rustfmt::skip]
const FOREIGN_WORDS: [&str; 16] = [
    "Café", "Über", "Été", "Señora", "Coração", "Ångström", "Łódź", "Žižkov",
    "Grüße", "漢字", "東京", "さくら", "사랑", "Ночь", "Ελλάδα", "Ça va",
];

/// What stands before and after the second word.
const LINKS: [(&str, &str); 4] = [(" ", ""), (" ", ""), (" Old ", ""), (" ", " Blues")];
const QUOTED_LINKS: [(&str, &str); 4] =
    [(", Old ", ""), (" \"\"", "\"\""), ("; ", ""), (" | ", "")];
const NEWLINE_LINK: (&str, &str) = ("\n", "");

type Word = Cell<15>;
type Link = (Cell<8>, Cell<8>);

/// Writes names.
#[derive(Debug)]
pub(super) struct Namer {
    seed: u64,
    first: [Word; 64],
    second: [Word; 64],
    foreign: [Word; 16],
    links: [Link; 4],
    quoted_links: [Link; 4],
    newline_link: Link,
    /// Shares in parts of 2^32.
    utf8: u64,
    quoted: u64,
    always_quoted: bool,
}

impl Namer {
    /// The names of a plan. With `always_quoted`, those that need no quotes have them too.
    pub(super) fn new(plan: &Plan, always_quoted: bool) -> Self {
        let link = |(before, after): (&str, &str)| (Cell::new(before), Cell::new(after));
        Self {
            seed: mix(plan.seed),
            first: FIRST_WORDS.map(Cell::new),
            second: SECOND_WORDS.map(Cell::new),
            foreign: FOREIGN_WORDS.map(Cell::new),
            links: LINKS.map(link),
            quoted_links: QUOTED_LINKS.map(link),
            newline_link: link(NEWLINE_LINK),
            utf8: parts(plan.utf8),
            quoted: parts(plan.quoted),
            always_quoted,
        }
    }

    /// Appends the name of the song `index` as a CSV field.
    #[inline]
    pub(super) fn push(&self, index: u64, buffer: &mut Buffer) {
        let words = mix(self.seed ^ index);
        let style = mix(words);
        let is_special = (style & 0xffff_ffff) < self.quoted;
        let (before, after) = if is_special { self.quoted_link(style) } else { self.link(style) };
        let quotes = is_special || self.always_quoted;
        if quotes {
            buffer.push_byte(b'"');
        }
        if style >> 61 == 0 {
            buffer.push(&Cell::<4>::new("The "));
        }
        buffer.push(self.first_word(words));
        buffer.push(before);
        buffer.push(&self.second[(words >> 58) as usize]);
        buffer.push(after);
        buffer.push_byte(b' ');
        buffer.push_number(FIRST_NUMBER + index);
        if quotes {
            buffer.push_byte(b'"');
        }
    }

    fn first_word(&self, words: u64) -> &Word {
        let choice = (words >> 32) as usize;
        if (words & 0xffff_ffff) < self.utf8 {
            &self.foreign[choice % self.foreign.len()]
        } else {
            &self.first[choice % self.first.len()]
        }
    }

    fn link(&self, style: u64) -> &Link {
        &self.links[(style >> 32) as usize % self.links.len()]
    }

    #[cold]
    fn quoted_link(&self, style: u64) -> &Link {
        let choice = style >> 40;
        if choice.is_multiple_of(NEWLINE_ONE_IN) {
            return &self.newline_link;
        }
        &self.quoted_links[(style >> 32) as usize % self.quoted_links.len()]
    }
}

/// A share from 0 to 1 in parts of 2^32.
fn parts(share: f64) -> u64 {
    (share * 4_294_967_296.0) as u64
}

/// Scatters 64 bits: the finaliser of SplitMix64.
#[inline]
pub(super) fn mix(bits: u64) -> u64 {
    let bits = bits.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ (bits >> 31)
}

#[cfg(test)]
mod tests {
    use super::super::Kind;
    use super::*;

    #[test]
    fn the_longest_name_fits_its_cell() {
        let words = FIRST_WORDS.iter().chain(&SECOND_WORDS).chain(&FOREIGN_WORDS);
        let word = words.map(|word| word.len()).max().unwrap();
        assert!(word <= 15);
        let links = LINKS.iter().chain(&QUOTED_LINKS);
        let link = links.map(|(before, after)| before.len() + after.len()).max().unwrap();
        let number = 20;
        assert!("\"The \"".len() + 2 * word + link + " ".len() + number <= NAME_BYTES);
    }

    #[test]
    fn shares_are_kept() {
        let plan = Plan { utf8: 0.25, quoted: 0.5, ..Plan::new(Kind::Low, 0) };
        let namer = Namer::new(&plan, false);
        let (mut utf8, mut quoted, mut newlines) = (0, 0, 0);
        for index in 0..10_000 {
            let name = name(&namer, index);
            utf8 += u32::from(!name.is_ascii());
            quoted += u32::from(name.starts_with('"'));
            newlines += u32::from(name.contains('\n'));
        }
        assert!((2_200..2_800).contains(&utf8), "{utf8}");
        assert!((4_700..5_300).contains(&quoted), "{quoted}");
        assert!((100..220).contains(&newlines), "{newlines}");
    }

    fn name(namer: &Namer, index: u64) -> String {
        let mut buffer = Buffer::new();
        namer.push(index, &mut buffer);
        let mut bytes = Vec::new();
        buffer.write_to(&mut bytes).unwrap();
        String::from_utf8(bytes).unwrap()
    }
}
