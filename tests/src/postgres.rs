//! A Postgres of the tests' own: a real server on a free loopback port, with its data in a temporary
//! folder, stopped when dropped. It sorts texts as people do, not as bytes, so that a query that leaves
//! the order to the database is found out.
//!
//! The master's unit tests take this file in, too: it needs nothing of the crate that it stands in.

use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, Weak, mpsc};

use tempfile::TempDir;

/// Where Debian has the servers of all versions.
const VERSIONS: &str = "/usr/lib/postgresql";

/// Who a server runs as where the tests run as root: it refuses to be root.
const NOBODY: &str = "nobody";

/// A role with a password. All others are let in without one.
pub const GUARDED: (&str, &str) = ("guarded", "correct-horse");

/// A running server. Stops, and its folder goes, when it is dropped.
pub struct Postgres {
    folder: TempDir,
    port: u16,
    server: Mutex<Option<Child>>,
    made: AtomicU32,
}

impl Postgres {
    /// The server that the tests of this process share while any of them holds it.
    ///
    /// # Panics
    /// Where none can be started.
    pub fn shared() -> Arc<Self> {
        static SHARED: Mutex<Weak<Postgres>> = Mutex::new(Weak::new());
        // A test that failed to start one is no reason for the next not to try.
        let mut shared = SHARED.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if let Some(there) = shared.upgrade() {
            return there;
        }
        let started = Arc::new(Self::start());
        *shared = Arc::downgrade(&started);
        started
    }

    /// A server that nobody else uses, so that it may be stopped in the middle of things.
    ///
    /// # Panics
    /// Where none can be started.
    pub fn start() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder can be made");
        give_to_nobody(folder.path());
        let port = free_port();
        let server = Self { folder, port, server: Mutex::new(None), made: AtomicU32::new(0) };
        server.init();
        server.start_again();
        let (name, password) = GUARDED;
        let role = format!("create role {name} login superuser password '{password}'");
        server.sql("postgres", &role);
        server
    }

    fn init(&self) {
        let data = self.data();
        let mut initdb = self.command("initdb");
        initdb.args(["--username=tally", "--auth=trust", "--encoding=UTF8", "--no-sync"]);
        initdb.args(["--locale=C.UTF-8", "--locale-provider=icu", "--icu-locale=en", "-D"]);
        must(initdb.arg(&data));
        let (guarded, _) = GUARDED;
        let lines = format!(
            "host all {guarded} 127.0.0.1/32 scram-sha-256\nhost all all 127.0.0.1/32 trust\n\
             local all all trust\n"
        );
        std::fs::write(data.join("pg_hba.conf"), lines).expect("the server's folder is ours");
    }

    /// Starts it again on the same port after [`Self::stop`].
    ///
    /// # Panics
    /// Where it does not come up.
    pub fn start_again(&self) {
        let mut command = self.command("postgres");
        command.arg("-D").arg(self.data()).arg("-k").arg(self.folder.path());
        command.args(["-h", "127.0.0.1", "-p", &self.port.to_string(), "-c", "fsync=on"]);
        let server = start_to_last(command);
        *self.server.lock().expect("no test panics with it") = Some(server);
    }

    /// Stops it, and breaks all connections.
    ///
    /// # Panics
    /// Where it does not stop.
    pub fn stop(&self) {
        if let Some(mut server) = self.server.lock().expect("no test panics with it").take() {
            signal("INT", &server);
            server.wait().expect("it is our child");
        }
    }

    /// A new database with nothing in it, as `--store` wants it.
    ///
    /// # Panics
    /// Where none can be made.
    pub fn database(&self) -> String {
        let name = format!("tally_{}", self.made.fetch_add(1, Ordering::Relaxed));
        self.sql("postgres", &format!("create database {name}"));
        self.url("tally", &name)
    }

    /// The URL of one of its databases.
    pub fn url(&self, user: &str, database: &str) -> String {
        format!("postgres://{user}@127.0.0.1:{}/{database}", self.port)
    }

    /// What `psql` says to a statement: a row a line, with `|` between its columns. `database` is a name
    /// or a URL.
    ///
    /// # Panics
    /// Where the server does not like the statement.
    pub fn sql(&self, database: &str, statement: &str) -> String {
        let url = match database.contains("://") {
            true => database.to_owned(),
            false => self.url("tally", database),
        };
        let mut psql = Command::new(bin("psql"));
        psql.args(["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-d", &url, "-c", statement]);
        let said = must(&mut psql);
        String::from_utf8_lossy(&said.stdout).trim_end().to_owned()
    }

    fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// One of the server's programs, as somebody whom it will run for.
    fn command(&self, name: &str) -> Command {
        let mut command = Command::new("setpriv");
        // It goes with the tests, even where they are killed.
        command.args(["--pdeathsig", "INT"]);
        if is_root() {
            let group = said(Command::new("id").args(["-g", NOBODY]));
            command.args(["--reuid", NOBODY, "--regid", &group, "--clear-groups"]);
        }
        command.arg(bin(name)).current_dir(self.folder.path());
        command
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        // Not `stop`: that panics, and this may run while a test does.
        if let Ok(mut server) = self.server.lock()
            && let Some(server) = server.as_mut()
        {
            signal("QUIT", server);
            let _ = server.wait();
        }
    }
}

fn signal(name: &str, to: &Child) {
    // It may have ended by itself.
    let _ = Command::new("kill").args(["-s", name, &to.id().to_string()]).status();
}

/// Starts a server from a thread that stays, and waits until it takes connections: a process that is to go
/// with its parent goes with the thread that started it.
fn start_to_last(mut command: Command) -> Child {
    let (give, take) = mpsc::sync_channel(1);
    std::thread::spawn(move || {
        let mut server = command.stderr(Stdio::piped()).spawn().expect("the program starts");
        let lines = BufReader::new(server.stderr.take().expect("it is piped")).lines();
        let mut server = Some(server);
        for line in lines.map_while(Result::ok) {
            if line.contains("ready to accept connections")
                && let Some(server) = server.take()
            {
                let _ = give.send(server);
            }
            // Captured by the test runner, and so shown only when the test fails.
            eprintln!("[postgres] {line}");
        }
        // It has ended, and nobody hears of it any more.
    });
    take.recv().expect("the server comes up, or says above why not")
}

fn is_root() -> bool {
    said(Command::new("id").arg("-u")) == "0"
}

fn give_to_nobody(folder: &Path) {
    if is_root() {
        let number = |what| said(Command::new("id").args([what, NOBODY])).parse().ok();
        std::os::unix::fs::chown(folder, number("-u"), number("-g")).expect("we are root");
    }
}

/// A port that was free a moment ago.
fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    listener.local_addr().expect("it listens").port()
}

/// A program of the newest version there is.
fn bin(name: &str) -> PathBuf {
    let versions = std::fs::read_dir(VERSIONS).into_iter().flatten().flatten();
    let versions = versions.filter_map(|entry| {
        let version: u32 = entry.file_name().to_str()?.parse().ok()?;
        let path = entry.path().join("bin").join(name);
        path.exists().then_some((version, path))
    });
    let newest = versions.max_by_key(|(version, _)| *version);
    newest.expect("no Postgres is installed: run ./test, which installs it").1
}

fn must(command: &mut Command) -> Output {
    let output = command.output().expect("the program starts");
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {error}");
    output
}

fn said(command: &mut Command) -> String {
    String::from_utf8_lossy(&must(command).stdout).trim().to_owned()
}
