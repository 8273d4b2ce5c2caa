//! From a stream of CSV bytes to tasks: reads the header, cuts at record boundaries, checksums each
//! task. Pure: it sees every byte once and keeps only a header that is not complete yet.

use thiserror::Error;

use tally_common::dialect::{Header, HeaderError, read_header};
use tally_common::limits::{MAX_RECORD_BYTES, MAX_TASK_BYTES, MIN_TASK_BYTES};
use tally_common::scan::cut::Cutter;
use tally_common::spec::Spec;

/// Bytes handed to the cutter at once: a task can end only between two of these, and its checksum is
/// taken while they are still in the cache.
const PIECE_BYTES: usize = 128 << 10;

/// The same where tasks are to be small: less costs more than it is good for.
const LEAST_PIECE_BYTES: usize = 4 << 10;

/// Why an input can not be taken in.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum IntakeError {
    /// The header does not hold.
    #[error(transparent)]
    Header(#[from] HeaderError),
    /// A record longer than the limit, most likely because of a quote that is never closed.
    #[error(
        "the record at byte {offset} is longer than {max} bytes; is a quote in it never closed?",
        max = MAX_RECORD_BYTES
    )]
    RecordTooLong {
        /// Offset of its first byte in the input.
        offset: u64,
    },
}

/// A task as it was cut: a range of whole records of one input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cut {
    /// Offset of its first byte in the input.
    pub offset: u64,
    /// Its length in bytes, at least 1.
    pub len: u64,
    /// CRC-32C of its bytes.
    pub crc32c: u32,
}

/// How large tasks should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TaskSize {
    /// Four tasks for each worker, so that one that dies or is slow costs little; within
    /// [`MIN_TASK_BYTES`] and [`MAX_TASK_BYTES`].
    Fitting {
        /// Bytes of the input, where that is known.
        expected: Option<u64>,
        /// Workers in the cluster, at least 1.
        workers: u32,
    },
    /// So many bytes, or as many more as the last record and the piece that ends it have.
    AtLeast(u64),
}

impl TaskSize {
    /// For an input of `expected` bytes, if that is known, and so many workers in the cluster.
    pub fn new(expected: Option<u64>, workers: u32) -> Self {
        Self::Fitting { expected, workers: workers.max(1) }
    }

    /// Bytes handed to the cutter at once, so that tasks can be as small as they should be.
    fn piece(self) -> usize {
        match self {
            Self::Fitting { .. } => PIECE_BYTES,
            Self::AtLeast(bytes) => (bytes as usize / 4).clamp(LEAST_PIECE_BYTES, PIECE_BYTES),
        }
    }

    /// Bytes that the task that begins after `before` bytes of input should have. Where the input's
    /// size is not known, what has arrived stands for it, so tasks grow with the input.
    fn target(self, before: u64) -> u64 {
        match self {
            Self::Fitting { expected, workers } => {
                let expected = expected.unwrap_or(before).max(before);
                (expected / (4 * u64::from(workers))).clamp(MIN_TASK_BYTES, MAX_TASK_BYTES)
            }
            Self::AtLeast(bytes) => bytes,
        }
    }
}

/// The state of one input that is being taken in.
pub struct Intake {
    spec: Spec,
    size: TaskSize,
    /// Bytes before the records begin, as long as the header is not complete.
    head: Vec<u8>,
    body: Option<Body>,
    received: u64,
}

struct Body {
    header: Header,
    /// What came before the body, or before the place where it was taken up again.
    before: Taken,
    cutter: Cutter,
    /// Where the task that is being filled begins.
    start: u64,
    /// Its checksum so far.
    crc32c: u32,
    /// Up to where that goes; always a record boundary or where the stream stands.
    end: u64,
    /// The last record boundary seen, and the task's checksum up to it.
    boundary: u64,
    boundary_crc: u32,
    /// Checksum of the header and of all tasks that have been cut.
    all: u32,
}

