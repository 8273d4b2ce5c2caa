//! The command line.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Parser, Subcommand, ValueEnum};

use tally_common::api::Priority;
use tally_common::id::JobId;
use tally_common::limits::MAX_WORKERS;
use tally_master::fetch::SourcePrefix;
use tally_master::sources::SourceDraft;

use crate::commands::certs::CertsArgs;
use crate::commands::doctor::DoctorArgs;
use crate::commands::keys::KeysArgs;
use crate::commands::list::StatusArgs;
use crate::commands::manual::{CompletionsArgs, ManArgs};
use crate::commands::query::{QueryArgs, Rows};
use crate::commands::slaves::SlavesArgs;
use crate::commands::source::SourceArgs;
use crate::commands::table::TableArgs;
use crate::commands::top::TopArgs;
pub(crate) use crate::dial_args::MasterAddress;
use crate::dial_args::{MasterUrl, TlsArgs, TokenArgs};
use crate::exit;
use crate::generate::GenerateArgs;
use crate::spec_args::SpecArgs;
use crate::tls_args::ServerTlsArgs;

/// Counts CSV files of any size on any number of machines, exactly
#[derive(Debug, Parser)]
#[command(name = "tally", version, after_help = exit::HELP, max_term_width = 100)]
pub(crate) struct Args {
    /// How answers are shown
    #[arg(long, global = true, value_enum, default_value = "table", env = "TALLY_OUTPUT")]
    pub(crate) output: OutputFormat,
    /// What is logged to stderr: error, warn, info, debug, trace, or a filter such as
    /// tally_master=debug [default: info for master and slave, else warn]
    #[arg(long, global = true, value_name = "LEVEL", env = "TALLY_LOG")]
    pub(crate) log: Option<String>,
    /// How that is written: a text for people, or a JSON object a line
    #[arg(long, global = true, value_enum, default_value = "text", env = "TALLY_LOG_FORMAT")]
    pub(crate) log_format: LogFormat,
    /// Config file (TOML): a table for each subcommand, with keys named as its flags [default:
    /// ./tally.toml or ~/.config/tally/config.toml, where there is one]
    #[arg(long, global = true, value_name = "FILE", env = "TALLY_CONFIG")]
    pub(crate) config: Option<PathBuf>,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// How answers are shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum OutputFormat {
    /// For people
    Table,
    /// For programs: the JSON of the HTTP reference
    Json,
}

/// How the log is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogFormat {
    /// For people
    Text,
    /// For programs: an object a line
    Json,
}

/// Where spans go.
#[derive(Clone, Debug, Default, clap::Args)]
pub(crate) struct SpanArgs {
    /// Send spans to the OpenTelemetry collector at this URL, by OTLP over gRPC, such as
    /// http://127.0.0.1:4317
    #[cfg(feature = "otlp")]
    #[arg(long, value_name = "URL", env = "TALLY_OTLP")]
    pub(crate) otlp: Option<String>,
}

