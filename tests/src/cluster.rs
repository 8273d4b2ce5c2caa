//! A master and its slaves as processes.

use std::cell::Cell;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::Arc;

use serde_json::Value;
use tempfile::TempDir;

use crate::http::Trust;
use crate::process::{Process, tally};
use crate::{Http, Postgres, eventually};

/// How the processes of a cluster are started.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Most address space that a process may have, in bytes.
    pub memory: Option<u64>,
    /// Environment of the master.
    pub envs: Vec<(String, String)>,
    /// More flags of the master.
    pub flags: Vec<String>,
    /// Environment of the slaves.
    pub slave_envs: Vec<(String, String)>,
    /// More flags of the slaves.
    pub slave_flags: Vec<String>,
    /// More flags of client commands.
    pub client_flags: Vec<String>,
    /// How the gateway is reached, where the master speaks TLS.
    pub tls: Option<Trust>,
    /// The master's data folder, if not within the cluster's own.
    pub data_dir: Option<PathBuf>,
    /// The URL of the master's store, if that is not a file in its data folder.
    pub store: Option<String>,
}

thread_local! {
    static ON_POSTGRES: Cell<bool> = const { Cell::new(false) };
}

/// Runs a test with a Postgres under the masters that it starts on this thread: an empty database for each
/// cluster. `TALLY_TEST_STORE=postgres` does the same for all tests.
pub fn on_postgres(test: impl FnOnce()) {
    /// Also where the test fails: the next one may run on the same thread.
    struct Until;
    impl Drop for Until {
        fn drop(&mut self) {
            ON_POSTGRES.set(false);
        }
    }
    ON_POSTGRES.set(true);
    let _until = Until;
    test();
}

fn wants_postgres() -> bool {
    ON_POSTGRES.get() || std::env::var_os("TALLY_TEST_STORE").is_some_and(|kind| kind == "postgres")
}

impl Options {
    fn command(&self) -> Command {
        let plain = tally();
        let Some(bytes) = self.memory else { return plain };
        let mut limited = Command::new("prlimit");
        limited.arg(format!("--as={bytes}")).arg(plain.get_program());
        for (name, value) in plain.get_envs() {
            match value {
                Some(value) => limited.env(name, value),
                None => limited.env_remove(name),
            };
        }
        limited
    }
}

/// A running cluster. Everything stops, and its folder goes, when it is dropped.
pub struct Cluster {
    folder: TempDir,
    options: Options,
    master: Process,
    grpc: String,
    http: String,
    slaves: Vec<Process>,
    started: usize,
    store: Option<String>,
    /// Goes after the master.
    _server: Option<Arc<Postgres>>,
}

impl Cluster {
    /// A master and `slaves` slaves of one worker each, all joined.
    pub fn start(slaves: usize) -> Self {
        Self::start_with(slaves, Options::default())
    }

