//! Runs of rows as rows: of each key the last record of all tasks, in order of the keys, as somebody wants
//! them. What a run says of a row is believed only where it fits the table and the key it stands under.

use std::io;

use tally_common::reject::Reject;
use tally_common::run::GroupSink;
use tally_common::spec::Spec;
use tally_common::table::{BadRow, Row, RowTail, read_row};

use super::ranges::Range;
use super::{FAN_IN, MergeError, MergeInput, MergeOptions, cascade, kway, ranges};

/// Calls `take` with each row, in strictly ascending order of its key, and with how many records had that
/// key, until it says `false`.
///
/// # Errors
/// [`MergeError`].
pub(crate) fn each_row(
    spec: &Spec,
    inputs: &[MergeInput],
    options: &MergeOptions<'_>,
    take: impl FnMut(Row, u64) -> bool,
) -> Result<(), MergeError> {
    let segments = cascade::narrow(spec, ranges::segments(inputs), options, FAN_IN)?;
    let mut sink = Rows::new(spec, take);
    match kway::merge(spec, &segments, &Range::default(), options.cancelled, &mut sink) {
        Err(MergeError::Io(_)) if sink.enough => Ok(()),
        ended => ended,
    }
}

/// The row of the key at hand, while more records of that key may come.
struct Rows<'a, F> {
    spec: &'a Spec,
    /// Indices of the key columns among those of the row.
    keys: Vec<usize>,
    take: F,
    head: Vec<u8>,
    /// The key columns but the first, as the tail has them.
    others: Vec<u8>,
    row: Vec<u8>,
    /// Records that had the key; none where no key is at hand.
    records: u64,
    scratch: Vec<u8>,
    /// No more are wanted: what is left to do is to end the merge, by an error.
    enough: bool,
}

impl<'a, F: FnMut(Row, u64) -> bool> Rows<'a, F> {
    fn new(spec: &'a Spec, take: F) -> Self {
        let rows = spec.rows().unwrap_or_default();
        let place = |name: &str| {
            let same = |other: &str| tally_common::dialect::fold(other);
            rows.iter().position(|column| same(&column.name) == same(name))
        };
        Self {
            spec,
            // A checked spec has its keys among its rows.
            keys: spec.group_by().iter().filter_map(|key| place(&key.name)).collect(),
            take,
            head: Vec::new(),
            others: Vec::new(),
            row: Vec::new(),
            records: 0,
            scratch: Vec::new(),
            enough: false,
        }
    }

    /// Gives the row at hand away.
    fn give(&mut self) -> io::Result<()> {
        if self.records == 0 {
            return Ok(());
        }
        let row =
            self.decode().map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
        let records = std::mem::take(&mut self.records);
        self.enough = !(self.take)(row, records);
        if self.enough { Err(io::ErrorKind::Interrupted.into()) } else { Ok(()) }
    }

    fn decode(&mut self) -> Result<Row, BadRow> {
        let row = read_row(self.spec.rows().unwrap_or_default(), &self.row)?;
        let (first, others) = self.keys.split_first().ok_or(BadRow)?;
        self.scratch.clear();
        let holds = RowTail::put_head(&row[*first], &mut self.scratch) && self.scratch == self.head;
        self.scratch.clear();
        let key = &mut self.scratch;
        let others = others.iter().all(|&at| RowTail::put_key(&row[at], key));
        if holds && others && *key == self.others { Ok(row) } else { Err(BadRow) }
    }
}

