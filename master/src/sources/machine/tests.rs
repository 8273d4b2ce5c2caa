use super::*;

const INTERVAL: Duration = Duration::from_secs(10);

fn job(n: u8) -> JobId {
    format!("01990000-0000-7000-8000-0000000000{n:02}").parse().unwrap()
}

fn machine(way: Way) -> Machine {
    Machine::new("s", way, INTERVAL, SourceRow::default(), BTreeMap::new())
}

/// As after a crash: what was written is there, and nothing else.
fn restarted(way: Way, of: &Machine) -> Machine {
    Machine::new("s", way, INTERVAL, of.row.clone(), of.items.clone())
}

fn content(sha256: &str) -> Event {
    let content =
        Content { sha256: sha256.to_owned(), etag: Some(sha256.to_owned()), ..Content::default() };
    Event::Fetched(content)
}

fn fetch(etag: Option<&str>) -> Action {
    Action::Fetch { item: String::new(), etag: etag.map(str::to_owned), last_modified: None }
}

fn key(action: &Action) -> String {
    let (Action::Submit { key, .. } | Action::Find { key }) = action else { panic!("{action:?}") };
    key.clone()
}

/// Fetches, submits and ends well.
fn take(machine: &mut Machine, sha256: &str, n: u8) -> String {
    let submit = machine.apply(content(sha256), 0, 0);
    let used = key(&submit);
    assert_eq!(machine.apply(Event::Submitted(job(n)), 0, 0), Action::Await(job(n)));
    let rest = machine.apply(Event::Ended(Some(job(n)), End::Succeeded), 0, 0);
    assert!(matches!(rest, Action::Rest(_)), "{rest:?}");
    used
}

#[test]
fn what_is_new_is_submitted_once() {
    let mut m = machine(Way::Fetch);
    assert_eq!(m.apply(Event::Started, 0, 0), fetch(None));
    take(&mut m, "a", 1);
    assert_eq!((m.row.changes, m.row.last_job), (1, Some(job(1))));
    assert_eq!(m.apply(Event::Due, 1, 0), fetch(Some("a")));
    assert!(matches!(m.apply(Event::Unmodified, 1, 0), Action::Rest(_)));
    // A server without validators: the same bytes are the same.
    m.apply(Event::Due, 2, 0);
    assert!(matches!(m.apply(content("a"), 2, 0), Action::Rest(_)));
    assert_eq!((m.row.changes, m.row.polls, m.row.submissions), (1, 3, 1));
}

#[test]
fn what_comes_back_is_new_again() {
    let mut m = machine(Way::Fetch);
    m.apply(Event::Started, 0, 0);
    let first = take(&mut m, "a", 1);
    m.apply(Event::Due, 0, 0);
    take(&mut m, "b", 2);
    m.apply(Event::Due, 0, 0);
    let third = take(&mut m, "a", 3);
    assert_ne!(first, third);
    assert_eq!(m.row.changes, 3);
}

#[test]
fn a_source_that_senses_is_read_when_it_says_so() {
    let mut m = machine(Way::Sense);
    assert_eq!(m.apply(Event::Started, 0, 0), Action::Sense { etag: None });
    // It was never read: what it says may be of others.
    assert_eq!(m.apply(Event::Sensed(false), 0, 0), fetch(None));
    take(&mut m, "a", 1);
    assert_eq!(m.apply(Event::Due, 0, 0), Action::Sense { etag: Some("a".to_owned()) });
    assert!(matches!(m.apply(Event::Sensed(false), 0, 0), Action::Rest(_)));
    m.apply(Event::Due, 0, 0);
    assert_eq!(m.apply(Event::Sensed(true), 0, 0), fetch(Some("a")));
}

#[test]
fn what_a_source_has_said_is_remembered() {
    let mut m = machine(Way::Sense);
    m.apply(Event::Started, 0, 0);
    m.apply(Event::Sensed(true), 0, 0);
    take(&mut m, "a", 1);
    m.apply(Event::Due, 0, 0);
    m.apply(Event::Sensed(true), 0, 0);
    assert!(m.changes(0).unwrap().items[0].1.due);
    // Killed while it is read: it may never say so again.
    let mut m = restarted(Way::Sense, &m);
    assert_eq!(m.apply(Event::Started, 0, 0), fetch(Some("a")));
    // It is so, too, if it broke off.
    m.apply(Event::Failed("broke off".to_owned()), 0, 0);
    assert_eq!(m.apply(Event::Due, 0, 0), fetch(Some("a")));
    assert!(matches!(m.apply(Event::Unmodified, 0, 0), Action::Rest(_)));
    assert_eq!(m.apply(Event::Due, 0, 0), Action::Sense { etag: Some("a".to_owned()) });
}