    /// The same, with options.
    ///
    /// # Panics
    /// Where it does not come up.
    pub fn start_with(slaves: usize, options: Options) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder can be made");
        let data = options.data_dir.clone().unwrap_or_else(|| folder.path().join("data"));
        let server = (options.store.is_none() && wants_postgres()).then(Postgres::shared);
        let made = server.as_ref().map(|server| server.database());
        let store = options.store.clone().or(made);
        let (grpc, http) = ("127.0.0.1:0", "127.0.0.1:0");
        let started = try_start_master(&data, grpc, http, &options, store.as_deref());
        let (master, grpc, http) = started.expect("the master comes up");
        let mut cluster = Self {
            folder,
            options,
            master,
            grpc,
            http,
            slaves: Vec::new(),
            started: 0,
            store,
            _server: server,
        };
        for _ in 0..slaves {
            cluster.add_slave(1);
        }
        cluster.wait_for_slaves(slaves);
        cluster
    }

    /// Starts one more slave, and does not wait until it has joined.
    pub fn add_slave(&mut self, workers: u32) -> &mut Process {
        let name = format!("slave-{}", self.started);
        self.started += 1;
        let mut command = self.options.command();
        command.args(["slave", "--master", &self.grpc, "--name", &name]);
        command.args(["--workers", &workers.to_string()]).args(&self.options.slave_flags);
        command.envs(self.options.slave_envs.iter().cloned());
        self.slaves.push(Process::start(&name, command));
        self.slaves.last_mut().expect("one has just been pushed")
    }

    /// The same, through a proxy or another way to the master.
    pub fn add_slave_via(&mut self, url: &str, workers: u32) -> &mut Process {
        let direct = std::mem::replace(&mut self.grpc, url.to_owned());
        self.add_slave(workers);
        self.grpc = direct;
        self.slaves.last_mut().expect("one has just been added")
    }

    /// Waits until `count` slaves are joined, no more and no less.
    pub fn wait_for_slaves(&self, count: usize) {
        eventually("the slaves to join", || (self.slaves_now().len() == count).then_some(()));
    }

    /// The slaves as the master shows them.
    pub fn slaves_now(&self) -> Vec<Value> {
        let answer = self.http().get("/api/v1/slaves").json();
        answer["slaves"].as_array().cloned().unwrap_or_default()
    }

    /// The processes of the slaves, in the order in which they were started.
    pub fn slaves(&mut self) -> &mut [Process] {
        &mut self.slaves
    }

    /// The master's process.
    pub fn master(&mut self) -> &mut Process {
        &mut self.master
    }

    /// Stops the master as `how` says and starts it again on the same ports and folder.
    pub fn restart_master(&mut self, how: impl FnOnce(&mut Process)) {
        how(&mut self.master);
        assert!(self.start_master_again(), "the master comes up");
    }

    /// Starts a master that has ended again, on the same ports and folder. `false` where it dies
    /// before it listens.
    pub fn start_master_again(&mut self) -> bool {
        let (grpc, http) = (without_scheme(&self.grpc), without_scheme(&self.http));
        let (grpc, http) = (grpc.to_owned(), http.to_owned());
        let data = self.data_dir();
        let store = self.store.as_deref();
        let started = try_start_master(&data, &grpc, &http, &self.options, store);
        let Some((master, ..)) = started else { return false };
        self.master = master;
        true
    }

    fn data_dir(&self) -> PathBuf {
        self.options.data_dir.clone().unwrap_or_else(|| self.folder.path().join("data"))
    }

    /// How processes are started from now on.
    pub fn set_options(&mut self, options: Options) {
        self.options = options;
    }

    /// The URL of the master's store, where that is a Postgres.
    pub fn store(&self) -> Option<&str> {
        self.store.as_deref()
    }

    /// The gateway.
    pub fn http(&self) -> Http {
        Http::new(&self.http).trusting(self.options.tls.as_ref())
    }

    /// Where the master listens for gRPC, as a URL.
    pub fn grpc(&self) -> &str {
        &self.grpc
    }

    /// A path in the cluster's temporary folder.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Runs a client command against the master to its end.
    ///
    /// # Panics
    /// Where it can not be started.
    pub fn run<S: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = S>) -> Output {
        let mut command = self.options.command();
        command.args(args).args(["--master", &self.grpc]).args(&self.options.client_flags);
        command.output().expect("the tally binary starts")
    }

    /// Submits a file over gRPC, waits, and gives the result.
    ///
    /// # Panics
    /// Where the job does not succeed.
    pub fn count(&self, file: &Path, more: &[&str]) -> Vec<u8> {
        let out = self.path("out.csv");
        let args = [OsStr::new("submit"), file.as_os_str(), OsStr::new("--wait"), OsStr::new("-o")];
        let args = args.into_iter().chain([out.as_os_str()]);
        let output = self.run(args.chain(more.iter().map(OsStr::new)));
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let result = std::fs::read(&out).expect("the result is there");
        std::fs::remove_file(&out).expect("the result can be removed");
        result
    }
}

/// The address and port of a URL.
pub(crate) fn without_scheme(url: &str) -> &str {
    url.split_once("://").map_or(url, |(_, rest)| rest)
}

fn try_start_master(
    data: &Path,
    grpc: &str,
    http: &str,
    options: &Options,
    store: Option<&str>,
) -> Option<(Process, String, String)> {
    let mut command = options.command();
    command.arg("master").arg("--data-dir").arg(data).args(["--grpc", grpc, "--http", http]);
    command.envs(store.map(|url| ("TALLY_STORE", url)));
    command.args(&options.flags).envs(options.envs.iter().cloned());
    let mut master = Process::start("master", command);
    let url = |line: String| {
        let url = line.split_whitespace().find(|word| word.starts_with("http"));
        // In a log of JSON it ends with the text that it stands in.
        let url = url.and_then(|url| url.split('"').next());
        url.expect("the line names a URL").to_owned()
    };
    let grpc = url(master.says_or_ends("gRPC on http")?);
    let http = url(master.says_or_ends("HTTP on http")?);
    Some((master, grpc, http))
}
