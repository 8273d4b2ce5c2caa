//! The nine further columns of a wide file: what a real export carries beside the three that count.

use rand_xoshiro::Xoshiro256PlusPlus;
use rand_xoshiro::rand_core::Rng;

use super::buffer::{Buffer, Cell};
use super::names::{FIRST_WORDS, SECOND_WORDS, mix};

pub(super) const HEADER: &[u8] = b"Id,Artist,Song,Date,Number of Plays,Skips,Seconds,Country,\
Device,Released,Album,Comment\n";

const COUNTRIES: [&str; 8] = ["DE", "US", "JP", "BR", "IN", "FR", "GB", "MX"];
const DEVICES: [&str; 4] = ["phone", "desktop", "speaker", "car"];

/// Ready-made pieces, each a run of columns that ends in its separator.
#[derive(Debug)]
pub(super) struct Wide {
    /// Artist
    artists: Vec<Cell<31>>,
    /// Skips, Seconds, Country, Device
    listens: Vec<Cell<31>>,
    /// Released, Album
    albums: Vec<Cell<47>>,
    /// Comment
    comments: Vec<Cell<47>>,
}

impl Wide {
    pub(super) fn new(random: &mut Xoshiro256PlusPlus) -> Self {
        let mut table = |count: usize| (0..count).map(|_| random.next_u64()).collect::<Vec<_>>();
        Self {
            artists: table(1024).into_iter().map(artist).collect(),
            listens: table(4096).into_iter().map(listen).collect(),
            albums: table(1024).into_iter().map(album).collect(),
            comments: table(1024).into_iter().map(comment).collect(),
        }
    }

    /// Appends what stands before the song.
    pub(super) fn push_before(&self, number: u64, song: u64, buffer: &mut Buffer) {
        buffer.push_number(number + 1);
        buffer.push_byte(b',');
        buffer.push(&self.artists[mix(song) as usize % self.artists.len()]);
    }

    /// Appends what stands after the number of plays.
    pub(super) fn push_after(&self, song: u64, random: u64, buffer: &mut Buffer) {
        buffer.push(&self.listens[random as usize % self.listens.len()]);
        buffer.push(&self.albums[(mix(song) >> 32) as usize % self.albums.len()]);
        buffer.push(&self.comments[(random >> 32) as usize % self.comments.len()]);
    }
}

fn artist(bits: u64) -> Cell<31> {
    let article = if bits >> 63 == 0 { "The " } else { "" };
    Cell::new(format!("{article}{} {}s,", first(bits), second(bits >> 8)))
}

fn listen(bits: u64) -> Cell<31> {
    let (skips, seconds) = (bits % 64, 90 + (bits >> 8) % 400);
    let country = COUNTRIES[(bits >> 24) as usize % COUNTRIES.len()];
    let device = DEVICES[(bits >> 32) as usize % DEVICES.len()];
    Cell::new(format!("{skips},{seconds},{country},{device},"))
}

fn album(bits: u64) -> Cell<47> {
    let (year, month, day) = (1960 + bits % 60, 1 + (bits >> 8) % 12, 1 + (bits >> 16) % 28);
    let (first, second) = (first(bits >> 24), second(bits >> 32));
    Cell::new(format!("{year}-{month:02}-{day:02},{first} {second},"))
}

fn comment(bits: u64) -> Cell<47> {
    let text = format!("{} {} {}", first(bits), second(bits >> 8), first(bits >> 16));
    Cell::new(text.to_lowercase() + "\n")
}

fn first(bits: u64) -> &'static str {
    FIRST_WORDS[bits as usize % FIRST_WORDS.len()]
}

fn second(bits: u64) -> &'static str {
    SECOND_WORDS[bits as usize % SECOND_WORDS.len()]
}