#[test]
fn a_crash_makes_no_second_job() {
    let mut m = machine(Way::Fetch);
    m.apply(Event::Started, 0, 0);
    let used = key(&m.apply(content("a"), 0, 0));
    // Before it was known whether it was submitted.
    let mut m = restarted(Way::Fetch, &m);
    let find = m.apply(Event::Started, 0, 0);
    assert_eq!(key(&find), used);
    let mut other = restarted(Way::Fetch, &m);
    assert_eq!(m.apply(Event::Found(Some(job(1))), 0, 0), Action::Await(job(1)));
    // It was not.
    other.apply(Event::Started, 0, 0);
    assert_eq!(other.apply(Event::Found(None), 0, 0), fetch(None));
    assert_eq!(key(&other.apply(content("a"), 0, 0)), used);
    // While the job was under way.
    let mut m = restarted(Way::Fetch, &m);
    assert_eq!(m.apply(Event::Started, 0, 0), Action::Await(job(1)));
    m.apply(Event::Ended(Some(job(1)), End::Succeeded), 0, 0);
    assert_eq!((m.row.changes, m.row.submissions), (1, 1));
}

#[test]
fn a_submission_that_was_refused_for_now_is_made_again() {
    let mut m = machine(Way::Fetch);
    m.apply(Event::Started, 0, 0);
    let used = key(&m.apply(content("a"), 0, 0));
    assert!(matches!(m.apply(Event::Failed("busy".to_owned()), 0, 0), Action::Rest(_)));
    assert_eq!(m.phase(), SourcePhase::BackingOff);
    assert_eq!(key(&m.apply(Event::Due, 0, 0)), used);
    m.apply(Event::Found(None), 0, 0);
    take(&mut m, "a", 1);
    assert_eq!(m.row.last_error, None);
}

#[test]
fn a_failed_job_is_tried_again_and_then_given_up() {
    let mut m = machine(Way::Fetch);
    m.apply(Event::Started, 0, 0);
    let mut keys = BTreeSet::new();
    let mut now = 0;
    for n in 1..=MAX_TRIES {
        keys.insert(key(&m.apply(content("a"), now, 0)));
        m.apply(Event::Submitted(job(n as u8)), now, 0);
        let failed = Event::Ended(Some(job(n as u8)), End::Failed("bad".to_owned()));
        let Action::Rest(wait) = m.apply(failed, now, 0) else { panic!() };
        assert!(m.row.last_error.as_ref().unwrap().starts_with("bad"), "{:?}", m.row);
        now += millis(wait);
        let etag = (n == MAX_TRIES).then_some("a");
        assert_eq!(m.apply(Event::Due, now, 0), fetch(etag), "try {n}");
    }
    assert_eq!(keys.len(), MAX_TRIES as usize);
    assert!(matches!(m.apply(content("a"), now, 0), Action::Rest(_)));
    assert!(m.row.last_error.as_ref().unwrap().contains("left alone"));
    assert_eq!((m.row.changes, m.row.errors), (1, MAX_TRIES.into()));
    // Until somebody asks, or it changes.
    assert_eq!(m.apply(Event::Asked, now, 0), fetch(None));
    assert!(keys.insert(key(&m.apply(content("a"), now, 0))));
    m.apply(Event::Ended(None, End::Failed("bad".to_owned())), now, 0);
    m.apply(Event::Due, now, 0);
    take(&mut m, "b", 9);
    assert_eq!(m.row.last_error, None);
}

#[test]
fn errors_are_backed_off_from() {
    let mut m = machine(Way::Fetch);
    m.apply(Event::Started, 0, 0);
    let mut waits = Vec::new();
    for _ in 0..12 {
        let action = m.apply(Event::Failed("500".to_owned()), 0, 1023);
        let Action::Rest(wait) = action else { panic!("{action:?}") };
        assert_eq!(m.row.last_error.as_deref(), Some("500"));
        waits.push(wait);
        assert_eq!(m.apply(Event::Due, 0, 0), fetch(None));
    }
    assert!(waits[0] >= INTERVAL && waits[1] > waits[0] && waits.is_sorted());
    assert!(waits[11] <= MAX_BACKOFF && waits[11] >= MAX_BACKOFF / 2);
    let Action::Rest(wait) = m.apply(Event::Unmodified, 0, 20) else { panic!() };
    assert_eq!((wait, m.row.last_error.clone()), (INTERVAL, None));
    // 20 % less or more.
    for jitter in 0..100 {
        m.apply(Event::Due, 0, 0);
        let Action::Rest(wait) = m.apply(Event::Unmodified, 0, jitter) else { panic!() };
        assert!(wait >= INTERVAL * 4 / 5 && wait <= INTERVAL * 6 / 5, "{wait:?}");
    }
}