impl<F: FnMut(Row, u64) -> bool> GroupSink for Rows<'_, F> {
    fn start_head(&mut self, head: &[u8], _: u64) -> io::Result<()> {
        self.give()?;
        self.head.clear();
        self.head.extend_from_slice(head);
        Ok(())
    }

    fn push_ordinal(&mut self, _: i64, _: &[i128]) -> io::Result<()> {
        Err(io::Error::new(io::ErrorKind::InvalidData, BadRow))
    }

    fn push_bytes(&mut self, tail: &[u8], values: &[i128]) -> io::Result<()> {
        let bad = |error: BadRow| io::Error::new(io::ErrorKind::InvalidData, error);
        let others = &self.spec.group_by()[1..];
        let tail = RowTail::split(others, tail, &mut self.scratch).map_err(bad)?;
        let records = values.first().and_then(|n| u64::try_from(*n).ok()).filter(|n| *n > 0);
        let records = records.ok_or_else(|| bad(BadRow))?;
        if self.records > 0 && tail.key != self.others {
            self.give()?;
        }
        // Tails ascend: within a key this one stands later in the input than the one before.
        self.others.clear();
        self.others.extend_from_slice(tail.key);
        self.row.clear();
        self.row.extend_from_slice(tail.row);
        self.records = self.records.saturating_add(records);
        Ok(())
    }

    fn end_segment(&mut self) -> io::Result<()> {
        self.give()
    }

    fn reject(&mut self, _: Reject) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::sync::Arc;
    use std::sync::atomic::AtomicBool;

    use proptest::prelude::*;
    use uuid::Uuid;

    use tally_common::id::MessageId;
    use tally_common::run::{ReadAt, RunHeader, RunMeta, RunWriter, TaskTotals};
    use tally_common::spec::SpecDraft;
    use tally_common::table::{Key, Table, TableDraft, Value, put_row};

    use super::*;

    fn plays() -> (Table, Spec) {
        let table = Table::try_from(TableDraft::plays()).unwrap();
        let spec = Spec::try_from(SpecDraft::of_table(&table)).unwrap();
        (table, spec)
    }

    /// A head, a tail, and how many records.
    type Group = (Vec<u8>, Vec<u8>, i128);

    fn group(table: &Table, row: &Row, position: u64, records: u64) -> Group {
        let key = table.key_of(row);
        let (mut head, mut tail) = (Vec::new(), Vec::new());
        assert!(RowTail::put_head(&key.0[0], &mut head));
        assert!(key.0[1..].iter().all(|value| RowTail::put_key(value, &mut tail)));
        tail.extend_from_slice(&position.to_be_bytes());
        put_row(row, &mut tail);
        (head, tail, records.into())
    }

    fn run(spec: &Spec, mut groups: Vec<Group>) -> MergeInput {
        groups.sort();
        let header = RunHeader::of(spec, MessageId::from_uuid(Uuid::nil()));
        let mut run = RunWriter::with_block_bytes(Vec::new(), header, 200).unwrap();
        let mut last: Option<Vec<u8>> = None;
        for (head, tail, records) in groups {
            if last.as_ref() != Some(&head) {
                run.start_head(&head, 0).unwrap();
            }
            run.push_bytes(&tail, &[records]).unwrap();
            last = Some(head);
        }
        run.end_segment().unwrap();
        let run: Arc<dyn ReadAt + Send + Sync> =
            Arc::new(run.finish(TaskTotals::default()).unwrap().0);
        let meta = Arc::new(RunMeta::read(&*run).unwrap());
        MergeInput { run, meta }
    }

    fn merged(spec: &Spec, inputs: &[MergeInput]) -> Result<Vec<(Row, u64)>, MergeError> {
        let folder = tempfile::tempdir().unwrap();
        let cancelled = AtomicBool::new(false);
        let options =
            MergeOptions { threads: 1, cancelled: &cancelled, scratch_dir: folder.path() };
        let mut rows = Vec::new();
        each_row(spec, inputs, &options, |row, records| {
            rows.push((row, records));
            true
        })?;
        Ok(rows)
    }

    proptest! {
        #[test]
        fn the_last_row_of_each_key_comes_once_and_in_order(
            tasks in prop::collection::vec(
                prop::collection::vec(("[ab]{1,3}", 0i32..4, any::<i64>()), 0..30), 1..12),
        ) {
            let (table, spec) = plays();
            let mut all: BTreeMap<Key, (Row, u64)> = BTreeMap::new();
            let mut inputs = Vec::new();
            for (number, records) in (0u64..).zip(&tasks) {
                let mut own: BTreeMap<Key, (u64, Row, u64)> = BTreeMap::new();
                for (at, (song, day, plays)) in (0u64..).zip(records) {
                    let song = Value::Text(song.as_str().into());
                    let row: Row = [song, Value::Date(*day), Value::Integer(*plays)].into();
                    let key = table.key_of(&row);
                    let known = own.get(&key).map_or(0, |known| known.2);
                    own.insert(key.clone(), (number << 32 | at, row.clone(), known + 1));
                    let known = all.get(&key).map_or(0, |known| known.1);
                    all.insert(key, (row, known + 1));
                }
                let groups = own.values().map(|(at, row, n)| group(&table, row, *at, *n)).collect();
                inputs.push(run(&spec, groups));
            }
            let expected: Vec<_> = all.into_values().collect();
            prop_assert_eq!(merged(&spec, &inputs).unwrap(), expected);
        }
    }

    #[test]
    fn a_row_that_does_not_stand_under_its_key_is_refused() {
        let (table, spec) = plays();
        let row: Row = [Value::Text("a".into()), Value::Date(1), Value::Integer(2)].into();
        let good = group(&table, &row, 7, 1);
        assert!(merged(&spec, &[run(&spec, vec![good.clone()])]).is_ok());
        let cut = good.1.len() - 1;
        for (head, tail, records) in [
            (b"b".to_vec(), good.1.clone(), 1),
            (good.0.clone(), [&[0xff], &good.1[1..]].concat(), 1),
            (good.0.clone(), good.1[..cut].to_vec(), 1),
            (good.0.clone(), good.1.clone(), 0),
        ] {
            let wrong = merged(&spec, &[run(&spec, vec![(head, tail, records)])]);
            assert!(matches!(wrong, Err(MergeError::Io(_))));
        }
    }
}