/// What an input came to, besides its tasks; or so much of it as is there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Taken {
    /// Bytes in all, the header included.
    pub bytes: u64,
    /// CRC-32C of these bytes.
    pub crc32c: u32,
}

impl Taken {
    /// Takes the next bytes in.
    pub fn add(&mut self, bytes: &[u8]) {
        self.crc32c = crc32c::crc32c_append(self.crc32c, bytes);
        self.bytes += bytes.len() as u64;
    }

    /// What this input and the one after it came to together.
    pub fn append(&mut self, next: &Self) {
        self.crc32c = crc32c::crc32c_combine(self.crc32c, next.crc32c, next.bytes as usize);
        self.bytes += next.bytes;
    }
}

impl Intake {
    /// An input of which nothing has arrived yet.
    pub fn new(spec: &Spec, size: TaskSize) -> Self {
        Self { spec: spec.clone(), size, head: Vec::new(), body: None, received: 0 }
    }

    /// An input that was taken in up to the end of a task: goes on from there. `until` is what the
    /// bytes before that came to.
    pub fn resume(spec: &Spec, size: TaskSize, header: Header, until: Taken) -> Self {
        let body = Body::new(header, until);
        Self { spec: spec.clone(), size, head: Vec::new(), body: Some(body), received: until.bytes }
    }

    /// The header, once it is complete, and what its bytes came to.
    pub fn header(&self) -> Option<(&Header, Taken)> {
        self.body.as_ref().map(|body| (&body.header, body.before))
    }

    /// Takes the next bytes in; appends the tasks that they complete to `cuts`.
    ///
    /// # Errors
    /// [`IntakeError`]; the input is of no use after that.
    pub fn push(&mut self, bytes: &[u8], cuts: &mut Vec<Cut>) -> Result<(), IntakeError> {
        self.received += bytes.len() as u64;
        if let Some(body) = &mut self.body {
            return body.push(bytes, self.size, cuts);
        }
        self.head.extend_from_slice(bytes);
        self.try_header(false, cuts)
    }

    fn try_header(&mut self, complete: bool, cuts: &mut Vec<Cut>) -> Result<(), IntakeError> {
        let Some(header) = read_header(&self.head, complete, &self.spec)? else {
            return Ok(());
        };
        let head = std::mem::take(&mut self.head);
        let (before, rest) = head.split_at(header.body as usize);
        let mut taken = Taken::default();
        taken.add(before);
        let mut body = Body::new(header, taken);
        let pushed = body.push(rest, self.size, cuts);
        self.body = Some(body);
        pushed
    }

    /// There are no more bytes: the last task ends here.
    ///
    /// # Errors
    /// [`IntakeError`] where not even a header has come.
    pub fn finish(&mut self, cuts: &mut Vec<Cut>) -> Result<Taken, IntakeError> {
        if self.body.is_none() {
            self.try_header(true, cuts)?;
        }
        let mut crc32c = 0;
        if let Some(body) = &mut self.body {
            if body.end > body.start {
                cuts.push(body.cut(body.end, body.crc32c));
            }
            crc32c = body.all;
        }
        Ok(Taken { bytes: self.received, crc32c })
    }
}

impl Body {
    /// A body of which nothing has been cut since `before`.
    fn new(header: Header, before: Taken) -> Self {
        let start = before.bytes;
        Self {
            cutter: Cutter::new(header.layout.delimiter.byte()),
            header,
            before,
            start,
            end: start,
            crc32c: 0,
            boundary: start,
            boundary_crc: 0,
            all: before.crc32c,
        }
    }