/// How bytes are compressed between a slave and its master.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Compress {
    /// Not at all: right for links of 1 Gbit/s and more
    None,
    /// To about a quarter
    Zstd,
    /// To about two fifths, at a little less CPU time
    Lz4,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run a master
    Master(Box<MasterArgs>),
    /// Say who may ask a master for what: keys, and the token of its slaves
    Keys(KeysArgs),
    /// Run a slave that counts for a master
    Slave(SlaveArgs),
    /// Count files here and now: master and slaves in this process, no port opened
    Count(CountArgs),
    /// Look at the beginning of a file: whether it can be counted, and what that will take
    Preflight(PreflightArgs),
    /// Submit a file to a master
    Submit(SubmitArgs),
    /// Show one job, or all
    Status(StatusArgs),
    /// Follow a job until it has ended
    Watch(JobArgs),
    /// Download the result of a job
    Result(ResultArgs),
    /// Show some rows of a result
    Query(QueryArgs),
    /// Download the records that a job could not count
    Rejects(DownloadArgs),
    /// Show what a job's records came to, task by task
    Receipt(JobArgs),
    /// Count a job's input once more, here, and compare
    Verify(VerifyArgs),
    /// Submit corrected rejects of a job, which are added to its result
    Repair(RepairArgs),
    /// Cancel a job
    Cancel(JobArgs),
    /// Remove a job and all its bytes
    Delete(JobArgs),
    /// Ask whether a master serves, as probes do
    Health(MasterAddress),
    /// Show the slaves that are joined
    Slaves(SlavesArgs),
    /// Watch places for new data: be one, or look at those that a master watches
    Source(SourceArgs),
    /// Keep keyed rows in a master, and change them by operations
    Table(TableArgs),
    /// Watch the cluster on this terminal: rates, jobs, slaves
    Top(TopArgs),
    /// Send operations or files to an AMQP broker, from which a master takes them
    #[cfg(feature = "broker")]
    Publish(crate::commands::publish::PublishArgs),
    /// Make certificates for TLS: an authority, and those that it vouches for
    Certs(CertsArgs),
    /// Make test data
    Generate(GenerateArgs),
    /// Copy a master's data folder while it runs
    Backup(BackupArgs),
    /// Make a data folder of such a copy
    Restore(RestoreArgs),
    /// Look for what keeps a cluster from working, and say what to do
    Doctor(DoctorArgs),
    /// Print a completion script for a shell
    Completions(CompletionsArgs),
    /// Print the manual page, or write all of them to a folder
    Man(ManArgs),
}

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Example:
  tally master --data-dir /var/lib/tally &
  tally slave --workers 4 &
  tally submit plays.csv --wait -o totals.csv")]
