//! Rows of the shapes that the benchmarks have, made without a file.

use std::fmt::Write;

/// What an input is like; see `tally generate`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// Few songs, many rows of each.
    Low,
    /// Many songs: nearly every row is a group of its own.
    High,
    /// A new song in every row.
    Unique,
    /// As low, with every field quoted, and a doubled quote in some.
    Quoted,
    /// As low, in [`WIDE_COLUMNS`] columns.
    Wide,
    /// Few songs, but each row on another day of ten thousand years: nothing is dense.
    Scattered,
    /// New songs with long names that begin alike: nothing is short.
    Long,
    /// Low and unique by turns: what is learned of the one is wrong for the other.
    Turning,
}

impl Shape {
    /// All of them, by name.
    pub const ALL: [(&'static str, Self); 8] = [
        ("low", Self::Low),
        ("high", Self::High),
        ("unique", Self::Unique),
        ("quoted", Self::Quoted),
        ("wide", Self::Wide),
        ("scattered", Self::Scattered),
        ("long", Self::Long),
        ("turning", Self::Turning),
    ];
}

/// Columns of [`Shape::Wide`].
pub(crate) const WIDE_COLUMNS: u32 = 12;

const FIRST: [&str; 8] =
    ["Ancient", "Burning", "Crimson", "Distant", "Electric", "Frozen", "Gentle", "Hidden"];
const SECOND: [&str; 8] =
    ["Avenue", "Bridges", "Carnivals", "Deserts", "Echoes", "Fountain", "Garden", "Horizon"];

/// A permutation of the numbers below 2^32 that looks like chance: SplitMix's finalizer, cut to size.
fn scatter(number: u32) -> u32 {
    let mut z = u64::from(number).wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    (z ^ (z >> 31)) as u32
}

/// So many rows, as CSV without a header.
pub(crate) fn body(shape: Shape, rows: u32) -> Vec<u8> {
    let mut out = String::new();
    for row in 0..rows {
        let chance = scatter(row);
        let shape = match shape {
            Shape::Turning if row / 4096 % 2 == 0 => Shape::Low,
            Shape::Turning => Shape::Unique,
            shape => shape,
        };
        let songs = match shape {
            // Popular ones come up far more often than others.
            Shape::Low | Shape::Quoted | Shape::Wide | Shape::Scattered => 1 << (chance % 11),
            Shape::High => rows / 24 + 1,
            Shape::Unique | Shape::Long | Shape::Turning => u32::MAX,
        };
        let song = if songs == u32::MAX { row } else { scatter(row ^ 0xa5a5) % songs };
        let name = scatter(song) as usize;
        let (first, second) = (FIRST[name % 8], SECOND[name / 8 % 8]);
        let (month, day) = (1 + chance / 16 % 12, 1 + chance / 256 % 28);
        let plays = chance >> (8 + chance % 20);
        let written = match shape {
            Shape::Low | Shape::High | Shape::Unique | Shape::Turning => {
                writeln!(out, "{first} {second} {song},2020-{month:02}-{day:02},{plays}")
            }
            Shape::Quoted if song % 5 == 0 => {
                writeln!(
                    out,
                    "\"{first} \"\"{second}\"\", {song}\",\"2020-{month:02}-{day:02}\",\"{plays}\""
                )
            }
            Shape::Quoted => {
                writeln!(
                    out,
                    "\"{first} {second} {song}\",\"2020-{month:02}-{day:02}\",\"{plays}\""
                )
            }
            Shape::Scattered => {
                writeln!(
                    out,
                    "{first} {second} {song},{:04}-{month:02}-{day:02},{plays}",
                    chance % 10_000
                )
            }
            Shape::Long => writeln!(
                out,
                "The Long and Winding Title of a Song that Nobody Can Remember {first} {second} {song},\
                 2020-{month:02}-{day:02},{plays}",
            ),
            Shape::Wide => writeln!(
                out,
                "{row},The {second},{first} {second} {song},2020-{month:02}-{day:02},{plays},{},{},DE,\
                 mobile,1999-{month:02}-01,{second} {first},a comment",
                plays % 100,
                plays % 400,
            ),
        };
        debug_assert!(written.is_ok(), "a string takes whatever is written");
    }
    out.into_bytes()
}
