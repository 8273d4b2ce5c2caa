//! Frames and keys, without a terminal and without a master.

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::style::Color;
use uuid::Uuid;

use tally_common::api::{
    ClusterCounts, ClusterView, DiskView, History, JobState, JobView, MemoryView, Priority,
    Progress, QueueView, Receipt, Sample, SlaveView, TaskCounts, TaskState, TaskView, timestamp,
};
use tally_common::id::{JobId, SessionId, SlaveId};
use tally_common::spec::SpecDraft;
use tally_proto::convert::{ClusterEvent, Snapshot};

use super::draw::{draw, plain, text};
use super::keys::{Action, press};
use super::model::{Details, Model, News, Screen, Sort};

/// When the master of these tests was started, and what it says the time is: milliseconds since 1970.
const STARTED: u64 = 1_795_000_000_000;
const NOW: u64 = STARTED + 3_700_000;

fn id(number: u128) -> JobId {
    JobId::from_uuid(Uuid::from_u128(number))
}

/// A job that was opened ten seconds ago and is counted to `counted` of 1000 MB.
fn job(number: u128, state: JobState, counted: u64) -> JobView {
    job_at(number, state, counted, 10_000)
}

fn job_at(number: u128, state: JobState, counted: u64, elapsed_ms: u64) -> JobView {
    const MB: u64 = 1_000_000;
    JobView {
        id: id(number),
        name: format!("plays-{number}.csv"),
        state,
        priority: Priority::Default,
        spec: SpecDraft::plays(),
        opened_at: timestamp(NOW - 10_000),
        ended_at: None,
        expires_at: None,
        keep_input: false,
        repairs: None,
        repaired_by: None,
        error: None,
        waiting_for: None,
        input_lost: false,
        ingest: None,
        in_place: None,
        owner: None,
        result_path: None,
        progress: Progress::new(1000 * MB, None, counted * MB, elapsed_ms, 1_234_567),
        tasks: TaskCounts { cut: 8, queued: 3, running: 1, done: 4, retried: 0 },
        receipt: Receipt { records: 1_234_567, ..Receipt::default() },
        result: None,
        rejects: Vec::new(),
        slaves: Vec::new(),
    }
}

fn slave(name: &str) -> SlaveView {
    SlaveView {
        id: SlaveId::from_uuid(Uuid::nil()),
        session: SessionId::from_uuid(Uuid::nil()),
        name: name.to_owned(),
        version: "0.1.0".to_owned(),
        workers: 4,
        running: 3,
        prefetched: 0,
        completed: 17,
        failed: 0,
        draining: false,
        quarantined: false,
        last_heard_ms: 200,
        bytes: 5_000_000_000,
        records: 0,
        bytes_per_second: 250_000_000,
        history: vec![0, 100, 200],
    }
}

fn cluster() -> ClusterView {
    let queue = |priority| QueueView { priority, jobs: 1, tasks: 3 };
    ClusterView {
        version: "0.1.0".to_owned(),
        started_at: timestamp(STARTED),
        now: timestamp(NOW),
        counts: ClusterCounts { slaves: 2, workers: 8, running: 1, ..ClusterCounts::default() },
        bytes_per_second: 500_000_000,
        history: vec![1, 2, 3],
        queue: [Priority::High, Priority::Default, Priority::Low].map(queue).to_vec(),
        disk: DiskView { total: 100, free: 50, reserve: 1, full: false },
        memory: MemoryView { resident: 10, peak: 20, total: 30 },
        set_aside: Vec::new(),
    }
}

fn event(event: ClusterEvent) -> News {
    News::Event(event)
}

/// A running job, one that is done, and two slaves.
fn model() -> Model {
    let mut model = Model::new("http://127.0.0.1:7070".to_owned(), true);
    let jobs = vec![job(2, JobState::Running, 250), job(1, JobState::Succeeded, 1000)];
    let slaves = vec![slave("one"), SlaveView { quarantined: true, ..slave("two") }];
    let snapshot = Snapshot { cluster: cluster(), slaves, jobs };
    model.hear(News::Up);
    model.hear(event(ClusterEvent::Snapshot(Box::new(snapshot))));
    model
}

fn frame(model: &Model, width: u16, height: u16) -> Terminal<TestBackend> {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
    terminal.draw(|frame| draw(model, frame.area(), frame.buffer_mut())).unwrap();
    terminal
}

fn shown(model: &Model) -> String {
    text(frame(model, 110, 30).backend().buffer())
}

fn tap(model: &mut Model, code: KeyCode) -> Action {
    press(model, KeyEvent::new(code, KeyModifiers::NONE))
}

fn tap_char(model: &mut Model, key: char) -> Action {
    tap(model, KeyCode::Char(key))
}