pub(crate) struct MasterArgs {
    /// Where inputs, runs and results are kept
    #[arg(long, value_name = "DIR", default_value = "tally-data", env = "TALLY_DATA_DIR")]
    pub(crate) data_dir: PathBuf,
    /// Keep the jobs in this Postgres, and their files in the data folder: postgres://USER@HOST:PORT/DATABASE.
    /// A password is best given by PGPASSWORD, or in the file that PGPASSFILE names [default: a file in
    /// the data folder, tally.db]
    // It may hold a password all the same.
    #[arg(
        long,
        value_name = "URL",
        env = "TALLY_STORE",
        hide_env_values = true,
        hide_default_value = true
    )]
    pub(crate) store: Option<String>,
    /// Where to listen for slaves and gRPC clients; port 0 takes a free one
    #[arg(long, value_name = "ADDR:PORT", default_value = "127.0.0.1:7070", env = "TALLY_GRPC")]
    pub(crate) grpc: SocketAddr,
    /// Also listen for slaves and gRPC clients on this Unix socket: those on the same machine reach the
    /// master at unix:PATH, which costs less than TCP
    #[arg(long, value_name = "PATH", env = "TALLY_GRPC_SOCKET")]
    pub(crate) grpc_socket: Option<PathBuf>,
    /// Where to listen for HTTP; port 0 takes a free one
    #[arg(long, value_name = "ADDR:PORT", default_value = "127.0.0.1:8080", env = "TALLY_HTTP")]
    pub(crate) http: SocketAddr,
    #[command(flatten)]
    pub(crate) tls: ServerTlsArgs,
    /// Listen on an address that others can reach although there are no keys, so that nothing keeps them
    /// from reading and deleting jobs; where there are keys, they are asked for all the same
    #[arg(long, env = "TALLY_INSECURE")]
    pub(crate) insecure: bool,
    /// Where the keys are, as tally keys makes them [default: keys.json in the data folder]
    #[arg(long, value_name = "FILE", env = "TALLY_KEYS")]
    pub(crate) keys: Option<PathBuf>,
    /// Where the tokens of slaves are, one a line [default: join-token in the data folder, which is made]
    #[arg(long, value_name = "FILE", env = "TALLY_JOIN_TOKENS")]
    pub(crate) join_tokens: Option<PathBuf>,
    /// Requests in a second that a key may make that has no limit of its own [default: no limit]
    #[arg(long, value_name = "N", env = "TALLY_KEY_REQUESTS_PER_SECOND",
        value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) key_requests_per_second: Option<u32>,
    /// Requests that such a key may make at once [default: twice as many as in a second]
    #[arg(long, value_name = "N", env = "TALLY_KEY_BURST", requires = "key_requests_per_second",
        value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) key_burst: Option<u32>,
    /// Jobs that a key may have at a time which have not ended, that has no limit of its own; and a client's
    /// certificate [default: no limit]
    #[arg(long, value_name = "N", env = "TALLY_KEY_MAX_JOBS",
        value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) key_max_jobs: Option<u32>,
    /// Input that such a key or certificate may send in a day (UTC), as it is sent: bytes, or with kB, MB, GB
    /// [default: no limit]
    #[arg(long, value_name = "SIZE", value_parser = size, env = "TALLY_KEY_BYTES_PER_DAY")]
    pub(crate) key_bytes_per_day: Option<u64>,
    /// Answer /metrics and /health without a key
    #[arg(long, env = "TALLY_PUBLIC_METRICS")]
    pub(crate) public_metrics: bool,
    /// Let slaves on this machine, or on others that share its file system, read tasks where they lie
    /// instead of having them sent: those that are started with --read-spool
    #[arg(long, env = "TALLY_SHARE_SPOOL")]
    pub(crate) share_spool: bool,
    /// Count files in this folder where they lie, if that is asked for (submit --in-place): they must not
    /// be changed meanwhile; may be repeated
    #[arg(long = "input-dir", value_name = "DIR", env = "TALLY_INPUT_DIR", value_delimiter = ',')]
    pub(crate) input_dirs: Vec<PathBuf>,
    /// Write results to files in this folder, if that is asked for (submit --result-in-place); may be
    /// repeated
    #[arg(
        long = "output-dir",
        value_name = "DIR",
        env = "TALLY_OUTPUT_DIR",
        value_delimiter = ','
    )]
    pub(crate) output_dirs: Vec<PathBuf>,
    /// A name by which browsers reach this master, where it is not one of this machine, as behind a proxy: pages
    /// of other sites may not change anything here; may be repeated
    #[arg(long = "http-host", value_name = "NAME", env = "TALLY_HTTP_HOST", value_delimiter = ',')]
    pub(crate) http_hosts: Vec<String>,
    /// Fetch inputs from URLs that begin like this, if that is asked for: scheme, host and port must be
    /// the same, and the path as far as it goes; may be repeated
    #[arg(
        long = "allow-source",
        value_name = "URL-PREFIX",
        env = "TALLY_ALLOW_SOURCE",
        value_delimiter = ','
    )]
    pub(crate) sources: Vec<SourcePrefix>,
    /// Watch this place for new data: name=NAME,url=URL (or path=PATH),table=TABLE (or preset=PRESET), and
    /// more, as the [[source]] tables of the config file have it; may be repeated
    #[arg(long = "source", value_name = "KEY=VALUE,…", env = "TALLY_SOURCE")]
    pub(crate) watch: Vec<SourceDraft>,
    /// Seconds that such a source may be silent
    #[arg(long, value_name = "SECONDS", default_value = "60", value_parser = seconds, hide = true,
        env = "TALLY_SOURCE_TIMEOUT")]
    pub(crate) source_timeout: Duration,
    /// Largest upload, as it is sent: bytes, or with kB, MB, GB [default: as much as the disk takes]
    #[arg(long, value_name = "SIZE", value_parser = size, env = "TALLY_MAX_INPUT")]
    pub(crate) max_input: Option<u64>,
    /// Threads that merge one job's runs [default: as many as there are cores]
    #[arg(long, value_name = "N", env = "TALLY_MERGE_THREADS",
        value_parser = clap::value_parser!(u32).range(1..=256))]
    pub(crate) merge_threads: Option<u32>,
    /// Days that a job is kept after its end
    #[arg(long, value_name = "DAYS", default_value = "7", value_parser = days,
        env = "TALLY_RETAIN_DAYS")]
    pub(crate) retain_days: Duration,
    /// Hours that a broken upload may wait to be taken up again
    #[arg(long, value_name = "HOURS", default_value = "24", value_parser = hours,
        env = "TALLY_UPLOAD_HOURS")]
    pub(crate) upload_hours: Duration,
    /// Space on the disk that is left free: bytes, or with kB, MB, GB
    #[arg(long, value_name = "SIZE", default_value = "256MB", value_parser = size,
        env = "TALLY_DISK_RESERVE")]
    pub(crate) disk_reserve: u64,
    /// Jobs that may be open at a time; more are told to come back
    #[arg(long, value_name = "N", default_value = "10000", env = "TALLY_MAX_JOBS",
        value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) max_jobs: u32,
    /// Uploads that may be under way at a time; more are told to come back
    #[arg(long, value_name = "N", default_value = "64", env = "TALLY_MAX_UPLOADS",
        value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) max_uploads: u32,
    /// Size that tasks should have, in place of what fits input and cluster: for tests and experiments
    #[arg(long, value_name = "SIZE", value_parser = size, hide = true, env = "TALLY_TASK_BYTES")]
    pub(crate) task_bytes: Option<u64>,
    /// Have so many of a hundred tasks counted once more, by another slave, and set slaves aside whose
    /// answers are false; no slave can tell which tasks
    #[arg(long, value_name = "PERCENT", default_value = "0", value_parser = percent,
        env = "TALLY_VERIFY_SAMPLE")]
    pub(crate) verify_sample: f64,
    /// Seconds between two looks for what may be removed
    #[arg(long, value_name = "SECONDS", default_value = "30", value_parser = seconds, hide = true,
        env = "TALLY_SWEEP")]
    pub(crate) sweep: Duration,
    /// Seconds that a client may take over its first bytes, and over the headers of a request
    #[arg(long, value_name = "SECONDS", default_value = "30", value_parser = seconds, hide = true,
        env = "TALLY_HEADER_TIMEOUT")]
    pub(crate) header_timeout: Duration,
    /// Seconds of waiting over which the least rate of a body is taken, while places are scarce
    #[arg(long, value_name = "SECONDS", default_value = "30", value_parser = seconds, hide = true,
        env = "TALLY_PACE_WINDOW")]
    pub(crate) pace_window: Duration,
    #[cfg(feature = "broker")]
    #[command(flatten)]
    pub(crate) broker: crate::broker_args::BrokerArgs,
    #[command(flatten)]
    pub(crate) spans: SpanArgs,
}