    fn push(
        &mut self,
        bytes: &[u8],
        size: TaskSize,
        cuts: &mut Vec<Cut>,
    ) -> Result<(), IntakeError> {
        for piece in bytes.chunks(size.piece()) {
            let cut = self.cutter.push(piece);
            let (before, after) = piece.split_at(cut.unwrap_or(0));
            self.crc32c = crc32c::crc32c_append(self.crc32c, before);
            if cut.is_some() {
                self.boundary = self.end + before.len() as u64;
                self.boundary_crc = self.crc32c;
                if self.boundary - self.start >= size.target(self.start) {
                    cuts.push(self.cut(self.boundary, self.boundary_crc));
                    self.crc32c = 0;
                }
            }
            self.crc32c = crc32c::crc32c_append(self.crc32c, after);
            self.end += piece.len() as u64;
            if self.end - self.boundary > MAX_RECORD_BYTES as u64 {
                return Err(IntakeError::RecordTooLong { offset: self.boundary });
            }
        }
        Ok(())
    }

    /// Ends the task that is being filled.
    fn cut(&mut self, end: u64, crc32c: u32) -> Cut {
        let cut = Cut { offset: self.start, len: end - self.start, crc32c };
        self.start = end;
        // Once a task: combining checksums costs as much as taking one of a hundred KiB.
        self.all = crc32c::crc32c_combine(self.all, crc32c, cut.len as usize);
        cut
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use tally_common::spec::SpecDraft;

    use super::*;

    fn plays() -> Spec {
        Spec::try_from(SpecDraft::plays()).unwrap()
    }

    fn take(input: &[u8], piece: usize) -> Result<(Vec<Cut>, Taken), IntakeError> {
        let mut intake = Intake::new(&plays(), TaskSize::new(None, 1));
        let mut cuts = Vec::new();
        for bytes in input.chunks(piece.max(1)) {
            intake.push(bytes, &mut cuts)?;
        }
        let taken = intake.finish(&mut cuts)?;
        Ok((cuts, taken))
    }

    fn check(input: &[u8], cuts: &[Cut], body: usize) {
        let mut at = body as u64;
        for cut in cuts {
            assert_eq!(cut.offset, at);
            at += cut.len;
            let range = cut.offset as usize..at as usize;
            assert_eq!(cut.crc32c, crc32c::crc32c(&input[range]));
            assert!(at == input.len() as u64 || input[at as usize - 1] == b'\n');
        }
        assert_eq!(at, input.len() as u64);
    }

    const HEADER: &str = "Song,Date,Number of Plays\n";

    #[test]
    fn a_header_alone_has_no_tasks() {
        for input in [HEADER, HEADER.trim_end()] {
            let (cuts, taken) = take(input.as_bytes(), 3).unwrap();
            assert_eq!(cuts, []);
            assert_eq!(taken.bytes, input.len() as u64);
            assert_eq!(taken.crc32c, crc32c::crc32c(input.as_bytes()));
        }
        assert!(take(b"", 1).is_err());
    }

    #[test]
    fn a_record_beyond_the_limit_is_named() {
        let mut input = HEADER.as_bytes().to_vec();
        input.extend_from_slice(b"a,2020-01-01,1\n\"b");
        input.resize(MAX_RECORD_BYTES + 200_000, b'x');
        let offset = HEADER.len() as u64 + 15;
        assert_eq!(take(&input, 1 << 16).unwrap_err(), IntakeError::RecordTooLong { offset });
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(16))]
        #[test]
        fn tasks_cover_the_input_at_record_boundaries(
            pieces in 1usize..300_000,
            rows in 1usize..900_000,
            ends: bool,
        ) {
            let mut input = HEADER.as_bytes().to_vec();
            for i in 0..rows {
                input.extend_from_slice(b"\"a song, and more\",2020-01-01,");
                input.extend_from_slice(i.to_string().as_bytes());
                input.push(b'\n');
            }
            if !ends {
                input.pop();
            }
            let (cuts, taken) = take(&input, pieces).unwrap();
            check(&input, &cuts, HEADER.len());
            prop_assert_eq!(taken.crc32c, crc32c::crc32c(&input));
            // All but the last have the size that is aimed for, to within a piece.
            for cut in cuts.iter().rev().skip(1) {
                prop_assert!(cut.len >= MIN_TASK_BYTES);
                prop_assert!(cut.len <= MIN_TASK_BYTES + 2 * PIECE_BYTES as u64);
            }
        }
    }
}
