//! Inputs, and what must come out of them by a count that shares no code with Tally's.

use std::collections::BTreeMap;
use std::fmt::Write as _;

/// A pseudo-random sequence (xorshift64*): the same from the same seed on every machine.
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    /// From a seed.
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    /// The next number below `bound`.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) % bound
    }
}

/// Plays of `songs` songs (some with quotes, commas, newlines and more than ASCII in their names) on
/// 365 days, at least `bytes` bytes of them.
pub fn plays(seed: u64, songs: u64, bytes: usize) -> String {
    let mut random = Random::new(seed);
    let mut input = String::with_capacity(bytes + 100);
    input.push_str("Song,Date,Number of Plays\n");
    while input.len() < bytes {
        let song = random.below(songs);
        match song % 16 {
            0 => write!(input, "\"Song, number {song}\""),
            1 => write!(input, "\"the \"\"{song}\"\" song\""),
            2 => write!(input, "\"line\nbreak {song}\""),
            3 => write!(input, "Ünïcödé 歌 {song}"),
            _ => write!(input, "Song number {song}"),
        }
        .expect("a String takes all");
        let day = random.below(365);
        let (month, day) = (day / 31 + 1, day % 28 + 1);
        writeln!(input, ",2021-{month:02}-{day:02},{}", random.below(5000))
            .expect("a String takes all");
    }
    input
}

/// The totals of the preset `plays`, by the `csv` crate and a map.
///
/// # Panics
/// Where the input is not what it should be.
pub fn totals(input: &[u8]) -> Vec<u8> {
    let mut totals: BTreeMap<(Vec<u8>, Vec<u8>), i64> = BTreeMap::new();
    let mut reader = csv::Reader::from_reader(input);
    for record in reader.byte_records() {
        let record = record.expect("the input is good");
        let plays = std::str::from_utf8(&record[2]).expect("plays are digits");
        let plays: i64 = plays.parse().expect("plays are digits");
        *totals.entry((record[0].to_vec(), record[1].to_vec())).or_default() += plays;
    }
    let mut out = csv::Writer::from_writer(Vec::new());
    let header = ["Song", "Date", "Total Number of Plays for Date"];
    out.write_record(header).expect("a Vec takes all");
    for ((song, date), plays) in totals {
        let plays = plays.to_string();
        out.write_record([&song[..], &date, plays.as_bytes()]).expect("a Vec takes all");
    }
    out.into_inner().expect("a Vec takes all")
}