#[derive(Debug, clap::Args)]
pub(crate) struct SlaveArgs {
    #[command(flatten)]
    pub(crate) master: MasterUrl,
    #[command(flatten)]
    pub(crate) tls: TlsArgs,
    #[command(flatten)]
    pub(crate) token: TokenArgs,
    /// Threads that count [default: as many as there are cores]
    #[arg(long, value_name = "N", env = "TALLY_WORKERS",
        value_parser = clap::value_parser!(u32).range(1..=i64::from(MAX_WORKERS)))]
    pub(crate) workers: Option<u32>,
    /// A name for people [default: the host's name and the process id]
    #[arg(long, env = "TALLY_NAME")]
    pub(crate) name: Option<String>,
    /// Where the master's --data-dir is found here, or one of its --input-dir; may be repeated. Tasks are
    /// read there, if the master lets slaves do so (--share-spool), and else sent as ever
    #[arg(long, value_name = "DIR", env = "TALLY_READ_SPOOL", value_delimiter = ',')]
    pub(crate) read_spool: Vec<PathBuf>,
    /// Compress what is sent between this slave and the master: for links slower than about 1 Gbit/s,
    /// since it costs CPU time on both sides
    #[arg(long, value_name = "HOW", value_enum, default_value = "none", env = "TALLY_COMPRESS")]
    pub(crate) compress: Compress,
    /// A label for people; may be repeated
    #[arg(long = "label", value_name = "KEY=VALUE", value_parser = label)]
    pub(crate) labels: Vec<(String, String)>,
    /// Seconds that finishing what it holds may take when it is told to stop
    #[arg(long, value_name = "SECONDS", default_value = "30", value_parser = seconds,
        env = "TALLY_GRACE")]
    pub(crate) grace: Duration,
    #[command(flatten)]
    pub(crate) spans: SpanArgs,
}

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  tally count plays.csv -o totals.csv
  tally count jan.csv feb.csv.gz --order first-seen
  zcat plays.gz | tally count - | head
  tally count sales.csv --group-by Shop,Article:integer --sum Price=Revenue --count Sales")]
