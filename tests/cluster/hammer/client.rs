//! A client of the hammer: a process that sends all operations in an order of its own, some of them several
//! times, until each is answered.

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};
use tally_tests::input::Random;
use tally_tests::{Http, Process, eventually};

use super::{Heard, TABLE, operations, same};

/// How long a client waits for an answer before it asks again.
pub(super) const PATIENCE: Duration = Duration::from_secs(30);

/// What a client is told in the environment.
const TASK: &str = "TALLY_TESTS_HAMMER";

/// What a client says when so many operations more are answered.
pub(super) const ANSWERED: &str = "some more are answered";
pub(super) const ANSWERED_EACH: usize = 50;

/// What a client is to do.
pub(super) struct Task {
    /// The gateway.
    pub(super) address: String,
    /// Of the operations.
    pub(super) seed: u64,
    /// Of the order in which they are sent.
    pub(super) order: u64,
    /// Where the client leaves what it has heard.
    pub(super) heard: PathBuf,
}

impl Task {
    /// Starts a process of its own that does it: this program, told to run nothing but the client.
    pub(super) fn start(&self, name: &str) -> Process {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", "hammer::client::a_client", "--ignored", "--nocapture"]);
        let Self { address, seed, order, heard } = self;
        command.env(TASK, json!([address, seed, order, heard]).to_string());
        Process::start(name, command)
    }

    fn of_this_process() -> Self {
        let task = std::env::var(TASK).expect("a client is told what to do");
        let (address, seed, order, heard) = serde_json::from_str(&task).unwrap();
        Self { address, seed, order, heard }
    }
}

#[test]
#[ignore = "the other tests run it, as a process of its own"]
fn a_client() {
    let task = Task::of_this_process();
    let client = Client {
        http: Http::with_timeout(&format!("http://{}", task.address), Some(PATIENCE)),
        random: Random::new(task.order),
        operations: operations(task.seed),
        answered: 0,
        heard: Heard::new(),
    };
    std::fs::write(task.heard, json!(client.run()).to_string()).unwrap();
}

/// Sends all operations in an order of its own, some of them several times, until each is answered.
struct Client {
    http: Http,
    random: Random,
    operations: Vec<Value>,
    answered: usize,
    heard: Heard,
}

impl Client {
    fn run(mut self) -> Heard {
        let mut order: Vec<usize> = (0..self.operations.len()).collect();
        // A third of them once more, somewhere.
        for _ in 0..self.operations.len() / 3 {
            order.push(self.random.below(self.operations.len() as u64) as usize);
        }
        for at in (1..order.len()).rev() {
            order.swap(at, self.random.below(at as u64 + 1) as usize);
        }
        let mut rest = order.as_slice();
        while !rest.is_empty() {
            let size = (1 + self.random.below(40) as usize).min(rest.len());
            let (batch, more) = rest.split_at(size);
            self.send(batch);
            rest = more;
        }
        self.heard
    }

    /// Sends a batch until all of it is answered.
    fn send(&mut self, batch: &[usize]) {
        let as_lines = self.random.below(2) == 0;
        let batch: Vec<&Value> = batch.iter().map(|at| &self.operations[*at]).collect();
        let answers = eventually("the operations to be answered", || {
            let answers = send(&self.http, &batch, as_lines)?;
            (answers.len() == batch.len()).then_some(answers)
        });
        for (operation, answer) in batch.iter().zip(answers) {
            let id = operation["message_id"].as_str().unwrap();
            assert_eq!(answer["message_id"], id);
            match self.heard.get(id) {
                Some(first) => assert!(same(first, &answer), "{first} and then {answer}"),
                None => drop(self.heard.insert(id.to_owned(), answer)),
            }
        }
        let before = self.answered / ANSWERED_EACH;
        self.answered += batch.len();
        for _ in before..self.answered / ANSWERED_EACH {
            // What a process says on stderr is heard.
            eprintln!("{ANSWERED}");
        }
    }
}

/// The answers to a batch; `None` where the master is gone or stops.
pub(super) fn send(http: &Http, batch: &[&Value], as_lines: bool) -> Option<Vec<Value>> {
    let path = format!("{TABLE}/operations");
    if as_lines {
        let body: String = batch.iter().map(|operation| format!("{operation}\n")).collect();
        let headers = [("content-type", "application/x-ndjson")];
        let answer = http.try_request("POST", &path, &headers, body.as_bytes()).ok()?;
        if answer.status != 200 {
            assert!(answer.status >= 500, "{}", answer.text());
            return None;
        }
        let text = answer.text();
        let lines: Vec<Value> =
            text.lines().map(serde_json::from_str).collect::<Result<_, _>>().ok()?;
        // A last line that is a problem says that not all was applied.
        return lines.iter().all(|line| line["outcome"].is_string()).then_some(lines);
    }
    let body = serde_json::to_vec(batch).unwrap();
    let headers = [("content-type", "application/json")];
    let answer = http.try_request("POST", &path, &headers, &body).ok()?;
    if answer.status != 200 {
        assert!(answer.status >= 500, "{}", answer.text());
        return None;
    }
    answer.json()["results"].as_array().cloned()
}
