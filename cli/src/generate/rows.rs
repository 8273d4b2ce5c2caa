//! Rows, put together from ready-made pieces: which song, which day, how many plays.

use rand_xoshiro::Xoshiro256PlusPlus;
use rand_xoshiro::rand_core::{Rng, SeedableRng};

use super::buffer::{Buffer, Cell};
use super::calendar;
use super::names::{NAME_BYTES, Namer};
use super::wide::Wide;
use super::zipf::{Zipf, below};
use super::{Kind, Plan};

/// Most songs whose names are kept, 64 bytes each. With more, they leave the cache, and looking one
/// up costs three times what writing it anew does.
const MAX_KEPT_NAMES: u64 = 1 << 15;

/// Ready-made numbers of plays: enough that they look random, few enough for the cache.
const PLAYS: usize = 1 << 14;

/// Digits of a number of plays, drawn with equal odds: most numbers are small.
const PLAYS_DIGITS: [u32; 16] = [1, 1, 1, 2, 2, 2, 2, 2, 3, 3, 3, 3, 3, 4, 4, 5];

/// Makes the rows of one file, in order.
#[derive(Debug)]
pub(super) struct Rows {
    random: Xoshiro256PlusPlus,
    pick: Pick,
    namer: Namer,
    /// The names of all songs, or of none.
    names: Vec<Cell<NAME_BYTES>>,
    /// `,2020-02-01,`
    dates: Vec<Cell<15>>,
    /// A number and the line's end, or a comma where more columns follow.
    plays: Vec<Cell<8>>,
    wide: Option<Wide>,
}

/// How the song of a row is chosen.
#[derive(Debug)]
enum Pick {
    Zipf(Zipf),
    Uniform { songs: u64 },
    InTurn,
}

impl Rows {
    /// The rows of a plan that has been checked.
    pub(super) fn new(plan: &Plan) -> Self {
        let mut random = Xoshiro256PlusPlus::seed_from_u64(plan.seed);
        let quote = if plan.kind == Kind::Quoted { "\"" } else { "" };
        let end = if plan.kind == Kind::Wide { ',' } else { '\n' };
        let plays = (0..PLAYS)
            .map(|_| Cell::new(format!("{quote}{}{quote}{end}", some_plays(&mut random))));
        let plays = plays.collect();
        let dates = calendar::days(plan.days);
        let dates = dates.map(|date| Cell::new(format!(",{quote}{date}{quote},"))).collect();
        let namer = Namer::new(plan, plan.kind == Kind::Quoted);
        let pick = match plan.kind {
            Kind::Low | Kind::Quoted | Kind::Wide => {
                let songs = u32::try_from(plan.songs).expect("a checked plan has fewer songs");
                Pick::Zipf(Zipf::new(songs))
            }
            Kind::High => Pick::Uniform { songs: plan.songs },
            Kind::Unique => Pick::InTurn,
        };
        let kept = match pick {
            Pick::Zipf(_) | Pick::Uniform { .. } if plan.songs <= MAX_KEPT_NAMES => plan.songs,
            _ => 0,
        };
        let wide = (plan.kind == Kind::Wide).then(|| Wide::new(&mut random));
        Self { pick, names: names(&namer, kept), namer, dates, plays, wide, random }
    }

    /// Appends the row `number`, counted from 0.
    #[inline]
    pub(super) fn push(&mut self, number: u64, buffer: &mut Buffer) {
        let song = match &self.pick {
            Pick::Zipf(zipf) => zipf.rank(self.random.next_u64()),
            Pick::Uniform { songs } => below(self.random.next_u64(), *songs),
            Pick::InTurn => number,
        };
        let random = self.random.next_u64();
        if let Some(wide) = &self.wide {
            wide.push_before(number, song, buffer);
        }
        match self.names.get(song as usize) {
            Some(name) => buffer.push(name),
            None => self.namer.push(song, buffer),
        }
        buffer.push(&self.dates[below(random, self.dates.len() as u64) as usize]);
        buffer.push(&self.plays[random as usize % PLAYS]);
        if let Some(wide) = &self.wide {
            wide.push_after(song, self.random.next_u64(), buffer);
        }
    }
}

fn names(namer: &Namer, count: u64) -> Vec<Cell<NAME_BYTES>> {
    let mut scratch = Buffer::new();
    let name = |index| {
        namer.push(index, &mut scratch);
        scratch.take_cell()
    };
    (0..count).map(name).collect()
}

fn some_plays(random: &mut Xoshiro256PlusPlus) -> u64 {
    let bits = random.next_u64();
    let digits = PLAYS_DIGITS[bits as usize % PLAYS_DIGITS.len()];
    below(bits, 10_u64.pow(digits))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_are_not_kept_are_the_same() {
        for kind in [Kind::Low, Kind::High, Kind::Quoted, Kind::Wide] {
            let plan = Plan { songs: 500, quoted: 0.3, utf8: 0.3, ..Plan::new(kind, 0) };
            let kept = Rows::new(&plan);
            assert_eq!(kept.names.len(), 500);
            let anew = Rows { names: Vec::new(), ..Rows::new(&plan) };
            assert!(some(kept) == some(anew), "{kind:?}");
        }
    }

    fn some(mut rows: Rows) -> Vec<u8> {
        let mut buffer = Buffer::new();
        (0..5_000).for_each(|number| rows.push(number, &mut buffer));
        let mut bytes = Vec::new();
        buffer.write_to(&mut bytes).unwrap();
        bytes
    }
}
