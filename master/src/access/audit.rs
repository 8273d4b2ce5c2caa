//! The audit log: a JSON line for each request that changes something and for each that was refused. Written by a
//! thread of its own, behind a queue that nobody waits for: what has no room in it is counted, never forgotten in
//! silence. No header, query or body is in it.

use std::fs::{File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::time::Duration;

use serde::Serialize;
use tracing::error;

use tally_common::api::timestamp;

use super::{Peer, Who};
use crate::{clock, metrics};

/// Lines that may wait for the disk.
const AHEAD: usize = 8192;

/// Size in bytes at which a new file is begun.
const ROTATE_BYTES: u64 = 64 << 20;

/// Older files that are kept.
const KEPT: u32 = 5;

/// Longest path that is written, in bytes: it is the client's.
const MAX_TARGET: usize = 512;

/// How long a master that stops waits for the last lines.
const LAST_WAIT: Duration = Duration::from_secs(2);

/// What a request was about, for those who answer it and know more than its path says.
#[derive(Clone, Debug)]
pub(crate) enum About {
    /// A job.
    Job(String),
    /// A table.
    Table(String),
}

/// A line.
#[derive(Debug, Serialize)]
struct Line {
    time: String,
    who: String,
    address: String,
    method: &'static str,
    target: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    job: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    table: Option<String>,
    status: String,
}

enum Event {
    Line(Box<Line>),
    /// Everything before this is to be on the disk.
    Flush(SyncSender<()>),
}

/// Where lines go. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Audit(SyncSender<Event>);

impl Audit {
    /// A log in a folder, which goes on where it ended.
    pub(super) fn start(folder: &Path) -> io::Result<Self> {
        let file = Rotated::open(folder.join("audit.log"), ROTATE_BYTES)?;
        let (lines, queue) = sync_channel(AHEAD);
        std::thread::Builder::new().name("audit".to_owned()).spawn(move || write(&queue, file))?;
        Ok(Self(lines))
    }

    fn put(&self, line: Line) {
        if self.0.try_send(Event::Line(Box::new(line))).is_err() {
            metrics::audit_lost();
        }
    }

    /// Waits, not for long, until what was put in is on the disk. Blocks.
    pub(super) fn flush(&self) {
        let (done, wait) = sync_channel(1);
        if self.0.try_send(Event::Flush(done)).is_ok() {
            let _ = wait.recv_timeout(LAST_WAIT);
        }
    }
}

/// A request that is to leave a line, whatever becomes of it: dropped without an answer, its client has gone.
pub(crate) struct Entry {
    audit: Option<Audit>,
    line: Option<Line>,
}

impl Entry {
    pub(super) fn new(
        audit: Option<&Audit>,
        who: Option<&Who>,
        peer: &Peer,
        method: &'static str,
        target: &str,
    ) -> Self {
        let line = audit.is_some().then(|| Line {
            time: timestamp(clock::wall_ms()),
            who: who.map_or_else(|| "anonymous".to_owned(), Who::to_string),
            address: peer.address.map_or_else(|| "unix".to_owned(), |address| address.to_string()),
            method,
            target: short(target),
            job: None,
            table: None,
            status: "gone".to_owned(),
        });
        Self { audit: audit.cloned(), line }
    }

    /// What it was about.
    pub(crate) fn about(&mut self, about: About) {
        let Some(line) = &mut self.line else { return };
        match about {
            About::Job(job) => line.job = Some(short(&job)),
            About::Table(table) => line.table = Some(short(&table)),
        }
    }

    /// What it was answered. This ends it.
    pub(crate) fn answered(mut self, status: impl ToString) {
        if let Some(line) = &mut self.line {
            line.status = status.to_string();
        }
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        if let (Some(audit), Some(line)) = (&self.audit, self.line.take()) {
            audit.put(line);
        }
    }
}

fn short(text: &str) -> String {
    match text.char_indices().find(|(at, c)| at + c.len_utf8() > MAX_TARGET) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

/// Writes what comes until nobody is left who could send any.
fn write(queue: &Receiver<Event>, mut file: Rotated) {
    loop {
        let event = match queue.try_recv() {
            Ok(event) => event,
            // Nothing waits: what there is goes to the disk, and then it is waited for more.
            Err(_) => {
                file.flush();
                match queue.recv_timeout(Duration::from_secs(3600)) {
                    Ok(event) => event,
                    Err(RecvTimeoutError::Timeout) => continue,
                    Err(RecvTimeoutError::Disconnected) => return,
                }
            }
        };
        match event {
            Event::Line(line) => file.put(&line),
            Event::Flush(done) => {
                file.flush();
                let _ = done.try_send(());
            }
        }
    }
}

/// A file that is renamed when it is large, and the older ones with it.
struct Rotated {
    path: PathBuf,
    file: BufWriter<File>,
    bytes: u64,
    most: u64,
    broken: bool,
}

impl Rotated {
    fn open(path: PathBuf, most: u64) -> io::Result<Self> {
        let file = append(&path)?;
        let bytes = file.metadata()?.len();
        Ok(Self { path, file: BufWriter::new(file), bytes, most, broken: false })
    }

    fn put(&mut self, line: &Line) {
        // Of texts alone: it can be written as JSON.
        let Ok(mut text) = serde_json::to_string(line) else { return };
        text.push('\n');
        let written = self.turn().and_then(|()| self.file.write_all(text.as_bytes()));
        match written {
            Ok(()) => self.bytes += text.len() as u64,
            Err(error) => self.lost(&error),
        }
    }

    fn flush(&mut self) {
        match self.file.flush() {
            Ok(()) => self.broken = false,
            Err(error) => self.lost(&error),
        }
    }

    /// A disk that is full is said once, and each line is counted.
    fn lost(&mut self, error: &io::Error) {
        metrics::audit_lost();
        if !self.broken {
            error!(%error, path = %self.path.display(), "the audit log can not be written");
        }
        self.broken = true;
    }

    /// Begins a new file if this one is large enough.
    fn turn(&mut self) -> io::Result<()> {
        if self.bytes < self.most {
            return Ok(());
        }
        self.file.flush()?;
        let older = |age: u32| {
            let mut name = self.path.as_os_str().to_owned();
            name.push(format!(".{age}"));
            PathBuf::from(name)
        };
        for age in (1..KEPT).rev() {
            match std::fs::rename(older(age), older(age + 1)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        std::fs::rename(&self.path, older(1))?;
        self.file = BufWriter::new(append(&self.path)?);
        self.bytes = 0;
        Ok(())
    }
}

fn append(path: &Path) -> io::Result<File> {
    OpenOptions::new().create(true).append(true).mode(0o600).open(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(path: &Path) -> Vec<serde_json::Value> {
        let text = std::fs::read_to_string(path).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    #[test]
    fn each_request_leaves_a_line_also_when_its_client_has_gone() {
        let folder = tempfile::tempdir().unwrap();
        let audit = Audit::start(folder.path()).unwrap();
        let entry = |target| Entry::new(Some(&audit), None, &Peer::default(), "POST", target);
        let mut first = entry("/api/v1/jobs\n\"");
        first.about(About::Job("1".to_owned()));
        first.answered(202);
        drop(entry(&"x".repeat(10_000)));
        audit.flush();
        let lines = lines(&folder.path().join("audit.log"));
        assert_eq!(lines.len(), 2);
        assert_eq!(lines[0]["target"], "/api/v1/jobs\n\"");
        assert_eq!((&lines[0]["job"], &lines[0]["status"]), (&"1".into(), &"202".into()));
        assert_eq!((&lines[1]["who"], &lines[1]["status"]), (&"anonymous".into(), &"gone".into()));
        assert!(lines[1]["target"].as_str().unwrap().len() < MAX_TARGET + 8);
    }

    #[test]
    fn a_large_file_is_put_aside_and_the_oldest_goes() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("audit.log");
        let mut file = Rotated::open(path.clone(), 1).unwrap();
        for i in 0..10 {
            let who = i.to_string();
            let line = Line {
                time: String::new(),
                who,
                address: String::new(),
                method: "GET",
                target: String::new(),
                job: None,
                table: None,
                status: String::new(),
            };
            file.put(&line);
        }
        file.flush();
        assert_eq!(lines(&path)[0]["who"], "9");
        assert_eq!(lines(&folder.path().join("audit.log.5"))[0]["who"], "4");
        assert!(!folder.path().join("audit.log.6").exists());
        drop(file);
        // A master that comes back goes on.
        let file = Rotated::open(path, 1).unwrap();
        assert!(file.bytes > 0);
    }
}
