//! `tally verify`: counts a job's tasks once more, here, from the original file or from what the
//! master has kept of it, and compares what they come to with the job's receipt; and, where all of
//! them are counted, the result, byte by byte, by its digest.

use std::fs::File;
use std::io::{self, BufWriter, Read};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use anyhow::{Context, bail, ensure};
use tempfile::TempDir;

use tally_common::api::{FullReceipt, JobView, TaskReceipt};
use tally_common::dialect::{Header, read_header};
use tally_common::id::MessageId;
use tally_common::limits::{FRAME_BYTES, MAX_HEADER_BYTES};
use tally_common::run::{RunHeader, RunMeta, RunWriter, TaskTotals};
use tally_common::spec::Spec;
use tally_master::decompress::open_decompressed;
use tally_master::merge::{MergeInput, MergeOptions, merge_to_csv};
use tally_master::read_at::FileAt;
use tally_proto::frames::Part;
use tally_slave::kernel::Kernel;

use crate::args::VerifyArgs;
use crate::client::Client;
use crate::exit::Kind;

pub(crate) async fn run(args: &VerifyArgs) -> anyhow::Result<()> {
    let mut client = Client::connect(&args.master.dial()?).await?;
    let job = client.get(args.job).await?;
    let receipt = client.receipt(args.job).await?;
    ensure!(receipt.inputs.len() <= 1, "only jobs with one input can be verified");
    let spec = Spec::try_from(job.spec.clone()).context("the job's spec makes no sense")?;
    let chosen = choose(&receipt, &args.tasks)?;
    let all = chosen.len() == receipt.tasks.len();
    let mut recount = match &args.input {
        Some(path) => {
            let from = open_decompressed(path)
                .with_context(|| format!("{} can not be read", path.display()))?;
            let mut input = Input { from, at: 0 };
            let header = input.header(&spec)?;
            let mut recount = Recount::new(&spec, header)?;
            for task in &chosen {
                recount.task(task, &mut input)?;
            }
            if all {
                input.ends()?;
            }
            recount
        }
        None => from_master(&mut client, &job, &spec, &chosen).await?,
    };
    let tasks = chosen.len();
    let mut wrong = std::mem::take(&mut recount.wrong);
    let mut result = "";
    // Of an ingest the tasks are verified: its result is the report of what it did to a table.
    let counts = job.repaired_by.is_none() && job.ingest.is_none();
    if all && let Some(expected) = job.result.as_ref().filter(|_| counts) {
        let found = recount.result(&spec)?;
        result = ", and the result";
        if found != expected.sha256 {
            wrong.push(format!(
                "the result has SHA-256 {found} here, {} in the receipt",
                expected.sha256
            ));
        }
    }
    if !wrong.is_empty() {
        return Err(Kind::JobFailed.error(wrong.join("\n")));
    }
    println!(
        "{} records in {tasks} of {} tasks{result}: as the receipt says",
        recount.records,
        receipt.tasks.len()
    );
    Ok(())
}

fn choose(receipt: &FullReceipt, numbers: &[u32]) -> anyhow::Result<Vec<TaskReceipt>> {
    if numbers.is_empty() {
        return Ok(receipt.tasks.clone());
    }
    let mut chosen = Vec::new();
    for number in numbers {
        let task = receipt.tasks.get(*number as usize);
        chosen.push(task.with_context(|| format!("the job has no task {number}"))?.clone());
    }
    chosen.sort_by_key(|task| task.number);
    chosen.dedup();
    Ok(chosen)
}

/// Counts tasks from the input that the master has kept.
async fn from_master(
    client: &mut Client,
    job: &JobView,
    spec: &Spec,
    chosen: &[TaskReceipt],
) -> anyhow::Result<Recount> {
    let mut head = Vec::new();
    let mut frames = client.input(job.id, 0, 2 * MAX_HEADER_BYTES as u64).await?;
    while let Some(Part::Data(data)) = frames.next().await? {
        head.extend_from_slice(&data);
    }
    let header = header_of(&head, true, spec)?.context("the input has no header")?;
    let mut recount = Recount::new(spec, header)?;
    for task in chosen {
        // A length of nothing would ask for all that follows.
        let mut frames = client.input(job.id, task.byte_offset, task.bytes.max(1)).await?;
        let mut counting = recount.begin(task)?;
        while let Some(Part::Data(data)) = frames.next().await? {
            counting.feed(&mut recount.kernel, &data)?;
        }
        recount.end(task, counting)?;
    }
    Ok(recount)
}

fn header_of(head: &[u8], complete: bool, spec: &Spec) -> anyhow::Result<Option<Header>> {
    read_header(head, complete, spec).map_err(|error| Kind::JobFailed.error(error.to_string()))
}

/// An input that is read from its start to its end.
struct Input {
    from: Box<dyn Read>,
    at: u64,
}

impl Input {
    fn header(&mut self, spec: &Spec) -> anyhow::Result<Header> {
        let mut head = Vec::new();
        let header = loop {
            let before = head.len();
            (&mut self.from).take(64 << 10).read_to_end(&mut head)?;
            let complete = head.len() == before;
            if let Some(header) = header_of(&head, complete, spec)? {
                break header;
            }
            ensure!(!complete, "the input has no header");
        };
        // What was read too far is read again.
        let rest = std::mem::replace(&mut self.from, Box::new(io::empty()));
        self.from = Box::new(io::Cursor::new(head).chain(rest));
        Ok(header)
    }

