//! Clients that submit all the time and do not give up: a request that had no answer is sent again
//! under the same key, until it has one.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::sleep;
use std::time::Duration;

use serde_json::Value;
use tally_tests::input::Random;
use tally_tests::{Answer, Http, tally};

use super::Input;

/// Jobs that a client may have under way before it waits for one.
const AHEAD: usize = 3;

/// Between two attempts.
const PAUSE: Duration = Duration::from_millis(200);

/// Attempts after the storm before a client gives up: minutes, on a machine that others use.
const ATTEMPTS: u32 = 3000;

/// How long one request may take: far more than it ever needs, for a link that swallows everything
/// would have it wait for good.
const TIMEOUT: Duration = Duration::from_secs(30);

/// How a client reaches the master.
pub(crate) enum Way {
    /// The gateway, at a URL.
    Http(String),
    /// `tally submit --wait`: the gRPC URL, and a path that is its own.
    Command(String, PathBuf),
}

/// A submission that the master has accepted.
pub(crate) struct Accepted {
    pub(crate) name: String,
    /// Its job, where the client was told.
    pub(crate) job: Option<String>,
}

/// A client.
pub(crate) struct Client {
    number: usize,
    seed: u64,
    random: Random,
    way: Way,
    inputs: Arc<[Input]>,
    over: Arc<AtomicBool>,
    attempts_left: u32,
}

impl Client {
    pub(crate) fn new(
        number: usize,
        seed: u64,
        random: Random,
        way: Way,
        inputs: Arc<[Input]>,
        over: Arc<AtomicBool>,
    ) -> Self {
        Self { number, seed, random, way, inputs, over, attempts_left: ATTEMPTS }
    }

    /// Submits until the storm is over, and waits for all its jobs.
    pub(crate) fn run(mut self) -> Vec<Accepted> {
        let mut accepted: Vec<Accepted> = Vec::new();
        let mut seen = 0;
        while !self.over() {
            let (one, other) = (self.pick(), self.pick());
            // Large ones are what faults strike in the middle; many small ones are what they mix up.
            let input = if self.number == 0 { one } else { one.min(other) };
            let name = format!("input-{input}-{}-{}", self.number, accepted.len());
            let key = format!("storm-{:x}-{name}", self.seed);
            let job = match &self.way {
                Way::Http(base) => Some(self.post(&base.clone(), input, &name, &key)),
                Way::Command(url, path) => {
                    let (url, path) = (url.clone(), path.clone());
                    self.command(&url, &path, input, &name, &key);
                    None
                }
            };
            accepted.push(Accepted { name, job });
            if accepted.len() - seen > AHEAD {
                self.wait_for(&accepted[seen]);
                seen += 1;
            }
        }
        for rest in &accepted[seen..] {
            self.wait_for(rest);
        }
        accepted
    }

    fn over(&self) -> bool {
        self.over.load(Ordering::Relaxed)
    }

    fn pick(&mut self) -> usize {
        self.random.below(self.inputs.len() as u64) as usize
    }

    /// Between two attempts; these count only once the storm is over.
    fn pause(&mut self, what: &str) {
        sleep(PAUSE);
        if self.over() {
            self.attempts_left = self.attempts_left.checked_sub(1).unwrap_or_else(|| {
                panic!("client {} waited in vain: {what}", self.number);
            });
        }
    }

    /// Submits over HTTP until there is an answer; gives the job.
    fn post(&mut self, base: &str, input: usize, name: &str, key: &str) -> String {
        let path = format!("/api/v1/jobs?name={name}");
        let inputs = Arc::clone(&self.inputs);
        let body = &inputs[input].bytes;
        loop {
            // A fresh one each time: no connection is left over from before.
            let http = Http::with_timeout(base, Some(TIMEOUT));
            let headers = [("idempotency-key", key), ("content-type", "text/csv")];
            let what = match http.try_request("POST", &path, &headers, body) {
                Ok(answer) if answer.status == 202 => {
                    return answer.json()["id"].as_str().unwrap().to_owned();
                }
                Ok(answer) if may_try_again(&answer) => answer.text(),
                Ok(answer) => panic!("{name}: {} {}", answer.status, answer.text()),
                Err(error) => error.to_string(),
            };
            self.pause(&format!("{name}: {what}"));
        }
    }

    /// Runs `tally submit --wait` until it has brought the result.
    fn command(&mut self, url: &str, path: &PathBuf, input: usize, name: &str, key: &str) {
        let inputs = Arc::clone(&self.inputs);
        let Input { bytes, totals, .. } = &inputs[input];
        fs::write(path, bytes).unwrap();
        let out = path.with_extension("out");
        loop {
            let mut command = tally();
            command.arg("submit").arg(path).args(["--wait", "--master", url, "--name", name]);
            command.args(["--message-id", key, "--retry-for", "300", "-o"]).arg(&out);
            let (code, said) = self.run_to_end(command, name);
            match code {
                Some(0) => {
                    assert!(fs::read(&out).unwrap() == *totals, "{name}: other totals");
                    return;
                }
                // The master could not be reached, or the connection broke under the download.
                Some(5) => {
                    println!("{name}: {}", said.trim_end());
                    self.pause(&format!("{name}: {said}"));
                }
                other => panic!("{name}: exit code {other:?}: {said}"),
            }
        }
    }

    fn run_to_end(&mut self, mut command: Command, name: &str) -> (Option<i32>, String) {
        let log = tempfile::NamedTempFile::new().unwrap();
        command.stderr(log.reopen().unwrap()).stdout(Stdio::null());
        let mut child = command.spawn().expect("the tally binary starts");
        let status = loop {
            if let Some(status) = child.try_wait().unwrap() {
                break status;
            }
            if self.over() && self.attempts_left == 1 {
                let _ = child.kill();
            }
            self.pause(&format!("tally submit {name}"));
        };
        (status.code(), fs::read_to_string(log.path()).unwrap())
    }

    /// Waits for the end of a job. One that has been accepted is there for good.
    fn wait_for(&mut self, accepted: &Accepted) {
        let (Some(job), Way::Http(base)) = (&accepted.job, &self.way) else { return };
        let http = Http::with_timeout(base, Some(TIMEOUT));
        let path = format!("/api/v1/jobs/{job}");
        loop {
            let what = match http.try_request("GET", &path, &[], b"") {
                Ok(answer) if answer.status == 200 => {
                    let job = answer.json();
                    if has_ended(&job) {
                        assert_eq!(job["state"], "succeeded", "{job}");
                        return;
                    }
                    job.to_string()
                }
                Ok(answer) if may_try_again(&answer) => answer.text(),
                Ok(answer) => panic!("{}: {} {}", accepted.name, answer.status, answer.text()),
                Err(error) => error.to_string(),
            };
            self.pause(&what);
        }
    }
}

fn has_ended(job: &Value) -> bool {
    let state = job["state"].as_str().unwrap();
    ["succeeded", "failed", "cancelled"].contains(&state)
}

/// Whether an answer means that the same request may do better later: another one with its key is
/// under way, its upload broke off, or the master is busy or stopping.
fn may_try_again(answer: &Answer) -> bool {
    match answer.status {
        408 | 409 | 429 | 503 | 507 => true,
        400 => answer.text().contains("submit it again"),
        _ => false,
    }
}
