//! A master and slaves of which each has a network of its own.

use std::process::Command;

use serde_json::Value;
use tally_tests::{Cluster, Options, Process, Proxy, eventually, tally};

/// A slave and its way to the master.
pub(crate) struct Slave {
    pub(crate) name: String,
    pub(crate) link: Proxy,
    pub(crate) process: Process,
}

/// A master and slaves of which each has a network of its own.
pub(crate) struct Field {
    // Dropped in this order: what is connected before what it is connected to.
    pub(crate) slaves: Vec<Slave>,
    pub(crate) cluster: Cluster,
}

impl Slave {
    fn start(name: &str, master: &str) -> Self {
        let link = Proxy::start(master);
        let process = Process::start(name, command(name, &link));
        Self { name: name.to_owned(), link, process }
    }

    /// Starts it once more; the process before has ended.
    pub(crate) fn restart(&mut self) {
        self.process = Process::start(&self.name, command(&self.name, &self.link));
    }
}

fn command(name: &str, link: &Proxy) -> Command {
    let mut command = tally();
    command.args(["slave", "--master", &link.url(), "--name", name, "--workers", "1"]);
    // Whether a partial was new or a repeat is said on this level.
    command.env("TALLY_LOG", "tally_slave=debug");
    command
}

impl Field {
    /// A master and `slaves` slaves of one worker each, all joined.
    pub(crate) fn start(slaves: usize) -> Self {
        Self::start_with(slaves, Options::default())
    }

    /// The same, with options.
    pub(crate) fn start_with(slaves: usize, options: Options) -> Self {
        let cluster = Cluster::start_with(0, options);
        let name = |n| format!("slave-{n}");
        let slaves = (0..slaves).map(|n| Slave::start(&name(n), cluster.grpc())).collect();
        let field = Self { slaves, cluster };
        field.wait_for_all();
        field
    }

    /// Waits until each slave is joined, once.
    pub(crate) fn wait_for_all(&self) {
        eventually("all slaves to be joined", || {
            let mut joined: Vec<String> =
                self.joined().iter().map(|slave| slave["name"].as_str().unwrap().into()).collect();
            joined.sort();
            let names = self.slaves.iter().map(|slave| &slave.name);
            names.eq(&joined).then_some(())
        });
    }

    /// The slaves as the master shows them.
    pub(crate) fn joined(&self) -> Vec<Value> {
        self.cluster.slaves_now()
    }

    /// Tasks that a slave is counting now, as the master sees it.
    pub(crate) fn running(&self, slave: usize) -> u64 {
        let name = &self.slaves[slave].name;
        let joined = self.joined();
        let found = joined.iter().find(|slave| slave["name"] == name.as_str());
        found.and_then(|slave| slave["running"].as_u64()).unwrap_or(0)
    }

    /// Waits until a slave is counting.
    pub(crate) fn wait_until_counting(&self, slave: usize) {
        eventually("the slave to be counting", || (self.running(slave) > 0).then_some(()));
    }

    /// Waits until the master has given a slave up.
    pub(crate) fn wait_until_gone(&self, slave: usize) {
        let name = self.slaves[slave].name.as_str();
        eventually("the master to miss the slave", || {
            self.joined().iter().all(|slave| slave["name"] != name).then_some(())
        });
    }
}
