//! Runs one step once, for `bench/guard`, which has its instructions counted.

use std::hint::black_box;

use tally_common::scan::FieldIndex;
use tally_micro::{Anything, Case, Shape};

const ROWS: u32 = 100_000;

/// All that is counted. What a step needs is made before.
#[inline(never)]
fn guarded_step<T>(step: impl FnOnce() -> T) -> T {
    black_box(step())
}

fn main() -> Result<(), Anything> {
    let mut args = std::env::args().skip(1);
    let (step, shape) = (args.next().ok_or("which step?")?, args.next().ok_or("which shape?")?);
    let shape = Shape::ALL.iter().find(|(name, _)| *name == shape).ok_or("no such shape")?.1;
    let case = Case::new(shape, ROWS)?;
    match step.as_str() {
        "split" => {
            let mut index = FieldIndex::default();
            guarded_step(|| case.split(&mut index));
        }
        "cut" => {
            guarded_step(|| case.cut());
        }
        "count" => {
            let mut kernel = case.kernel();
            guarded_step(|| case.count(&mut kernel))?;
        }
        "merge" => {
            let runs = case.runs(4)?;
            guarded_step(|| case.merge(&runs))?;
        }
        _ => return Err("no such step".into()),
    }
    Ok(())
}
