//! Makes test data of any size: CSV files of songs, dates and plays, each shaped to be hard in its
//! own way.
//!
//! The same plan gives the same bytes on every machine: all randomness comes from the plan's seed,
//! and no clock, thread or floating-point function of the platform has a say. Nothing is allocated
//! for a row, so that making a file is bound by the disk.

mod buffer;
mod calendar;
mod names;
mod rows;
#[cfg(test)]
mod tests;
mod wide;
mod zipf;

use std::fs::File;
use std::io::{self, Write};
use std::path::PathBuf;

use anyhow::Context as _;
use clap::{Args, ValueEnum};

use buffer::Buffer;
use rows::Rows;

/// Most distinct songs to draw from: while their odds are worked out, each takes 20 bytes of memory.
const MAX_SONGS: u64 = 1 << 24;

/// Most distinct days, a century: the dates are held in memory, ready to be copied.
const MAX_DAYS: u32 = 36_525;

/// What makes a file hard to count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Kind {
    /// Few songs, a few of them very popular (Zipf): many rows for each group
    Low,
    /// A million songs, all alike: nearly every row is a group of its own
    High,
    /// A new song in every row
    Unique,
    /// As low, with every field quoted and delimiters, quotes and newlines in some songs
    Quoted,
    /// As low, in twelve columns
    Wide,
}

impl Kind {
    /// Distinct songs, where the plan does not say.
    const fn songs(self) -> u64 {
        match self {
            Self::High => 1_000_000,
            Self::Low | Self::Unique | Self::Quoted | Self::Wide => 10_000,
        }
    }

    /// Share of songs that must be quoted, where the plan does not say.
    const fn quoted(self) -> f64 {
        match self {
            Self::Quoted => 0.2,
            Self::Low | Self::High | Self::Unique | Self::Wide => 0.0,
        }
    }

    /// The first line.
    const fn header(self) -> &'static [u8] {
        match self {
            Self::Low | Self::High | Self::Unique => b"Song,Date,Number of Plays\n",
            Self::Quoted => b"\"Song\",\"Date\",\"Number of Plays\"\n",
            Self::Wide => wide::HEADER,
        }
    }
}

/// All that decides a file's bytes.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Plan {
    /// The file's shape.
    pub(crate) kind: Kind,
    /// Bytes to reach: the file ends with the first row that does.
    pub(crate) bytes: u64,
    /// Where the randomness begins.
    pub(crate) seed: u64,
    /// Distinct songs, 1 to 16,777,216. Means nothing to [`Kind::Unique`].
    pub(crate) songs: u64,
    /// Distinct days, 1 to 36,525, from 2020-02-01 on: even a short range holds a leap day.
    pub(crate) days: u32,
    /// Share of songs, 0 to 1, with a delimiter, a quote or (one in 32 of them) a newline.
    pub(crate) quoted: f64,
    /// Share of songs, 0 to 1, with letters beyond ASCII.
    pub(crate) utf8: f64,
}

impl Plan {
    /// The plan of a kind as it is when only a size is given.
    pub(crate) fn new(kind: Kind, bytes: u64) -> Self {
        let (songs, quoted) = (kind.songs(), kind.quoted());
        Self { kind, bytes, seed: 1, songs, days: 365, quoted, utf8: 0.02 }
    }

    fn check(&self) -> io::Result<()> {
        let share = 0.0..=1.0;
        let sane = (1..=MAX_SONGS).contains(&self.songs)
            && (1..=MAX_DAYS).contains(&self.days)
            && share.contains(&self.quoted)
            && share.contains(&self.utf8);
        if sane {
            return Ok(());
        }
        let text = format!("songs must be 1 to {MAX_SONGS}, days 1 to {MAX_DAYS}, shares 0 to 1");
        Err(io::Error::new(io::ErrorKind::InvalidInput, text))
    }
}

/// What was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Generated {
    /// Rows, the header not included.
    pub(crate) rows: u64,
    /// Bytes, the header included.
    pub(crate) bytes: u64,
}

