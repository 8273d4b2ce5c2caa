//! The master, and the slaves that it knows.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tally_common::api::{ClusterView, SetAsideView, SlaveView, parse_timestamp};
use tally_proto::BUILD;
use tally_proto::dial::Dial;
use tokio::time::timeout;

use super::Check;
use crate::client::Client;
use crate::output::bytes;

/// How far the clocks of two machines may be apart before it is spoken of.
const CLOCK_MS: u64 = 2_000;

/// How long ago a slave may have been heard of: three heartbeats, after which its session ends.
const HEARD_MS: u64 = 3_000;

/// How long a master may take for an answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// Asks a master; `wanted` where the user has named it, so that it must be there.
pub(super) async fn checks(dial: &Dial, wanted: bool) -> Vec<Check> {
    let url = dial.url.as_str();
    let asked = async {
        let mut client = Client::connect(dial).await?;
        let (slaves, set_aside) = client.slaves().await?;
        let before = unix_ms();
        let view = client.cluster().await;
        anyhow::Ok((slaves, set_aside, view, before.midpoint(unix_ms())))
    };
    let error = match timeout(PATIENCE, asked).await {
        Ok(Ok((slaves, set_aside, view, now))) => {
            let mut checks = of_cluster(url, &slaves, view, now);
            checks.extend(liars(&set_aside));
            return checks;
        }
        Ok(Err(error)) => error.to_string(),
        Err(_) => format!("{url} does not answer within {} s", PATIENCE.as_secs()),
    };
    if wanted {
        let advice = "start it there (tally master), or look at its address, firewall and log";
        return vec![Check::fail("master", error, advice)];
    }
    let advice = "start one here (tally master), or name the one that you mean: --master URL";
    vec![Check::warn("master", error, advice)]
}

fn of_cluster(
    url: &str,
    slaves: &[SlaveView],
    view: anyhow::Result<ClusterView>,
    now: u64,
) -> Vec<Check> {
    let mut checks = Vec::new();
    match view {
        Ok(view) => {
            let found = format!("{url}, version {}, since {}", view.version, view.started_at);
            checks.push(Check::ok("master", found));
            checks.push(clock(&view.now, now));
            checks.push(versions(Some(&view.version), slaves));
            checks.extend(disk(&view));
        }
        Err(_) => {
            let advice = "it is older than this tally: bring it up to date";
            checks.push(Check::warn("master", format!("{url}, of an older version"), advice));
            checks.push(versions(None, slaves));
        }
    }
    checks.push(of_slaves(slaves));
    checks.extend(workers(slaves));
    checks
}

/// Whether the master has room; that of this machine's data folder is another matter.
fn disk(view: &ClusterView) -> Option<Check> {
    view.disk.full.then(|| {
        let (free, reserve) = (bytes(view.disk.free), bytes(view.disk.reserve));
        let found = format!("{free} free, {reserve} of them kept free");
        let advice = "the master waits until there is room: delete jobs, or make room";
        Check::fail("master's disk", found, advice)
    })
}

fn clock(theirs: &str, ours: u64) -> Check {
    const NAME: &str = "clock";
    let Some(theirs) = parse_timestamp(theirs) else {
        let found = format!("the master says {theirs:?}");
        return Check::warn(NAME, found, "bring master and client to one version");
    };
    let apart = theirs.abs_diff(ours);
    let found = format!("{:.3} s between this machine and the master", apart as f64 / 1000.0);
    if apart > CLOCK_MS {
        let advice =
            "times that are shown will be off, counting is not: let both follow a time server";
        return Check::warn(NAME, found, advice);
    }
    Check::ok(NAME, found)
}

fn versions(master: Option<&str>, slaves: &[SlaveView]) -> Check {
    const NAME: &str = "versions";
    let mut others = Vec::new();
    if let Some(version) = master.filter(|version| *version != BUILD) {
        others.push(format!("the master has {version}"));
    }
    for slave in slaves.iter().filter(|slave| slave.version != BUILD) {
        others.push(format!("{} has {}", slave.name, slave.version));
    }
    if others.is_empty() {
        return Check::ok(NAME, format!("{BUILD} everywhere"));
    }
    let found = format!("{BUILD} here; {}", others.join(", "));
    Check::warn(NAME, found, "they understand each other, but bring them to one version")
}

fn of_slaves(slaves: &[SlaveView]) -> Check {
    const NAME: &str = "slaves";
    if slaves.is_empty() {
        return Check::warn(NAME, "none: jobs wait", "start one: tally slave --master URL");
    }
    let workers: u32 = slaves.iter().map(|slave| slave.workers).sum();
    let found = format!("{} joined, {workers} workers", slaves.len());
    let named = |is: fn(&SlaveView) -> bool| {
        let names = slaves.iter().filter(|slave| is(slave)).map(|slave| slave.name.as_str());
        names.collect::<Vec<_>>().join(", ")
    };
    let quarantined = named(|slave| slave.quarantined);
    let silent = named(|slave| slave.last_heard_ms > HEARD_MS);
    let draining = named(|slave| slave.draining);
    if !quarantined.is_empty() {
        let advice = "their partials were not right three times in a row: look at memory and network of \
                      their machines; they count again after ten minutes";
        return Check::warn(NAME, format!("{found}; quarantined: {quarantined}"), advice);
    }
    if !silent.is_empty() {
        let advice = "look at their machines and the network between";
        return Check::warn(NAME, format!("{found}; not heard of for 3 s: {silent}"), advice);
    }
    if !draining.is_empty() {
        return Check::ok(NAME, format!("{found}; about to stop: {draining}"));
    }
    Check::ok(NAME, found)
}

