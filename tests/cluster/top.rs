//! `tally top`: one frame for scripts, and a terminal that is drawn on and given back.

use std::fs::File;
use std::io::{Read, Write};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};

use rustix::process::{Pid, Signal, kill_process};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Termios, Winsize, tcgetattr, tcsetwinsize};
use serde_json::Value;
use tally_tests::{Cluster, Proxy, eventually, input, tally};

/// How a terminal is told to show another screen, and to go back.
const ENTER: &str = "\u{1b}[?1049h";
const LEAVE: &str = "\u{1b}[?1049l";

/// `tally top` on a terminal of its own.
struct Top {
    child: Child,
    terminal: File,
    shown: Arc<Mutex<Vec<u8>>>,
    before: Termios,
}

impl Top {
    fn start(master: &str) -> Self {
        let ours = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
        grantpt(&ours).unwrap();
        unlockpt(&ours).unwrap();
        let size = Winsize { ws_row: 30, ws_col: 120, ws_xpixel: 0, ws_ypixel: 0 };
        tcsetwinsize(&ours, size).unwrap();
        let path = ptsname(&ours, Vec::new()).unwrap().into_string().unwrap();
        let theirs = File::options().read(true).write(true).open(path).unwrap();
        let before = tcgetattr(&ours).unwrap();
        let mut command: Command = tally();
        command.args(["top", "--master", master]).env("TERM", "xterm-256color");
        let side = || Stdio::from(theirs.try_clone().unwrap());
        let child = command.stdin(side()).stdout(side()).stderr(side()).spawn().unwrap();
        let (terminal, shown) = (File::from(ours), Arc::new(Mutex::new(Vec::new())));
        let (mut from, to) = (terminal.try_clone().unwrap(), Arc::clone(&shown));
        std::thread::spawn(move || {
            // Held open, so that what was written last can be read when the process has ended.
            let _theirs = theirs;
            let mut piece = [0; 4096];
            while let Ok(n @ 1..) = from.read(&mut piece) {
                to.lock().unwrap().extend_from_slice(&piece[..n]);
            }
        });
        Self { child, terminal, shown, before }
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.shown.lock().unwrap()).into_owned()
    }

    /// Waits until a word is drawn, after the bytes that there were `before`. Spaces are not drawn where
    /// the screen is empty, and so words do not stand beside each other.
    fn draws(&self, before: usize, word: &str) {
        let what = format!("{word:?} on the terminal");
        eventually(&what, || {
            let shown = self.shown.lock().unwrap();
            String::from_utf8_lossy(&shown[before..]).contains(word).then_some(())
        });
    }

    fn press(&mut self, keys: &str) -> usize {
        let before = self.shown.lock().unwrap().len();
        self.terminal.write_all(keys.as_bytes()).unwrap();
        before
    }

    /// Waits for its end, and makes sure that the terminal is as it was.
    fn ends(mut self) {
        let status = eventually("top to end", || self.child.try_wait().unwrap());
        assert!(status.success(), "{status}: {}", self.text());
        self.draws(0, LEAVE);
        let (text, after) = (self.text(), tcgetattr(&self.terminal).unwrap());
        assert!(text.find(ENTER) < text.rfind(LEAVE), "{text}");
        assert!(text.rfind("\u{1b}[?25l") < text.rfind("\u{1b}[?25h"), "the cursor is hidden");
        assert_eq!(after.local_modes, self.before.local_modes);
        assert_eq!(after.input_modes, self.before.input_modes);
        assert_eq!(after.output_modes, self.before.output_modes);
    }
}

impl Drop for Top {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn one_frame_for_scripts() {
    let cluster = Cluster::start(2);
    let top = |more: &[&str]| {
        let output = cluster.run(["top"].iter().chain(more));
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    let empty = top(&["--once"]);
    for words in ["connected", "no jobs", "2 slaves, 2 workers", "slave-0", "slave-1"] {
        assert!(empty.contains(words), "{words:?} is not in\n{empty}");
    }
    assert!(!empty.contains('\u{1b}'), "{empty}");
    let file = cluster.path("plays.csv");
    std::fs::write(&file, input::plays(5, 50, 10_000)).unwrap();
    cluster.count(&file, &[]);
    // stdout is no terminal here: one frame is all that can be shown.
    let done = top(&[]);
    assert!(done.contains("plays.csv") && done.contains("succeeded") && done.contains("100%"));
    let json: Value = serde_json::from_str(&top(&["--once", "--output", "json"])).unwrap();
    assert_eq!(json["jobs"][0]["state"], "succeeded");
    assert_eq!(json["slaves"].as_array().unwrap().len(), 2);
    assert_eq!(json["cluster"]["counts"]["workers"], 2);
}

#[test]
fn no_master_is_said_before_anything_is_drawn() {
    let output = tally().args(["top", "--master", "http://127.0.0.1:1"]).output().unwrap();
    assert_eq!(output.status.code(), Some(5), "{output:?}");
    assert!(output.stdout.is_empty());
}

#[test]
fn a_terminal_is_drawn_on_and_given_back() {
    let cluster = Cluster::start(1);
    let mut top = Top::start(cluster.grpc());
    top.draws(0, "connected");
    top.draws(0, "slave-0");
    // What happens is shown without any key.
    let file = cluster.path("plays.csv");
    std::fs::write(&file, input::plays(6, 50, 10_000)).unwrap();
    cluster.count(&file, &[]);
    top.draws(0, "plays.csv");
    let before = top.press("?");
    top.draws(before, "choose");
    let before = top.press(" \r");
    top.draws(before, "retried");
    top.press("q");
    top.ends();
}

#[test]
fn a_terminal_is_given_back_when_top_is_told_to_stop() {
    let cluster = Cluster::start(0);
    let top = Top::start(cluster.grpc());
    top.draws(0, "slaves:");
    kill_process(Pid::from_child(&top.child), Signal::TERM).unwrap();
    top.ends();
}

#[test]
fn a_connection_that_breaks_is_made_anew() {
    let cluster = Cluster::start(1);
    let proxy = Proxy::start(cluster.grpc());
    let mut top = Top::start(&proxy.url());
    top.draws(0, "connected");
    proxy.close();
    top.draws(0, "CONNECTION,");
    let before = top.shown.lock().unwrap().len();
    proxy.heal();
    top.draws(before, "connected");
    // And it goes on from there.
    let file = cluster.path("after.csv");
    std::fs::write(&file, input::plays(7, 50, 10_000)).unwrap();
    cluster.count(&file, &[]);
    top.draws(before, "after.csv");
    top.press("q");
    top.ends();
}
