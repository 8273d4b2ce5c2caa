//! All that a run says, as 32 bytes: the same for two runs that say the same, however their groups are put
//! into segments and blocks.

use std::io;
use std::path::Path;
use std::sync::atomic::AtomicBool;

use sha2::{Digest, Sha256};

use tally_common::reject::Reject;
use tally_common::run::GroupSink;
use tally_common::spec::Spec;

use super::ranges::Range;
use super::{FAN_IN, MergeError, MergeInput, MergeOptions, cascade, kway, ranges};

/// The digest of a run's groups, values, positions, rejects and totals.
///
/// # Errors
/// [`MergeError`]: a run whose groups do not read or are not in order has none.
pub(crate) fn digest(
    spec: &Spec,
    input: &MergeInput,
    scratch_dir: &Path,
) -> Result<[u8; 32], MergeError> {
    let cancelled = &AtomicBool::new(false);
    let options = MergeOptions { threads: 1, cancelled, scratch_dir };
    let inputs = std::slice::from_ref(input);
    let segments = cascade::narrow(spec, ranges::segments(inputs), &options, FAN_IN)?;
    let mut sink = Hashed(Sha256::new());
    kway::merge(spec, &segments, &Range { from: None, to: None }, cancelled, &mut sink)?;
    for reject in input.meta.rejects(&*input.run) {
        sink.reject(reject.map_err(|error| MergeError::Run { input: 0, error })?)?;
    }
    let totals = input.meta.totals();
    sink.0.update(b"t");
    for count in [totals.records, totals.rejects, totals.blank_lines, totals.lines, totals.bytes] {
        sink.0.update(count.to_le_bytes());
    }
    Ok(sink.0.finalize().into())
}

/// Each piece has its kind and its length before it, so that no two lists of pieces read the same.
struct Hashed(Sha256);

impl Hashed {
    fn values(&mut self, values: &[i128]) {
        self.0.update((values.len() as u64).to_le_bytes());
        for value in values {
            self.0.update(value.to_le_bytes());
        }
    }

    fn bytes(&mut self, kind: u8, bytes: &[u8]) {
        self.0.update([kind]);
        self.0.update((bytes.len() as u64).to_le_bytes());
        self.0.update(bytes);
    }
}

impl GroupSink for Hashed {
    fn start_head(&mut self, head: &[u8], first: u64) -> io::Result<()> {
        self.bytes(b'h', head);
        self.0.update(first.to_le_bytes());
        Ok(())
    }

    fn push_ordinal(&mut self, tail: i64, values: &[i128]) -> io::Result<()> {
        self.bytes(b'o', &tail.to_le_bytes());
        self.values(values);
        Ok(())
    }

    fn push_bytes(&mut self, tail: &[u8], values: &[i128]) -> io::Result<()> {
        self.bytes(b'b', tail);
        self.values(values);
        Ok(())
    }

    fn end_segment(&mut self) -> io::Result<()> {
        Ok(())
    }

    fn reject(&mut self, reject: Reject) -> io::Result<()> {
        let Reject { line, offset, len, column, reason } = reject;
        self.0.update(b"r");
        self.0.update(line.to_le_bytes());
        self.0.update(offset.to_le_bytes());
        self.0.update(len.to_le_bytes());
        self.0.update(column.to_le_bytes());
        self.0.update([reason.code()]);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use uuid::Uuid;

    use tally_common::id::MessageId;
    use tally_common::run::{RunHeader, RunMeta, RunWriter, TaskTotals};
    use tally_common::spec::SpecDraft;

    use super::*;

    /// The digest of a run of segments of songs with a count of plays on a day each.
    fn of(segments: &[&[(&str, i64, i128)]], blank_lines: u64) -> [u8; 32] {
        let spec = Spec::try_from(SpecDraft::plays()).unwrap();
        let header = RunHeader::of(&spec, MessageId::from_uuid(Uuid::from_u128(7)));
        let mut run = RunWriter::new(Vec::new(), header).unwrap();
        for segment in segments {
            for (song, day, plays) in *segment {
                run.start_head(song.as_bytes(), 0).unwrap();
                run.push_ordinal(*day, &[*plays]).unwrap();
            }
            run.end_segment().unwrap();
        }
        let totals = TaskTotals { records: 9, lines: 9, bytes: 99, blank_lines, rejects: 0 };
        let (run, _) = run.finish(totals).unwrap();
        let meta = Arc::new(RunMeta::read(&run).unwrap());
        let folder = tempfile::tempdir().unwrap();
        digest(&spec, &MergeInput { run: Arc::new(run), meta }, folder.path()).unwrap()
    }

    #[test]
    fn a_digest_is_of_what_a_run_says_and_not_of_how() {
        let whole = of(&[&[("a", 18_000, 3), ("b", 18_000, 5)]], 0);
        assert_eq!(whole, of(&[&[("a", 18_000, 1), ("b", 18_000, 5)], &[("a", 18_000, 2)]], 0));
        for other in [
            of(&[&[("a", 18_000, 4), ("b", 18_000, 5)]], 0),
            of(&[&[("a", 18_001, 3), ("b", 18_000, 5)]], 0),
            of(&[&[("a", 18_000, 3), ("c", 18_000, 5)]], 0),
            of(&[&[("a", 18_000, 3)]], 0),
            of(&[&[("a", 18_000, 3), ("b", 18_000, 5)]], 1),
        ] {
            assert_ne!(whole, other);
        }
    }
}