#[test]
fn a_frame_shows_master_jobs_and_slaves() {
    let shown = shown(&model());
    for words in [
        "tally  http://127.0.0.1:7070  version 0.1.0  up 1 h 01 min  connected",
        "500.0 MB/s",
        "2 slaves, 8 workers",
        "(high 3, default 3, low 3)",
        "plays-2.csv",
        "running",
        "███▌░░░░░░░░░░  25%",
        "25.0 MB/s",
        "1,234,567",
        "4/8",
        "two (quarantined)",
        "250.0 MB/s",
        "3/4",
        "q leave",
    ] {
        assert!(shown.contains(words), "{words:?} is not in\n{shown}");
    }
    // What still runs comes first.
    assert!(shown.find("plays-2") < shown.find("plays-1"), "{shown}");
}

#[test]
fn a_plain_frame_has_every_job_and_no_selection() {
    let mut model = model();
    for number in 10..60 {
        model.hear(event(ClusterEvent::Job(Box::new(job(number, JobState::Running, 1)))));
    }
    let plain = plain(&model, 110);
    assert!((10..60).all(|number| plain.contains(&format!("plays-{number}.csv"))), "{plain}");
    assert!(plain.contains("two (quarantined)") && !plain.contains("q leave"), "{plain}");
    // A screen shows those around the chosen one.
    model.selected = Some(id(1));
    let shown = shown(&model);
    assert!(shown.contains("plays-1.csv") && shown.contains(" of 52 "), "{shown}");
    assert!(!shown.contains("plays-59.csv"), "{shown}");
}

#[test]
fn no_size_is_too_small() {
    let mut model = model();
    model.hear(News::Details(details()));
    for screen in [Screen::List, Screen::Job(id(2))] {
        model.screen = screen;
        for help in [false, true] {
            model.help = help;
            for (width, height) in [(1, 1), (10, 3), (40, 10), (80, 24), (300, 80)] {
                frame(&model, width, height);
            }
        }
    }
}

#[test]
fn colours_can_be_done_without() {
    let mut model = model();
    let coloured = |model: &Model| {
        let terminal = frame(model, 110, 30);
        let cells = &terminal.backend().buffer().content;
        cells.iter().any(|cell| cell.fg != Color::Reset || cell.bg != Color::Reset)
    };
    assert!(coloured(&model));
    model.colours = false;
    assert!(!coloured(&model));
}

#[test]
fn what_a_name_holds_does_not_move_the_cursor() {
    let mut model = model();
    let name = "\u{1b}[2Jevil\u{7}".to_owned();
    let evil = JobView { name, ..job(3, JobState::Running, 1) };
    model.hear(event(ClusterEvent::Job(Box::new(evil))));
    let shown = shown(&model);
    assert!(shown.contains("evil") && !shown.contains(['\u{1b}', '\u{7}']), "{shown}");
}

#[test]
fn rates_are_those_of_the_last_seconds() {
    let mut model = model();
    // 250 MB in the first ten seconds, then 500 MB in five.
    for (counted, elapsed) in [(350, 11_000), (450, 12_000), (650, 14_000), (750, 15_000)] {
        let mut view = job_at(2, JobState::Running, counted, elapsed);
        view.opened_at = timestamp(NOW - elapsed);
        model.hear(event(ClusterEvent::Job(Box::new(view))));
    }
    let job = &model.jobs[&id(2)];
    assert_eq!(job.rate(Some(NOW)), 100_000_000);
    assert_eq!(job.left_ms(Some(NOW)), Some(2_500));
    // Nothing has been heard for six seconds.
    assert_eq!(job.rate(Some(NOW + 6_000)), 0);
    assert_eq!(job.left_ms(Some(NOW + 6_000)), None);
    // A lost attempt takes back what it counted.
    model.hear(event(ClusterEvent::Job(Box::new(job_at(2, JobState::Running, 160, 16_000)))));
    assert_eq!(model.jobs[&id(2)].rate(None), 10_000_000);
}

#[test]
fn events_change_what_is_shown() {
    let mut model = model();
    model.hear(event(ClusterEvent::Job(Box::new(job(2, JobState::Merging, 1000)))));
    assert!(shown(&model).contains("merging"));
    model.hear(event(ClusterEvent::Deleted(id(2))));
    assert!(!shown(&model).contains("plays-2"));
    model.hear(event(ClusterEvent::Slaves(Vec::new())));
    assert!(shown(&model).contains("no slaves: jobs wait"));
    let disk = DiskView { full: true, ..cluster().disk };
    model.hear(event(ClusterEvent::Cluster(Box::new(ClusterView { disk, ..cluster() }))));
    assert!(shown(&model).contains("FULL"));
}

#[test]
fn a_connection_that_breaks_is_spoken_of_and_the_rest_stays() {
    let mut model = model();
    model.hear(News::Down("nobody answers".to_owned()));
    let down = shown(&model);
    assert!(down.contains("NO CONNECTION, trying again: nobody answers"), "{down}");
    assert!(down.contains("plays-2.csv"));
    model.hear(News::Up);
    assert!(shown(&model).contains("connected"));
}