fn liars(set_aside: &[SetAsideView]) -> Option<Check> {
    let names: Vec<&str> = set_aside.iter().map(|slave| slave.name.as_str()).collect();
    let advice = "they have said what is false: look at their machines and at who owns them, see what else they \
                  have counted in the master's log; tally slaves --trust NAME lets one in again";
    (!names.is_empty())
        .then(|| Check::warn("liars", format!("not let in: {}", names.join(", ")), advice))
}

/// The workers of slaves that, by their default names, run on this machine, against its cores.
fn workers(slaves: &[SlaveView]) -> Option<Check> {
    let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
    let here = |slave: &&SlaveView| {
        let pid = slave.name.strip_prefix(&host).and_then(|rest| rest.strip_prefix('-'));
        pid.is_some_and(|pid| pid.bytes().all(|byte| byte.is_ascii_digit()))
    };
    let workers: u32 = slaves.iter().filter(here).map(|slave| slave.workers).sum();
    (workers > 0).then(|| against_cores(workers, super::super::cores()))
}

fn against_cores(workers: u32, cores: u32) -> Check {
    const NAME: &str = "workers here";
    let found = format!("{workers} for {cores} cores");
    if workers > cores {
        return Check::warn(
            NAME,
            found,
            "more workers than cores only take turns: lower --workers",
        );
    }
    Check::ok(NAME, found)
}

#[expect(clippy::disallowed_methods, reason = "a clock is what is looked at")]
fn unix_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use tally_common::api::timestamp;
    use tally_common::id::{SessionId, SlaveId};
    use uuid::Uuid;

    use super::super::Verdict;
    use super::*;

    fn slave(name: &str) -> SlaveView {
        SlaveView {
            id: SlaveId::from_uuid(Uuid::nil()),
            session: SessionId::from_uuid(Uuid::nil()),
            name: name.to_owned(),
            version: BUILD.to_owned(),
            workers: 2,
            running: 0,
            prefetched: 0,
            completed: 0,
            failed: 0,
            draining: false,
            quarantined: false,
            last_heard_ms: 0,
            bytes: 0,
            records: 0,
            bytes_per_second: 0,
            history: Vec::new(),
        }
    }

    #[test]
    fn clocks_may_differ_a_little() {
        let theirs = timestamp(1_795_287_600_000);
        assert_eq!(clock(&theirs, 1_795_287_601_900).verdict, Verdict::Ok);
        assert_eq!(clock(&theirs, 1_795_287_590_000).verdict, Verdict::Warn);
        assert_eq!(clock("noon", 0).verdict, Verdict::Warn);
    }

    #[test]
    fn other_versions_are_named() {
        let other = SlaveView { version: "0.0.7".to_owned(), ..slave("old") };
        let check = versions(Some(BUILD), &[slave("a"), other]);
        assert!(check.verdict == Verdict::Warn && check.found.contains("old has 0.0.7"));
        assert!(versions(Some("9.9"), &[]).found.contains("the master has 9.9"));
        assert_eq!(versions(None, &[slave("a")]).verdict, Verdict::Ok);
    }

    #[test]
    fn slaves_that_do_not_count_are_named() {
        assert_eq!(of_slaves(&[]).verdict, Verdict::Warn);
        assert_eq!(of_slaves(&[slave("a")]).verdict, Verdict::Ok);
        let bad = SlaveView { quarantined: true, ..slave("bad") };
        let check = of_slaves(&[slave("a"), bad]);
        assert!(check.verdict == Verdict::Warn && check.found.contains("quarantined: bad"));
        let silent = SlaveView { last_heard_ms: 9_000, ..slave("far") };
        assert!(of_slaves(&[silent]).found.contains("far"));
        let draining = SlaveView { draining: true, ..slave("tired") };
        assert!(of_slaves(&[draining]).found.contains("tired"));
    }

    #[test]
    fn those_that_have_lied_are_named() {
        assert!(liars(&[]).is_none());
        let text = |text: &str| text.to_owned();
        let liar = SetAsideView { name: text("x"), reason: text("y"), since: timestamp(0) };
        let check = liars(&[liar]).unwrap();
        assert!(check.verdict == Verdict::Warn && check.found.contains("not let in: x"));
    }

    #[test]
    fn only_slaves_of_this_machine_share_its_cores() {
        let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
        assert!(workers(&[slave("elsewhere-1"), slave(&format!("{host}-x"))]).is_none());
        assert!(workers(&[slave(&format!("{host}-77"))]).is_some());
        assert_eq!(against_cores(3, 2).verdict, Verdict::Warn);
        assert_eq!(against_cores(2, 2).verdict, Verdict::Ok);
    }
}
