//! A real RabbitMQ of Debian's, with a home, ports and a name server of its own, on loopback alone.
//! Nothing of it is left when it is dropped.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};
use tempfile::TempDir;

use crate::eventually;

/// Debian's script; the one in the path changes the user first.
const SERVER: &str = "/usr/lib/rabbitmq/bin/rabbitmq-server";

/// Erlang's name server. Started here, it stays a child of ours; a node would start one that outlives it.
const NAME_SERVER: &str = "/usr/bin/epmd";

/// The nodes of this process, so that each has a name of its own.
static STARTED: AtomicU32 = AtomicU32::new(0);

/// A running broker.
pub struct Rabbit {
    folder: TempDir,
    name: String,
    port: u16,
    node_port: u16,
    names_port: u16,
    names: Child,
    server: Child,
}

impl Rabbit {
    /// Starts one and waits until it takes connections.
    ///
    /// # Panics
    /// Where it is not installed, or does not come up.
    pub fn start() -> Self {
        assert!(
            Path::new(SERVER).exists(),
            "there is no RabbitMQ here: run ./test, or install rabbitmq-server first"
        );
        let folder = tempfile::tempdir().expect("a temporary folder can be made");
        let [port, node_port, names_port] = free_ports();
        let number = STARTED.fetch_add(1, Ordering::Relaxed);
        let name = format!("tally-{}-{number}@localhost", std::process::id());
        let mut names = Command::new(NAME_SERVER);
        names.args(["-address", "127.0.0.1", "-port", &names_port.to_string()]);
        names.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let names = names.spawn().expect("Erlang's name server starts");
        let server = start(folder.path(), &name, port, node_port, names_port);
        let rabbit = Self { folder, name, port, node_port, names_port, names, server };
        rabbit.wait();
        rabbit
    }

    /// Where it takes connections, as the user that it lets in from this machine.
    pub fn url(&self) -> String {
        format!("amqp://guest:guest@127.0.0.1:{}", self.port)
    }

    /// `HOST:PORT`
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Ends it as a power cut would.
    pub fn kill(&mut self) {
        // Everything that it has started is in its group.
        let _ = kill_process_group(Pid::from_child(&self.server), Signal::KILL);
        let _ = self.server.wait();
    }

    /// Starts it again on what it has kept.
    ///
    /// # Panics
    /// Where it does not come up.
    pub fn start_again(&mut self) {
        self.server =
            start(self.folder.path(), &self.name, self.port, self.node_port, self.names_port);
        self.wait();
    }

    /// Waits until it answers who connects. It listens when it has read all queues.
    fn wait(&self) {
        eventually("RabbitMQ to answer", || {
            let mut stream = TcpStream::connect(("127.0.0.1", self.port)).ok()?;
            stream.set_read_timeout(Some(Duration::from_secs(5))).ok()?;
            stream.write_all(b"AMQP\x00\x00\x09\x01").ok()?;
            stream.read_exact(&mut [0]).ok()
        });
    }
}

impl Drop for Rabbit {
    fn drop(&mut self) {
        self.kill();
        let _ = self.names.kill();
        let _ = self.names.wait();
    }
}

fn start(folder: &Path, name: &str, port: u16, node_port: u16, names_port: u16) -> Child {
    let mut command = Command::new(SERVER);
    let settings = folder.join("rabbitmq.conf");
    // Queues that wait for the disk's last gigabytes are not what is tested.
    std::fs::write(&settings, "disk_free_limit.absolute = 1MB\n").expect("the folder takes files");
    std::fs::write(folder.join("plugins"), "[].\n").expect("the folder takes files");
    command.env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default());
    command.env("HOME", folder).env("RABBITMQ_NODENAME", name);
    command.env("RABBITMQ_NODE_IP_ADDRESS", "127.0.0.1");
    command.env("RABBITMQ_NODE_PORT", port.to_string());
    command.env("RABBITMQ_DIST_PORT", node_port.to_string());
    command.env("ERL_EPMD_PORT", names_port.to_string()).env("ERL_EPMD_ADDRESS", "127.0.0.1");
    command.env("RABBITMQ_MNESIA_BASE", folder.join("data"));
    command.env("RABBITMQ_LOG_BASE", folder.join("log"));
    command.env("RABBITMQ_PID_FILE", folder.join("pid"));
    command.env("RABBITMQ_CONFIG_FILE", &settings);
    command.env("RABBITMQ_CONF_ENV_FILE", folder.join("none"));
    command.env("RABBITMQ_ENABLED_PLUGINS_FILE", folder.join("plugins"));
    // Threads that wait sleep: the cores are others' as well.
    let args = "+S 2:2 +sbwt none -kernel inet_dist_use_interface {127,0,0,1}";
    command.env("RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS", args);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.current_dir(folder).process_group(0).spawn().expect("RabbitMQ's script starts")
}

/// Ports that nobody listens on at the moment.
fn free_ports() -> [u16; 3] {
    let listeners = [(); 3].map(|()| TcpListener::bind("127.0.0.1:0").expect("a port is free"));
    listeners.map(|listener| listener.local_addr().expect("it listens").port())
}
