//! The `tally` binary: a master as a process of its own, and what it costs.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::{Context, bail, ensure};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Where the binary is.
#[derive(Clone, Debug)]
pub struct Tally(PathBuf);

impl Tally {
    /// At this path.
    pub fn at(path: PathBuf) -> Self {
        Self(path)
    }

    /// Beside the program that runs, or a folder above it.
    ///
    /// # Errors
    /// Where it is not there.
    pub fn beside() -> anyhow::Result<Self> {
        let own = std::env::current_exe()?;
        let found = own.ancestors().skip(1).take(2).map(|folder| folder.join("tally"));
        let found = found.into_iter().find(|path| path.is_file());
        found.map(Self).context("no tally binary: cargo build --release -p tally-cli first")
    }

    /// A command with nothing of this environment that it would listen to.
    fn command(&self) -> Command {
        let mut command = Command::new(&self.0);
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("TALLY_") {
                command.env_remove(name);
            }
        }
        command.env("HOME", "/nonexistent").stdin(Stdio::null());
        command
    }

    /// Runs it to its end, and gives what it says on stdout.
    ///
    /// # Errors
    /// Where it fails.
    pub(crate) fn run(&self, args: &[&str]) -> anyhow::Result<String> {
        let output = self.command().args(args).output();
        let output = output.with_context(|| format!("{} does not start", self.0.display()))?;
        let said = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "tally {}: {said}", args.join(" "));
        Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    }

    /// Makes an input: few songs, many rows of each.
    ///
    /// # Errors
    /// Where it can not be written.
    pub(crate) fn generate(&self, bytes: u64, to: &Path) -> anyhow::Result<()> {
        let to = to.to_str().context("a path that is text is wanted")?;
        self.run(&["generate", "--kind", "low", "--size", &bytes.to_string(), "--out", to])?;
        Ok(())
    }
}

/// A master in a process of its own. Killed when dropped.
pub(crate) struct Master {
    child: Child,
    /// Where it listens for gRPC.
    pub(crate) url: String,
}

impl Master {
    /// Starts one on a free port, whose tasks have `task` bytes.
    ///
    /// # Errors
    /// Where it does not come up.
    pub(crate) fn start(tally: &Tally, data: &Path, task: u64) -> anyhow::Result<Self> {
        let mut command = tally.command();
        command.args(["master", "--grpc", "127.0.0.1:0", "--http", "127.0.0.1:0", "--log", "warn"]);
        command.args(["--task-bytes", &task.to_string()]).arg("--data-dir").arg(data);
        let child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn();
        let mut child = child.context("the master does not start")?;
        let stderr = child.stderr.take().context("stderr is piped")?;
        // From here on it is killed, whatever goes wrong.
        let mut master = Self { child, url: String::new() };
        let mut lines = BufReader::new(stderr).lines();
        for line in lines.by_ref() {
            let line = line?;
            match line.strip_prefix("gRPC on ") {
                Some(url) => master.url = url.to_owned(),
                None if line.starts_with("HTTP on ") => break,
                None => eprintln!("[master] {line}"),
            }
        }
        if master.url.is_empty() {
            bail!("the master does not say where it listens");
        }
        std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                eprintln!("[master] {line}");
            }
        });
        Ok(master)
    }

    /// Its process.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Master {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What a process has cost so far.
#[derive(Clone, Copy, Debug, Default)]
pub struct Usage {
    /// Processor time, user and system, in seconds.
    pub cpu: f64,
    /// The most resident memory that it has had, in bytes.
    pub peak: u64,
}

impl Usage {
    /// What was spent since then; the peak is that of all the time.
    pub(crate) fn since(self, before: Self) -> Self {
        Self { cpu: self.cpu - before.cpu, peak: self.peak }
    }

    /// Of a process, by what the system keeps in /proc.
    ///
    /// # Errors
    /// Where there is no such process, or no /proc.
    pub(crate) fn of(id: u32) -> anyhow::Result<Self> {
        let stat = fs::read_to_string(format!("/proc/{id}/stat"))?;
        // The name, in parentheses, may hold anything; of the fields after it these are the 12th and 13th.
        let fields = stat.rsplit_once(')').context("a stat has a name")?.1.split_whitespace();
        let ticks: u64 =
            fields.skip(11).take(2).filter_map(|field| field.parse::<u64>().ok()).sum();
        let cpu = ticks as f64 / rustix::param::clock_ticks_per_second() as f64;
        let status = fs::read_to_string(format!("/proc/{id}/status"))?;
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let peak = peak.and_then(|peak| peak.trim().strip_suffix(" kB")?.parse::<u64>().ok());
        Ok(Self { cpu, peak: peak.unwrap_or(0) << 10 })
    }
}

/// Lets this process, and those that it starts, open as many files as it may: each slave is a socket
/// here and one at the master.
///
/// # Errors
/// Where the system does not allow it.
pub fn raise_file_limit() -> anyhow::Result<()> {
    let maximum = getrlimit(Resource::Nofile).maximum;
    setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum })?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_knows_what_it_costs() {
        let mut kept = vec![1u8; 8 << 20];
        while Usage::of(std::process::id()).unwrap().cpu == 0.0 {
            kept.iter_mut().for_each(|byte| *byte = byte.wrapping_mul(3));
        }
        assert!(Usage::of(std::process::id()).unwrap().peak > 8 << 20);
    }
}
