//! A real RabbitMQ of Debian's, with a home, ports and a name server of its own, on loopback alone.
//! Nothing of it is left when it is dropped.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
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
    /// Where it takes connections over TLS alone.
    tls: Option<u16>,
}

impl Rabbit {
    /// Starts one and waits until it takes connections.
    ///
    /// # Panics
    /// Where it is not installed, or does not come up.
    pub fn start() -> Self {
        Self::start_with(false)
    }

    /// The same, for connections over TLS: with a certificate for `localhost` that an authority of its own
    /// has signed, [`Self::authority`].
    ///
    /// # Panics
    /// Where it is not installed, or does not come up.
    pub fn start_with_tls() -> Self {
        Self::start_with(true)
    }

    fn start_with(tls: bool) -> Self {
        assert!(
            Path::new(SERVER).exists(),
            "there is no RabbitMQ here: run ./test, or install rabbitmq-server first"
        );
        let folder = tempfile::tempdir().expect("a temporary folder can be made");
        let [port, node_port, names_port, tls_port] = free_ports();
        let number = STARTED.fetch_add(1, Ordering::Relaxed);
        let name = format!("tally-{}-{number}@localhost", std::process::id());
        let mut names = Command::new(NAME_SERVER);
        names.args(["-address", "127.0.0.1", "-port", &names_port.to_string()]);
        names.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let names = names.spawn().expect("Erlang's name server starts");
        let tls = tls.then_some(tls_port);
        configure(folder.path(), tls);
        let server = start(folder.path(), &name, port, node_port, names_port);
        let rabbit = Self { folder, name, port, node_port, names_port, names, server, tls };
        rabbit.wait();
        rabbit
    }

    /// Where it takes connections, as the user that it lets in from this machine.
    pub fn url(&self) -> String {
        format!("amqp://guest:guest@127.0.0.1:{}", self.port)
    }

    /// Where it takes connections over TLS, if it does, by the name that its certificate is for.
    pub fn tls_url(&self) -> Option<String> {
        Some(format!("amqps://guest:guest@localhost:{}", self.tls?))
    }

    /// The certificate of the authority that has signed its own.
    pub fn authority(&self) -> PathBuf {
        self.folder.path().join("ca.pem")
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
    command.env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default());
    command.env("HOME", folder).env("RABBITMQ_NODENAME", name);
    command.env("RABBITMQ_NODE_IP_ADDRESS", "127.0.0.1");
    command.env("RABBITMQ_NODE_PORT", port.to_string());
    command.env("RABBITMQ_DIST_PORT", node_port.to_string());
    command.env("ERL_EPMD_PORT", names_port.to_string()).env("ERL_EPMD_ADDRESS", "127.0.0.1");
    command.env("RABBITMQ_MNESIA_BASE", folder.join("data"));
    command.env("RABBITMQ_LOG_BASE", folder.join("log"));
    command.env("RABBITMQ_PID_FILE", folder.join("pid"));
    command.env("RABBITMQ_CONFIG_FILE", folder.join("rabbitmq.conf"));
    command.env("RABBITMQ_CONF_ENV_FILE", folder.join("none"));
    command.env("RABBITMQ_ENABLED_PLUGINS_FILE", folder.join("plugins"));
    // Threads that wait sleep: the cores are others' as well.
    let args = "+S 2:2 +sbwt none -kernel inet_dist_use_interface {127,0,0,1}";
    command.env("RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS", args);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.current_dir(folder).process_group(0).spawn().expect("RabbitMQ's script starts")
}

/// Writes its settings, and where it listens for TLS its certificate.
fn configure(folder: &Path, tls: Option<u16>) {
    // Queues that wait for the disk's last gigabytes are not what is tested.
    let mut settings = "disk_free_limit.absolute = 1MB\n".to_owned();
    if let Some(port) = tls {
        certify(folder);
        let files = [("cacertfile", "ca.pem"), ("certfile", "cert.pem"), ("keyfile", "key.pem")];
        settings.push_str(&format!("listeners.ssl.1 = 127.0.0.1:{port}\n"));
        for (name, file) in files {
            settings.push_str(&format!("ssl_options.{name} = {}\n", folder.join(file).display()));
        }
        settings.push_str("ssl_options.verify = verify_none\n");
    }
    std::fs::write(folder.join("rabbitmq.conf"), settings).expect("the folder takes files");
    std::fs::write(folder.join("plugins"), "[].\n").expect("the folder takes files");
}

/// Makes an authority, and a certificate for `localhost` that it has signed.
fn certify(folder: &Path) {
    std::fs::write(folder.join("san"), "subjectAltName=DNS:localhost\n")
        .expect("the folder takes files");
    let key = "-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2";
    for line in [
        format!("req -x509 {key} -subj /CN=tests -keyout ca.key -out ca.pem"),
        format!("req {key} -subj /CN=localhost -keyout key.pem -out csr.pem"),
        "x509 -req -in csr.pem -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -extfile san -out cert.pem"
            .to_owned(),
    ] {
        let mut openssl = Command::new("openssl");
        let said = openssl.args(line.split(' ')).current_dir(folder).output();
        let said = said.expect("openssl is installed");
        assert!(said.status.success(), "{line}: {}", String::from_utf8_lossy(&said.stderr));
    }
}

/// Ports that nobody listens on at the moment.
fn free_ports() -> [u16; 4] {
    let listeners = [(); 4].map(|()| TcpListener::bind("127.0.0.1:0").expect("a port is free"));
    listeners.map(|listener| listener.local_addr().expect("it listens").port())
}
