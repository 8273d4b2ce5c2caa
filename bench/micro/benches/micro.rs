//! What each step takes on its own: `cargo bench -p tally-micro`, with a name to run only some.

use divan::Bencher;
use divan::counter::BytesCount;
use tally_common::scan::FieldIndex;
use tally_micro::{Case, Shape, plain};

const ROWS: u32 = 200_000;
const SHAPES: [Shape; 5] = [Shape::Low, Shape::High, Shape::Unique, Shape::Quoted, Shape::Wide];

/// Why nothing here can fail: the cases are made in this crate, in memory.
const HOLDS: &str = "the cases hold";

fn case(shape: Shape) -> Case {
    Case::new(shape, ROWS).expect(HOLDS)
}

fn main() {
    divan::main();
}

/// The scanner: where all fields are.
#[divan::bench(args = SHAPES)]
fn split(bencher: Bencher<'_, '_>, shape: Shape) {
    let case = case(shape);
    let mut index = FieldIndex::default();
    bencher.counter(BytesCount::of_slice(&case.body)).bench_local(|| case.split(&mut index));
}

/// The cutter: where a stream may be cut.
#[divan::bench(args = SHAPES)]
fn cut(bencher: Bencher<'_, '_>, shape: Shape) {
    let case = case(shape);
    bencher.counter(BytesCount::of_slice(&case.body)).bench_local(|| case.cut());
}

/// The kernel with the run codec: a task's bytes to its run.
#[divan::bench(args = SHAPES)]
fn count(bencher: Bencher<'_, '_>, shape: Shape) {
    let case = case(shape);
    let mut kernel = case.kernel();
    bencher
        .counter(BytesCount::of_slice(&case.body))
        .bench_local(|| case.count(&mut kernel).map(|run| run.len()).ok());
}

/// Inputs that the kernel might be bad at.
const HARD: [Shape; 7] = [
    Shape::Low,
    Shape::High,
    Shape::Unique,
    Shape::Quoted,
    Shape::Scattered,
    Shape::Long,
    Shape::Turning,
];

/// The kernel beside [`plain_hash`], whose keys are strings in one table.
#[divan::bench(args = HARD)]
fn kernel(bencher: Bencher<'_, '_>, shape: Shape) {
    let case = case(shape);
    bencher
        .counter(BytesCount::of_slice(&case.body))
        .bench_local(|| case.count(&mut case.kernel()).map(|run| run.len()).ok());
}

/// See [`kernel`], which should never take 1.5 times as long.
#[divan::bench(args = HARD)]
fn plain_hash(bencher: Bencher<'_, '_>, shape: Shape) {
    let case = case(shape);
    bencher.counter(BytesCount::of_slice(&case.body)).bench_local(|| plain::count(&case.body));
}

/// The merge of four runs into CSV text, in one thread.
#[divan::bench(args = SHAPES)]
fn merge(bencher: Bencher<'_, '_>, shape: Shape) {
    let case = case(shape);
    let runs = case.runs(4).expect(HOLDS);
    let groups = case.merge(&runs).expect(HOLDS).rows;
    bencher
        .counter(divan::counter::ItemsCount::new(groups))
        .bench_local(|| case.merge(&runs).map(|summary| summary.rows).ok());
}