#[test]
fn keys_choose_and_sort() {
    let mut model = model();
    assert_eq!(tap(&mut model, KeyCode::Down), Action::None);
    assert_eq!(model.selected, Some(id(1)));
    tap_char(&mut model, 'j');
    assert_eq!(model.selected, Some(id(1)), "there is none below");
    tap_char(&mut model, 'k');
    assert_eq!(model.selected, Some(id(2)));
    tap_char(&mut model, 'G');
    assert_eq!(model.selected, Some(id(1)));
    tap_char(&mut model, 'g');
    assert_eq!(model.selected, Some(id(2)));
    for sort in [Sort::Fastest, Sort::Largest, Sort::Name, Sort::Newest] {
        tap_char(&mut model, 's');
        assert_eq!(model.sort, sort);
        assert!(shown(&model).contains(sort.as_str()));
    }
    assert_eq!(tap_char(&mut model, 'q'), Action::Quit);
    let ctrl_c = KeyEvent::new(KeyCode::Char('c'), KeyModifiers::CONTROL);
    assert_eq!(press(&mut model, ctrl_c), Action::Quit);
}

#[test]
fn nothing_is_cancelled_without_a_yes() {
    let mut model = model();
    tap_char(&mut model, 'c');
    assert!(shown(&model).contains("Cancel plays-2.csv?"));
    assert_eq!(tap(&mut model, KeyCode::Enter), Action::None);
    assert!(!shown(&model).contains("Cancel plays-2.csv?"));
    tap_char(&mut model, 'c');
    assert_eq!(tap_char(&mut model, 'y'), Action::Cancel(id(2)));
    // One that has ended is not asked about.
    tap(&mut model, KeyCode::Down);
    tap_char(&mut model, 'c');
    assert!(model.cancelling.is_none() && shown(&model).contains("succeeded already"));
    // One that goes meanwhile is not, either.
    tap(&mut model, KeyCode::Up);
    tap_char(&mut model, 'c');
    model.hear(event(ClusterEvent::Deleted(id(2))));
    assert_eq!(tap_char(&mut model, 'y'), Action::None);
}

#[test]
fn help_goes_with_any_key() {
    let mut model = model();
    tap_char(&mut model, '?');
    assert!(shown(&model).contains("choose a job"));
    tap_char(&mut model, 'c');
    assert!(model.cancelling.is_none() && !shown(&model).contains("choose a job"));
}

fn details() -> Box<Details> {
    let task = |number: u32| TaskView {
        number,
        byte_offset: 0,
        bytes: 1,
        state: [TaskState::Done, TaskState::Running, TaskState::Queued][number as usize % 3],
        slaves: Vec::new(),
        attempts: 1,
        failures: 0,
        bytes_counted: 0,
        records: 0,
        rejected: 0,
    };
    let sample = |second: u64| Sample {
        at_ms: second * 1000,
        bytes_received: 0,
        bytes_counted: second * second * 1_000_000,
        records: 0,
    };
    let history = History { interval_ms: 1000, samples: (0..10).map(sample).collect() };
    Box::new(Details { job: id(2), tasks: (0..6).map(task).collect(), history })
}

#[test]
fn one_job_is_shown_with_its_tasks_and_rates() {
    let mut model = model();
    assert_eq!(tap(&mut model, KeyCode::Enter), Action::Details(id(2)));
    assert!(shown(&model).contains("4 of 8 tasks done"), "{}", shown(&model));
    model.hear(News::Details(details()));
    let detail = shown(&model);
    for words in ["█▓░█▓░", "6 tasks:", "rate over 9.0 s, 17.0 MB/s at most", "priority default"]
    {
        assert!(detail.contains(words), "{words:?} is not in\n{detail}");
    }
    // To the next one, whose details are not known yet.
    assert_eq!(tap(&mut model, KeyCode::Down), Action::Details(id(1)));
    assert!(!shown(&model).contains("6 tasks:"));
    tap(&mut model, KeyCode::Esc);
    assert_eq!(model.screen, Screen::List);
    // One that is deleted while it is looked at.
    tap(&mut model, KeyCode::Enter);
    model.hear(event(ClusterEvent::Deleted(id(1))));
    assert!(model.screen == Screen::List && shown(&model).contains("is gone"));
}

#[test]
fn jobs_that_ended_long_ago_are_let_go() {
    let mut model = model();
    for number in 10..610 {
        model.hear(event(ClusterEvent::Job(Box::new(job(number, JobState::Succeeded, 1000)))));
    }
    assert_eq!(model.jobs.len(), 501);
    assert!(model.jobs.contains_key(&id(2)) && model.jobs.contains_key(&id(609)));
    assert!(!model.jobs.contains_key(&id(10)));
}