/// Writes the file of a plan to `out`.
///
/// # Errors
/// `InvalidInput` for a plan that is out of bounds, and whatever `out` gives.
pub(crate) fn generate(plan: &Plan, out: &mut impl Write) -> io::Result<Generated> {
    plan.check()?;
    let mut rows = Rows::new(plan);
    let mut buffer = Buffer::new();
    let mut made = Generated { rows: 0, bytes: 0 };
    buffer.push_bytes(plan.kind.header());
    while made.bytes + (buffer.len() as u64) < plan.bytes {
        rows.push(made.rows, &mut buffer);
        made.rows += 1;
        if buffer.is_full() {
            made.bytes += buffer.write_to(out)?;
        }
    }
    made.bytes += buffer.write_to(out)?;
    out.flush()?;
    Ok(made)
}

/// Makes a CSV file to try Tally with: the same arguments always give the same bytes
#[derive(Args, Clone, Debug)]
pub(crate) struct GenerateArgs {
    /// Size to reach, such as 1GB (10^9 bytes), 64MiB (2^26) or 1000000
    #[arg(long, value_name = "SIZE", value_parser = parse_size)]
    size: u64,

    /// The file's shape
    #[arg(long, value_enum, default_value_t = Kind::Low)]
    kind: Kind,

    /// Where the randomness begins
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,

    /// File to write, `-` for standard output
    #[arg(short = 'o', long = "out", value_name = "FILE")]
    out: PathBuf,

    /// Distinct songs [default: 1000000 for high, else 10000]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=MAX_SONGS))]
    songs: Option<u64>,

    /// Distinct days, from 2020-02-01 on
    #[arg(long, value_name = "N", default_value_t = 365,
          value_parser = clap::value_parser!(u32).range(1..=i64::from(MAX_DAYS)))]
    days: u32,

    /// Share of songs that need quotes, 0 to 1 [default: 0.2 for quoted, else 0]
    #[arg(long, value_name = "SHARE", value_parser = parse_share)]
    quoted_share: Option<f64>,

    /// Share of songs with letters beyond ASCII, 0 to 1
    #[arg(long, value_name = "SHARE", default_value_t = 0.02, value_parser = parse_share)]
    utf8_share: f64,
}

impl GenerateArgs {
    fn plan(&self) -> Plan {
        Plan {
            seed: self.seed,
            songs: self.songs.unwrap_or(self.kind.songs()),
            days: self.days,
            quoted: self.quoted_share.unwrap_or(self.kind.quoted()),
            utf8: self.utf8_share,
            ..Plan::new(self.kind, self.size)
        }
    }
}

/// Runs `tally generate`.
///
/// # Errors
/// Where the file cannot be created or written.
pub(crate) fn run(args: &GenerateArgs) -> anyhow::Result<()> {
    let plan = args.plan();
    if args.out.as_os_str() == "-" {
        return match generate(&plan, &mut io::stdout().lock()) {
            // Whoever reads has seen enough, as `head` does.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
            made => made.map(drop).context("cannot write to standard output"),
        };
    }
    let name = args.out.display();
    let mut file = File::create(&args.out).with_context(|| format!("cannot create {name}"))?;
    let made = generate(&plan, &mut file).with_context(|| format!("cannot write {name}"))?;
    eprintln!("{name}: {} rows, {} bytes", made.rows, made.bytes);
    Ok(())
}

/// Reads a size: a whole number, then `B`, `kB`, `MB`, `GB`, `TB` (powers of 1000), `KiB`, `MiB`,
/// `GiB`, `TiB` (powers of 1024) or nothing, in any case.
///
/// # Errors
/// A sentence for people where it is something else or does not fit 64 bits.
pub(crate) fn parse_size(text: &str) -> Result<u64, String> {
    let bad = || format!("{text:?} is not a size: try 1GB, 64MiB or 1000000");
    let text = text.trim();
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let factor = match unit.trim().to_ascii_lowercase().as_str() {
        "" | "b" => 1,
        "k" | "kb" => 1000,
        "m" | "mb" => 1000_u64.pow(2),
        "g" | "gb" => 1000_u64.pow(3),
        "t" | "tb" => 1000_u64.pow(4),
        "kib" => 1 << 10,
        "mib" => 1 << 20,
        "gib" => 1 << 30,
        "tib" => 1 << 40,
        _ => return Err(bad()),
    };
    number.parse::<u64>().ok().and_then(|number| number.checked_mul(factor)).ok_or_else(bad)
}

fn parse_share(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(share) if (0.0..=1.0).contains(&share) => Ok(share),
        _ => Err(format!("{text:?} is not a number from 0 to 1")),
    }
}
