//! Sums where they are dense: a rectangle of cells, a row for each of the first heads, a column for
//! each tail code in a window. It begins small and grows only where it has been of use, since a large
//! and mostly empty one costs more to clear and to read than the log does.

/// The first value of a cell that holds nothing. A group whose first value is just this one is kept
/// in the log.
pub(super) const ABSENT: i64 = i64::MIN;

/// A tail's column is counted from here; a window of one column is never too narrow for no tails.
const FIRST_WIDTH: u32 = 64;

/// The widest window to begin with: days beyond it have to show that they are many.
const FIRST_WIDTH_MAX: u32 = 2048;

/// Rows that missed the cells before it is worth asking why.
const MISSES_THAT_COUNT: u64 = 1024;

/// See the module. `cells[(head * width + code - base) * values ..]` belongs to a group.
pub(super) struct Dense {
    pub(super) cells: Vec<i64>,
    /// Values in a cell.
    values: usize,
    pub(super) heads: u32,
    pub(super) base: u32,
    /// The window's width is a power of two: `1 << shift`.
    pub(super) shift: u32,
    max_cells: usize,
    first_heads: u32,
    /// Whether a window has been chosen for this task.
    placed: bool,
    /// Rows since the last change of shape.
    hits: u64,
    misses: Misses,
}

/// Rows that found no cell since the last change of shape, and why.
#[derive(Clone, Copy, Default)]
pub(super) struct Misses {
    pub(super) heads: u64,
    pub(super) below: u64,
    pub(super) above: u64,
}

/// What [`Dense::adapt`] asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Adapted {
    /// Nothing.
    Done,
    /// The window should move on, but its cells are in use: flush, then go on.
    Flush,
}

impl Dense {
    pub(super) fn new(values: usize, heads: usize, bytes: usize) -> Self {
        let max_cells = bytes / (values * size_of::<i64>());
        Self {
            cells: Vec::new(),
            values,
            heads: 0,
            base: 0,
            shift: 0,
            max_cells,
            first_heads: heads as u32,
            placed: false,
            hits: 0,
            misses: Misses::default(),
        }
    }

    /// Empties all cells, whatever became of the task.
    pub(super) fn clear(&mut self) {
        self.cells.fill(ABSENT);
        self.flushed();
    }

    /// All cells have been emptied: the next batch may choose another window.
    pub(super) fn flushed(&mut self) {
        self.placed = false;
    }

    /// Chooses the window by the first batch's codes. Ids (`slides` is false) count from 0; days
    /// count from wherever the input's are.
    pub(super) fn place(&mut self, codes: &[u32], slides: bool) {
        if self.placed || codes.is_empty() {
            return;
        }
        self.placed = true;
        let mut sorted = codes.to_vec();
        sorted.sort_unstable();
        let (least, most) = (sorted[0], sorted[sorted.len() - 1]);
        let within = |&&code: &&u32| code.wrapping_sub(self.base) >> self.shift == 0;
        let fitting = codes.iter().filter(within).count();
        if !self.cells.is_empty() && fitting * 2 >= codes.len() {
            return;
        }
        let span = if slides { most - least + 1 } else { most + 1 };
        let narrow = if most == 0 { 1 } else { FIRST_WIDTH };
        let width = span.clamp(narrow, FIRST_WIDTH_MAX).next_power_of_two();
        // A wider window than what there is would have to be cleared: keep one that is wide enough.
        self.shift = self.shift.max(width.ilog2());
        while self.shift > 0 && (1usize << self.shift) > self.max_cells {
            self.shift -= 1;
        }
        self.base = match slides {
            false => 0,
            true if span <= FIRST_WIDTH_MAX => least,
            // A stray date must not decide: take the middle.
            true => sorted[sorted.len() / 2].saturating_sub(1 << self.shift >> 1),
        };
        let rows = self.max_cells >> self.shift;
        self.heads = self.heads.max(self.first_heads).min(rows as u32);
        self.resize();
        self.reshaped();
    }

    fn resize(&mut self) {
        self.cells.resize(((self.heads as usize) << self.shift) * self.values, ABSENT);
    }

    fn reshaped(&mut self) {
        self.hits = 0;
        self.misses = Misses::default();
    }

    /// Takes a batch's outcome into account.
    pub(super) fn note(&mut self, rows: usize, misses: Misses) {
        let missed = misses.heads + misses.below + misses.above;
        self.hits += rows as u64 - missed;
        self.misses.heads += misses.heads;
        self.misses.below += misses.below;
        self.misses.above += misses.above;
    }

    /// Changes the shape if too many rows miss the cells and those that are there have been of use:
    /// so the work of growing is always less than what the cells have saved.
    pub(super) fn adapt(&mut self, slides: bool) -> Adapted {
        let Misses { heads, below, above } = self.misses;
        let tails = below + above;
        let few = (heads + tails).max(MISSES_THAT_COUNT) <= MISSES_THAT_COUNT
            || (heads + tails) * 16 < self.hits;
        let cells = (self.heads as u64) << self.shift;
        if few || self.hits < cells / 8 {
            // Once in a while forget what was, so that a change in the input shows.
            if heads + tails > 64 * (self.hits + cells) {
                self.reshaped();
            }
            return Adapted::Done;
        }
        let room = cells as usize * 2 <= self.max_cells;
        if tails > heads && room {
            self.widen(below > above && slides);
        } else if heads >= tails && room {
            self.heads *= 2;
            self.resize();
        } else if slides && tails > self.hits {
            self.reshaped();
            return Adapted::Flush;
        }
        self.reshaped();
        Adapted::Done
    }

    /// Doubles the window, downwards or upwards.
    fn widen(&mut self, down: bool) {
        let old = self.values << self.shift;
        let at = if down { old.min(self.base as usize * self.values) } else { 0 };
        self.base -= (at / self.values) as u32;
        let mut cells = vec![ABSENT; self.cells.len() * 2];
        for (from, to) in self.cells.chunks_exact(old).zip(cells.chunks_exact_mut(2 * old)) {
            to[at..at + old].copy_from_slice(from);
        }
        self.cells = cells;
        self.shift += 1;
    }

    /// Values in a cell.
    pub(super) fn values(&self) -> usize {
        self.values
    }

    /// The cell at an offset within a head's row.
    pub(super) fn cell(&self, head: u32, offset: u32) -> &[i64] {
        let at = ((head as usize) << self.shift) + offset as usize;
        &self.cells[at * self.values..][..self.values]
    }

    /// Empties the cells at these offsets of a head's row.
    pub(super) fn empty(&mut self, head: u32, offsets: impl Iterator<Item = u32>) {
        let row = &mut self.cells[((head as usize) << self.shift) * self.values..];
        for offset in offsets {
            row[offset as usize * self.values] = ABSENT;
        }
    }

    /// Lists the offsets in use in a head's row, ascending.
    pub(super) fn present(&self, head: u32, mut each: impl FnMut(u32)) {
        const STEP: usize = 8;
        let len = self.values << self.shift;
        let row = &self.cells[head as usize * len..][..len];
        if self.values > 1 {
            for (offset, cell) in row.chunks_exact(self.values).enumerate() {
                if cell[0] != ABSENT {
                    each(offset as u32);
                }
            }
            return;
        }
        for (step, cells) in row.chunks(STEP).enumerate() {
            // The compiler compares all eight at once: most of a sparse row is skipped so.
            if cells.iter().fold(true, |absent, &cell| absent & (cell == ABSENT)) {
                continue;
            }
            for (i, &cell) in cells.iter().enumerate() {
                if cell != ABSENT {
                    each((step * STEP + i) as u32);
                }
            }
        }
    }
}