    fn skip_to(&mut self, offset: u64) -> anyhow::Result<()> {
        let skip = offset.checked_sub(self.at).context("the receipt's tasks are not in order")?;
        let skipped = io::copy(&mut (&mut self.from).take(skip), &mut io::sink())?;
        ensure!(skipped == skip, "the input ends at byte {}", self.at + skipped);
        self.at = offset;
        Ok(())
    }

    /// Makes sure that there is nothing that no task has.
    fn ends(&mut self) -> anyhow::Result<()> {
        let more = io::copy(&mut self.from, &mut io::sink())?;
        if more > 0 {
            let message = format!("the input goes on for {more} bytes behind the last task");
            return Err(Kind::JobFailed.error(message));
        }
        Ok(())
    }
}

/// Tasks that are counted here.
struct Recount {
    kernel: Kernel,
    header: Header,
    spec: Spec,
    folder: TempDir,
    runs: Vec<MergeInput>,
    records: u64,
    wrong: Vec<String>,
}

/// One of them, while its bytes come.
struct Counting {
    run: RunWriter<BufWriter<File>>,
    crc32c: u32,
    bytes: u64,
}

impl Counting {
    fn feed(&mut self, kernel: &mut Kernel, data: &[u8]) -> anyhow::Result<()> {
        self.crc32c = crc32c::crc32c_append(self.crc32c, data);
        self.bytes += data.len() as u64;
        Ok(kernel.feed(data, &mut self.run)?)
    }
}

impl Recount {
    fn new(spec: &Spec, header: Header) -> anyhow::Result<Self> {
        Ok(Self {
            kernel: Kernel::new(spec),
            header,
            spec: spec.clone(),
            folder: tempfile::tempdir()?,
            runs: Vec::new(),
            records: 0,
            wrong: Vec::new(),
        })
    }

    fn task(&mut self, task: &TaskReceipt, input: &mut Input) -> anyhow::Result<()> {
        input.skip_to(task.byte_offset)?;
        let mut counting = self.begin(task)?;
        let mut left = task.bytes;
        let mut piece = vec![0; FRAME_BYTES];
        while left > 0 {
            let len = left.min(FRAME_BYTES as u64) as usize;
            if input.from.read_exact(&mut piece[..len]).is_err() {
                bail!(
                    "the input ends within task {}: it is not the one that was counted",
                    task.number
                );
            }
            counting.feed(&mut self.kernel, &piece[..len])?;
            left -= len as u64;
        }
        input.at += task.bytes;
        self.end(task, counting)
    }

    fn begin(&mut self, task: &TaskReceipt) -> anyhow::Result<Counting> {
        let file = BufWriter::new(File::create(self.path(task.number))?);
        // Nobody looks for the message id here.
        let message_id = MessageId::from_uuid(uuid::Uuid::nil());
        let run = RunWriter::new(file, RunHeader::of(&self.spec, message_id))?;
        self.kernel.begin(task.number, &self.header.layout)?;
        Ok(Counting { run, crc32c: 0, bytes: 0 })
    }

    fn path(&self, number: u32) -> std::path::PathBuf {
        self.folder.path().join(format!("{number}.run"))
    }

    fn end(&mut self, task: &TaskReceipt, counting: Counting) -> anyhow::Result<()> {
        let Counting { mut run, crc32c, bytes } = counting;
        let totals = self.kernel.finish(&mut run)?;
        let (file, summary) = run.finish(totals)?;
        file.into_inner().map_err(io::IntoInnerError::into_error)?;
        self.records += totals.records;
        self.compare(task, (bytes, crc32c), &totals, summary.groups);
        let file = FileAt::open(&self.path(task.number))?;
        let meta = Arc::new(RunMeta::read(&file)?);
        self.runs.push(MergeInput { run: Arc::new(file), meta });
        Ok(())
    }

    fn compare(
        &mut self,
        task: &TaskReceipt,
        (bytes, crc32c): (u64, u32),
        totals: &TaskTotals,
        groups: u64,
    ) {
        let number = task.number;
        let mut differ = |what: &str, found: u64, expected: u64| {
            if found != expected {
                self.wrong
                    .push(format!("task {number}: {what} {found} here, {expected} in the receipt"));
            }
        };
        differ("bytes", bytes, task.bytes);
        differ("CRC-32C", crc32c.into(), task.crc32c.into());
        if let Some(answer) = &task.answer {
            differ("records", totals.records, answer.records);
            differ("rejected", totals.rejects, answer.rejected);
            differ("blank lines", totals.blank_lines, answer.blank_lines);
            differ("groups", groups, answer.groups);
        }
    }

    /// The digest of the result that the runs make.
    fn result(&self, spec: &Spec) -> anyhow::Result<String> {
        let options = MergeOptions {
            threads: std::thread::available_parallelism().map_or(1, usize::from),
            cancelled: &AtomicBool::new(false),
            scratch_dir: Path::new(self.folder.path()),
        };
        let summary = merge_to_csv(spec, &self.runs, &mut io::sink(), &options)?;
        Ok(summary.sha256.iter().map(|byte| format!("{byte:02x}")).collect())
    }
}