fn stat(bytes: u64) -> Stat {
    Stat { bytes, modified_ns: 1 }
}

fn listed(files: &[(&str, u64)]) -> Event {
    Event::Listed(files.iter().map(|(name, bytes)| ((*name).to_owned(), stat(*bytes))).collect())
}

fn file(name: &str) -> Action {
    Action::Fetch { item: name.to_owned(), etag: None, last_modified: None }
}

fn file_content(sha256: &str, bytes: u64) -> Event {
    let (sha256, stat) = (sha256.to_owned(), Some(stat(bytes)));
    Event::Fetched(Content { sha256, stat, ..Content::default() })
}

#[test]
fn files_are_taken_once_they_stay_as_they_are() {
    let mut m = machine(Way::List);
    assert_eq!(m.apply(Event::Started, 0, 0), Action::List);
    assert!(matches!(m.apply(listed(&[("a", 1), ("b", 1)]), 0, 0), Action::Rest(_)));
    m.apply(Event::Due, 0, 0);
    // One still grows.
    assert_eq!(m.apply(listed(&[("a", 2), ("b", 1)]), 0, 0), file("b"));
    m.apply(file_content("x", 1), 0, 0);
    m.apply(Event::Submitted(job(1)), 0, 0);
    assert!(matches!(m.apply(Event::Ended(Some(job(1)), End::Succeeded), 0, 0), Action::Rest(_)));
    m.apply(Event::Due, 0, 0);
    assert_eq!(m.apply(listed(&[("a", 2), ("b", 1)]), 0, 0), file("a"));
    // It has changed while it was read.
    assert!(matches!(m.apply(Event::Unsteady, 0, 0), Action::Rest(_)));
    m.apply(Event::Due, 0, 0);
    assert_eq!(m.apply(listed(&[("a", 2), ("b", 1)]), 0, 0), file("a"));
    // Touched, and nothing else.
    m.apply(file_content("y", 2), 0, 0);
    m.apply(Event::Submitted(job(2)), 0, 0);
    m.apply(Event::Ended(Some(job(2)), End::Succeeded), 0, 0);
    for _ in 0..2 {
        m.apply(Event::Due, 0, 0);
        m.apply(listed(&[("a", 2), ("b", 5)]), 0, 0);
    }
    assert!(matches!(m.apply(file_content("x", 5), 0, 0), Action::Rest(_)));
    m.apply(Event::Due, 0, 0);
    assert!(matches!(m.apply(listed(&[("a", 2), ("b", 5)]), 0, 0), Action::Rest(_)));
    assert_eq!((m.row.changes, m.items()), (2, 2));
}

#[test]
fn a_bad_file_does_not_hold_up_the_others() {
    let mut m = machine(Way::List);
    m.apply(Event::Started, 0, 0);
    let files = [("a", 1), ("b", 1)];
    m.apply(listed(&files), 0, 0);
    m.apply(Event::Due, 0, 0);
    assert_eq!(m.apply(listed(&files), 0, 0), file("a"));
    assert_eq!(m.apply(Event::Failed("no".to_owned()), 0, 0), file("b"));
    m.apply(file_content("x", 1), 0, 0);
    m.apply(Event::Ended(None, End::Failed("bad".to_owned())), 0, 0);
    assert_eq!(m.row.last_error.as_deref(), Some("a: no"));
    assert_eq!(m.phase(), SourcePhase::Waiting);
    // It has gone, and with it what was wrong with it.
    m.apply(Event::Due, 0, 0);
    m.apply(listed(&[("b", 1)]), 0, 0);
    assert!(m.row.last_error.as_ref().unwrap().starts_with("b: bad"));
}

#[test]
fn counters_alone_are_written_now_and_then() {
    let mut m = machine(Way::Fetch);
    m.apply(Event::Started, 0, 0);
    assert!(m.changes(0).is_some());
    take(&mut m, "a", 1);
    assert_eq!(m.changes(1).unwrap().items.len(), 1);
    m.apply(Event::Due, 0, 0);
    m.apply(Event::Unmodified, 0, 0);
    assert_eq!(m.changes(2), None);
    assert_eq!(m.changes(SAVE_COUNTERS_MS + 2).unwrap().row.polls, 2);
}