pub(crate) struct CountArgs {
    /// Files to count together, plain, gzip or zstd; - is stdin
    #[arg(required = true, value_name = "FILE")]
    pub(crate) files: Vec<PathBuf>,
    /// Where the totals go; - is stdout
    #[arg(short = 'o', long = "out", value_name = "FILE", default_value = "-")]
    pub(crate) out: PathBuf,
    #[command(flatten)]
    pub(crate) spec: SpecArgs,
    /// Threads that count [default: as many as there are cores]
    #[arg(long, value_name = "N", env = "TALLY_WORKERS",
        value_parser = clap::value_parser!(u32).range(1..=i64::from(MAX_WORKERS)))]
    pub(crate) workers: Option<u32>,
    /// Where to list the records that could not be counted
    #[arg(long, value_name = "FILE")]
    pub(crate) rejects: Option<PathBuf>,
    /// Where to keep intermediate files, about as large as the result [default: beside OUT, else
    /// the system's folder for temporary files]
    #[arg(long, value_name = "DIR", env = "TALLY_SCRATCH_DIR")]
    pub(crate) scratch_dir: Option<PathBuf>,
}

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  tally preflight plays.csv
  tally preflight sales.csv.gz --group-by Shop,Article:integer --sum Price=Revenue")]
pub(crate) struct PreflightArgs {
    /// File to look at, plain, gzip or zstd; - is stdin
    pub(crate) file: PathBuf,
    #[command(flatten)]
    pub(crate) spec: SpecArgs,
}

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  tally submit plays.csv --wait -o totals.csv
  tally submit huge.csv.zst --priority low        (prints the job's id)
  tally submit /srv/plays/2026.csv --in-place --wait -o /srv/totals/2026.csv --result-in-place
                                                  (the master reads and writes them itself)")]
pub(crate) struct SubmitArgs {
    /// File to count, plain, gzip or zstd; - is stdin
    pub(crate) file: PathBuf,
    #[command(flatten)]
    pub(crate) master: MasterAddress,
    /// Wait until the job has ended, and download its result
    #[arg(long)]
    pub(crate) wait: bool,
    /// Where the totals go with --wait; - is stdout
    #[arg(short = 'o', long = "out", value_name = "FILE", default_value = "-")]
    pub(crate) out: PathBuf,
    #[command(flatten)]
    pub(crate) spec: SpecArgs,
    /// Which jobs go first: high, default, low
    #[arg(long, default_value = "default", value_parser = priority, env = "TALLY_PRIORITY")]
    pub(crate) priority: Priority,
    /// A name for people [default: the file's]
    #[arg(long)]
    pub(crate) name: Option<String>,
    /// Names this submission: a repeat gets the first one's job [default: a new UUID]
    #[arg(long, value_name = "ID")]
    pub(crate) message_id: Option<String>,
    /// Keep the input on the master as long as the result, so that the job can be verified from it
    #[arg(long, env = "TALLY_KEEP_INPUT")]
    pub(crate) keep_input: bool,
    /// Do not upload the file: the master counts it where it lies, under the same name on its machine, in
    /// a folder that it was given by --input-dir
    #[arg(long)]
    pub(crate) in_place: bool,
    /// Do not download the result: the master writes it to OUT, under the same name on its machine, in a
    /// folder that it was given by --output-dir
    #[arg(long)]
    pub(crate) result_in_place: bool,
    /// Seconds to go on trying when the connection breaks
    #[arg(long, value_name = "SECONDS", default_value = "300", value_parser = seconds,
        env = "TALLY_RETRY_FOR")]
    pub(crate) retry_for: Duration,
}

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  tally verify 0199… --input plays.csv      (counts the original file once more)
  tally verify 0199… --tasks 0,7            (two tasks, from the input that the master has kept)")]
pub(crate) struct BackupArgs {
    /// Where the copy goes: a folder that is empty or not there
    #[arg(value_name = "DIR")]
    pub(crate) to: PathBuf,
    /// The folder to copy: that of a master, which may be running
    #[arg(long, value_name = "DIR", default_value = "tally-data", env = "TALLY_DATA_DIR")]
    pub(crate) data_dir: PathBuf,
}

#[derive(Debug, clap::Args)]
pub(crate) struct RestoreArgs {
    /// The copy
    #[arg(value_name = "BACKUP")]
    pub(crate) from: PathBuf,
    /// The data folder to make: it must be empty, or not be there
    #[arg(long, value_name = "DIR", env = "TALLY_DATA_DIR")]
    pub(crate) data_dir: PathBuf,
}

