//! One `tally` process: started, listened to, signalled, and never left behind.

use std::ffi::OsStr;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use rustix::process::{Pid, Signal, kill_process};

use crate::{binary, eventually};

/// A command that runs `tally` with nothing of this environment that it would listen to.
pub fn tally() -> Command {
    let mut command = Command::new(binary());
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("TALLY_") {
            command.env_remove(name);
        }
    }
    command.env("NO_COLOR", "1").env("HOME", "/nonexistent").stdin(Stdio::null());
    command
}

/// A process that runs until it is stopped. Killed when dropped.
pub struct Process {
    name: String,
    child: Child,
    log: Arc<Mutex<Vec<String>>>,
    /// Reads what it says, until there is no more.
    reader: JoinHandle<()>,
}

impl Process {
    /// Starts `command`; what it says on stderr is kept, and shown when a test fails.
    ///
    /// # Panics
    /// Where it can not be started.
    pub fn start(name: &str, mut command: Command) -> Self {
        command.stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("the tally binary starts");
        let stderr = child.stderr.take().expect("stderr is piped");
        let log = Arc::new(Mutex::new(Vec::new()));
        let (lines, who) = (Arc::clone(&log), name.to_owned());
        let reader = std::thread::spawn(move || {
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                // Captured by the test runner, and so shown only when the test fails.
                eprintln!("[{who}] {line}");
                lines.lock().expect("no reader panics").push(line);
            }
        });
        Self { name: name.to_owned(), child, log, reader }
    }

    /// Waits until it has said a line that holds `text`, and gives the line.
    ///
    /// # Panics
    /// When it does not, or stops before.
    pub fn says(&mut self, text: &str) -> String {
        self.says_or_ends(text).unwrap_or_else(|| {
            panic!("{} ended before it said {text:?}: {:?}", self.name, self.log.lock())
        })
    }

    /// The same; `None` where it stops before.
    ///
    /// # Panics
    /// When it does neither.
    pub fn says_or_ends(&mut self, text: &str) -> Option<String> {
        let what = format!("{} to say {text:?}", self.name);
        eventually(&what, || {
            // Its last words may still be on their way when it has ended.
            let ended = self.has_ended() && self.reader.is_finished();
            let log = self.log.lock().expect("no writer panics");
            match log.iter().find(|line| line.contains(text)) {
                Some(line) => Some(Some(line.clone())),
                None => ended.then_some(None),
            }
        })
    }

    /// How many lines that hold `text` it has said so far.
    ///
    /// # Panics
    /// Never: who writes the lines does not panic.
    pub fn said(&self, text: &str) -> usize {
        let log = self.log.lock().expect("no writer panics");
        log.iter().filter(|line| line.contains(text)).count()
    }

    /// All that it has said so far.
    ///
    /// # Panics
    /// Never: who writes the lines does not panic.
    pub fn log(&self) -> Vec<String> {
        self.log.lock().expect("no writer panics").clone()
    }

    /// Whether it has stopped.
    ///
    /// # Panics
    /// Where the system does not say.
    pub fn has_ended(&mut self) -> bool {
        self.child.try_wait().expect("it is our child").is_some()
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Sends it a signal.
    ///
    /// # Panics
    /// Where it is gone.
    pub fn signal(&self, signal: Signal) {
        let pid = Pid::from_child(&self.child);
        kill_process(pid, signal).expect("the process is there");
    }

    /// Kills it with SIGKILL and waits for its end.
    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Asks it to stop with SIGTERM and waits until it has.
    pub fn stop(&mut self) -> ExitStatus {
        self.signal(Signal::TERM);
        self.ended()
    }

    /// Waits for its end.
    ///
    /// # Panics
    /// Where it does not come.
    pub fn ended(&mut self) -> ExitStatus {
        let what = format!("{} to end", self.name);
        eventually(&what, || self.child.try_wait().expect("it is our child"))
    }

    /// The most memory that it has had at a time, in bytes, while it is still there.
    ///
    /// # Panics
    /// Where it is gone.
    pub fn peak_memory(&self) -> u64 {
        self.status("VmHWM:")
    }

    /// The same without the pages of the program itself, which grow with what is in it and not with what it does.
    ///
    /// # Panics
    /// Where the process is gone.
    pub fn peak_own_memory(&self) -> u64 {
        self.peak_memory() - self.status("RssFile:")
    }

    /// A line of what the kernel says of it, in bytes.
    fn status(&self, name: &str) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.id()));
        let status = status.expect("the process is there");
        let line = status.lines().find_map(|line| line.strip_prefix(name));
        let kib = line.and_then(|line| line.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok());
        kib.expect("the kernel tells it") * 1024
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Runs `tally` with `args` to its end.
///
/// # Panics
/// Where it can not be started.
pub fn run<S: AsRef<OsStr>>(args: impl IntoIterator<Item = S>) -> Output {
    tally().args(args).output().expect("the tally binary starts")
}
