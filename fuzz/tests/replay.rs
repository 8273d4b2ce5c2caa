//! Runs each target on its corpus, and on what a few thousand changes make of it.

use std::path::Path;
use std::sync::Once;
use std::sync::atomic::{AtomicBool, Ordering};

/// A pseudo-random sequence (xorshift64*).
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) as usize % bound.max(1)
    }
}

/// Panics of the threads that serve, which would go unseen otherwise.
static PANICKED: AtomicBool = AtomicBool::new(false);

fn watch_the_servers() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let usual = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            let thread = std::thread::current();
            let test = thread.name().is_some_and(|name| TARGETS.contains(&name));
            PANICKED.fetch_or(!test, Ordering::Relaxed);
            usual(panic);
        }));
    });
}

/// The tests' names, which their threads have, too.
const TARGETS: [&str; 8] =
    ["scan", "header", "count", "run", "decompress", "packed", "http", "grpc"];

fn replay(name: &str, target: impl Fn(&[u8]), changes: usize) {
    watch_the_servers();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(name);
    let mut files: Vec<_> = std::fs::read_dir(&folder)
        .expect("a corpus")
        .map(|file| file.expect("a file").path())
        .collect();
    files.sort();
    assert!(files.len() >= 5, "{folder:?} holds {} files", files.len());
    let corpus: Vec<_> = files.iter().map(|file| std::fs::read(file).expect("a file")).collect();
    for (file, data) in files.iter().zip(&corpus) {
        println!("{}", file.display());
        target(data);
        assert!(!PANICKED.load(Ordering::Relaxed), "{} made a thread panic", file.display());
    }
    let mut random = Random(0x7a11_7000_0000_0001);
    for n in 0..changes {
        let changed = change(&corpus, &mut random);
        println!("change {n}: {changed:?}");
        target(&changed);
        assert!(!PANICKED.load(Ordering::Relaxed), "change {n} made a thread panic: {changed:?}");
    }
}

/// One of the corpus with some of its bytes changed, doubled, moved or gone.
fn change(corpus: &[Vec<u8>], random: &mut Random) -> Vec<u8> {
    let mut data = corpus[random.below(corpus.len())].clone();
    for _ in 0..1 + random.below(4) {
        let (at, len) = (random.below(data.len()), 1 + random.below(8));
        let end = (at + len).min(data.len());
        match random.below(5) {
            0 if !data.is_empty() => data[at] ^= 1 << random.below(8),
            1 if !data.is_empty() => data[at] = b"\"\r\n,;\t|\0"[random.below(8)],
            2 => drop(data.drain(at..end)),
            3 => {
                let part = data[at..end].to_vec();
                data.splice(at..at, part);
            }
            _ => {
                let other = &corpus[random.below(corpus.len())];
                let from = random.below(other.len());
                data.truncate(at);
                data.extend_from_slice(&other[from..]);
            }
        }
    }
    data
}

#[test]
fn scan() {
    replay("scan", tally_fuzz::scan, 20_000);
}

#[test]
fn header() {
    replay("header", tally_fuzz::header, 5_000);
}

#[test]
fn count() {
    replay("count", tally_fuzz::count, 2_000);
}

#[test]
fn run() {
    replay("run", tally_fuzz::run, 5_000);
}

#[test]
fn decompress() {
    replay("decompress", tally_fuzz::decompress, 2_000);
}

#[test]
fn packed() {
    replay("packed", tally_fuzz::packed, 5_000);
}

#[test]
fn http() {
    replay("http", tally_fuzz::http, 300);
}

#[test]
fn grpc() {
    replay("grpc", tally_fuzz::grpc, 500);
}
