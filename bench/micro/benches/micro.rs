//! What each step takes on its own: `cargo bench -p tally-micro`, with a name to run only some.

use divan::Bencher;
use divan::counter::BytesCount;
use tally_common::scan::FieldIndex;
use tally_micro::{Anything, Case, Shape};

const ROWS: u32 = 200_000;
const SHAPES: [Shape; 5] = [Shape::Low, Shape::High, Shape::Unique, Shape::Quoted, Shape::Wide];

fn main() {
    divan::main();
}

/// The scanner: where all fields are.
#[divan::bench(args = SHAPES)]
fn split(bencher: Bencher<'_, '_>, shape: Shape) -> Result<(), Anything> {
    let case = Case::new(shape, ROWS)?;
    let mut index = FieldIndex::default();
    bencher.counter(BytesCount::of_slice(&case.body)).bench_local(|| case.split(&mut index));
    Ok(())
}

/// The cutter: where a stream may be cut.
#[divan::bench(args = SHAPES)]
fn cut(bencher: Bencher<'_, '_>, shape: Shape) -> Result<(), Anything> {
    let case = Case::new(shape, ROWS)?;
    bencher.counter(BytesCount::of_slice(&case.body)).bench_local(|| case.cut());
    Ok(())
}

/// The kernel with the run codec: a task's bytes to its run.
#[divan::bench(args = SHAPES)]
fn count(bencher: Bencher<'_, '_>, shape: Shape) -> Result<(), Anything> {
    let case = Case::new(shape, ROWS)?;
    let mut kernel = case.kernel();
    bencher
        .counter(BytesCount::of_slice(&case.body))
        .bench_local(|| case.count(&mut kernel).map(|run| run.len()).ok());
    Ok(())
}

/// The merge of four runs into CSV text, in one thread.
#[divan::bench(args = SHAPES)]
fn merge(bencher: Bencher<'_, '_>, shape: Shape) -> Result<(), Anything> {
    let case = Case::new(shape, ROWS)?;
    let runs = case.runs(4)?;
    let groups = case.merge(&runs)?.rows;
    bencher
        .counter(divan::counter::ItemsCount::new(groups))
        .bench_local(|| case.merge(&runs).map(|summary| summary.rows).ok());
    Ok(())
}
