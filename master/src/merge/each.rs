//! Groups of runs one by one, in order, as far as somebody wants them: for a look at what has been counted
//! so far.

use std::io;
use std::path::Path;
use std::sync::atomic::AtomicBool;

use tally_common::key::{decode_integer, decode_tail};
use tally_common::reject::Reject;
use tally_common::run::GroupSink;
use tally_common::spec::{KeyKind, Spec};
use tally_common::value::{format_date, write_integer};

use super::ranges::{Bound, Range};
use super::{FAN_IN, MergeError, MergeInput, MergeOptions, cascade, kway, ranges};

/// Calls `see` with each group, as the texts of its columns, from the first head that is not before `from`
/// on, until it says `false`.
///
/// # Errors
/// [`MergeError`].
pub(crate) fn each_group(
    spec: &Spec,
    inputs: &[MergeInput],
    from: Option<&[u8]>,
    (scratch_dir, cancelled): (&Path, &AtomicBool),
    see: impl FnMut(&[Vec<u8>]) -> bool,
) -> Result<(), MergeError> {
    let options = MergeOptions { threads: 1, cancelled, scratch_dir };
    let segments = cascade::narrow(spec, ranges::segments(inputs), &options, FAN_IN)?;
    let from = from.map(|head| Bound { head: head.into(), tail: None });
    let range = Range { from, to: None };
    let columns = vec![Vec::new(); spec.group_by().len() + spec.aggregates().len()];
    let mut sink = Each { spec, see, row: columns, enough: false };
    match kway::merge(spec, &segments, &range, cancelled, &mut sink) {
        Err(MergeError::Io(_)) if sink.enough => Ok(()),
        ended => ended,
    }
}

struct Each<'a, F> {
    spec: &'a Spec,
    see: F,
    row: Vec<Vec<u8>>,
    /// No more are wanted: what is left to do is to end the merge, by an error.
    enough: bool,
}

impl<F: FnMut(&[Vec<u8>]) -> bool> Each<'_, F> {
    fn show(&mut self, values: &[i128]) -> io::Result<()> {
        let keys = self.spec.group_by().len();
        for (text, value) in self.row[keys..].iter_mut().zip(values) {
            text.clear();
            text.extend_from_slice(value.to_string().as_bytes());
        }
        self.enough = !(self.see)(&self.row);
        if self.enough { Err(io::ErrorKind::Interrupted.into()) } else { Ok(()) }
    }
}

fn write(kind: KeyKind, value: &[u8], to: &mut Vec<u8>) {
    to.clear();
    match (kind, decode_integer(value)) {
        (KeyKind::Integer, Ok(value)) => write_integer(value, to),
        (KeyKind::Date, Ok(day)) => to.extend_from_slice(&format_date(day as i32)),
        _ => to.extend_from_slice(value),
    }
}

impl<F: FnMut(&[Vec<u8>]) -> bool> GroupSink for Each<'_, F> {
    fn start_head(&mut self, head: &[u8], _: u64) -> io::Result<()> {
        write(self.spec.group_by()[0].kind, head, &mut self.row[0]);
        Ok(())
    }

    fn push_ordinal(&mut self, tail: i64, values: &[i128]) -> io::Result<()> {
        if self.spec.group_by().len() > 1 {
            self.row[1].clear();
            self.row[1].extend_from_slice(&format_date(tail as i32));
        }
        self.show(values)
    }

    fn push_bytes(&mut self, tail: &[u8], values: &[i128]) -> io::Result<()> {
        let (mut at, row) = (1, &mut self.row);
        decode_tail(&self.spec.group_by()[1..], tail, |kind, value| {
            write(kind, value, &mut row[at]);
            at += 1;
        })
        .map_err(io::Error::other)?;
        self.show(values)
    }

    fn end_segment(&mut self) -> io::Result<()> {
        Ok(())
    }

    fn reject(&mut self, _: Reject) -> io::Result<()> {
        Ok(())
    }
}