#[derive(Debug, clap::Args)]
pub(crate) struct VerifyArgs {
    /// The job
    pub(crate) job: JobId,
    #[command(flatten)]
    pub(crate) master: MasterAddress,
    /// The original file, plain, gzip or zstd [default: what the master has kept of it]
    #[arg(long, value_name = "FILE")]
    pub(crate) input: Option<PathBuf>,
    /// The tasks to count, by number [default: all of them, and then also the result]
    #[arg(long, value_name = "N", value_delimiter = ',')]
    pub(crate) tasks: Vec<u32>,
}

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  tally rejects 0199… -o rejects.csv        (what could not be counted, and why)
  tally repair 0199… fixed.csv -o totals.csv")]
pub(crate) struct RepairArgs {
    /// The job whose rejects are corrected
    pub(crate) job: JobId,
    /// The corrected records, with a header as the input's
    pub(crate) file: PathBuf,
    #[command(flatten)]
    pub(crate) master: MasterAddress,
    /// Where the job's new totals go; - is stdout; without this they are not downloaded
    #[arg(short = 'o', long = "out", value_name = "FILE")]
    pub(crate) out: Option<PathBuf>,
    /// Names this submission: a repeat gets the first one's job [default: a new UUID]
    #[arg(long, value_name = "ID")]
    pub(crate) message_id: Option<String>,
    /// Seconds to go on trying when the connection breaks
    #[arg(long, value_name = "SECONDS", default_value = "300", value_parser = seconds,
        env = "TALLY_RETRY_FOR")]
    pub(crate) retry_for: Duration,
}

#[derive(Debug, clap::Args)]
pub(crate) struct JobArgs {
    /// The job
    pub(crate) job: JobId,
    #[command(flatten)]
    pub(crate) master: MasterAddress,
}

#[derive(Debug, clap::Args)]
pub(crate) struct DownloadArgs {
    /// The job
    pub(crate) job: JobId,
    #[command(flatten)]
    pub(crate) master: MasterAddress,
    /// Where it goes; - is stdout
    #[arg(short = 'o', long = "out", value_name = "FILE", default_value = "-")]
    pub(crate) out: PathBuf,
    /// For spreadsheets: texts that they would take for formulas begin with an apostrophe
    #[arg(long)]
    pub(crate) formula_safe: bool,
    #[command(flatten)]
    pub(crate) rows: Rows,
}

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  tally result 0199… -o totals.csv
  tally result 0199… --limit 20             (a page of it; the next one with --offset 20)
  tally result 0199… --partial --limit 20   (of what has been counted so far)")]
pub(crate) struct ResultArgs {
    #[command(flatten)]
    pub(crate) download: DownloadArgs,
    /// Some rows of what has been counted so far, where the job has not ended
    #[arg(long)]
    pub(crate) partial: bool,
}

fn label(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').ok_or("a label is KEY=VALUE")?;
    Ok((key.to_owned(), value.to_owned()))
}

pub(crate) fn seconds(text: &str) -> Result<Duration, String> {
    let number = text.strip_suffix('s').unwrap_or(text);
    let seconds: f64 = number.parse().map_err(|_| "a number of seconds is wanted".to_owned())?;
    Duration::try_from_secs_f64(seconds).map_err(|error| error.to_string())
}

fn percent(text: &str) -> Result<f64, String> {
    let percent = text.parse().map_err(|_| "not a number".to_owned())?;
    if (0.0..=100.0).contains(&percent) {
        Ok(percent)
    } else {
        Err("a share is from 0 to 100".to_owned())
    }
}

fn days(text: &str) -> Result<Duration, String> {
    scaled(text, 24.0 * 3600.0, "days")
}

fn hours(text: &str) -> Result<Duration, String> {
    scaled(text, 3600.0, "hours")
}

fn scaled(text: &str, seconds: f64, what: &str) -> Result<Duration, String> {
    let number: f64 = text.parse().map_err(|_| format!("a number of {what} is wanted"))?;
    Duration::try_from_secs_f64(number * seconds).map_err(|error| error.to_string())
}

pub(crate) fn size(text: &str) -> Result<u64, String> {
    crate::generate::parse_size(text)
}

pub(crate) fn priority(text: &str) -> Result<Priority, String> {
    Priority::parse(text).ok_or_else(|| "high, default and low are".to_owned())
}
