//! `tally master`

use std::fs::File;
use std::net::SocketAddr;
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;
use rustix::fs::{FlockOperation, flock};
use tokio::net::{TcpListener, UnixListener};
use tracing::warn;

use tally_master::access::{Access, AccessConfig, KeysFile, Tls, TokensFile};
use tally_master::config::{Config, StoreUrl};
use tally_master::grpc::Listener;
use tally_master::server::Master;
use tally_master::sources::SourceConfig;

use super::{make_data_dir, recount, stop_signal};
use crate::args::MasterArgs;
use crate::config;
use crate::exit::Kind;
use crate::log::say;

pub(crate) async fn run(args: &MasterArgs) -> anyhow::Result<()> {
    let stop = stop_signal()?;
    // What makes no sense is found before anything is touched.
    #[cfg(feature = "broker")]
    let broker = args.broker.config()?;
    let tls = args.tls.load()?;
    let access = guard(args, tls.as_ref())?;
    let _lock = lock(&args.data_dir)?;
    let mut config = Config::new(args.data_dir.clone());
    config.access = Access::start(access)?;
    config.store = args.store.clone().map(StoreUrl);
    if let Some(threads) = args.merge_threads {
        config.merge_threads = threads as usize;
    }
    let scheme = if tls.is_some() { "https" } else { "http" };
    config.tls = tls;
    config.share_spool = args.share_spool;
    config.http_hosts.clone_from(&args.http_hosts);
    config.input_dirs = real("--input-dir", &args.input_dirs)?;
    config.output_dirs = real("--output-dir", &args.output_dirs)?;
    config.source_prefixes = args.sources.clone();
    config.source_timeout = args.source_timeout.max(Duration::from_millis(10));
    config.max_input = args.max_input;
    config.sources = watched(args)?;
    config.retain = args.retain_days;
    config.upload_timeout = args.upload_hours;
    config.task_bytes = args.task_bytes;
    config.disk_reserve = args.disk_reserve;
    config.max_jobs = args.max_jobs as usize;
    config.max_uploads = args.max_uploads as usize;
    // An interval of nothing would never end.
    config.sweep = args.sweep.max(Duration::from_millis(10));
    config.header_timeout = args.header_timeout.max(Duration::from_millis(10));
    config.pace_window = args.pace_window.max(Duration::from_millis(10));
    config.policy.sample = recount::sample(args.verify_sample);
    config.recounter = Some(recount::recounter());
    #[cfg(feature = "broker")]
    {
        config.broker = broker;
    }
    let grpc = listen(args.grpc).await?;
    let http = listen(args.http).await?;
    let socket = args.grpc_socket.as_deref().map(bind).transpose()?;
    tally_master::metrics::install();
    let master = Master::start(config).await?;
    // Whoever started this waits for these two lines.
    say(&format!("gRPC on {scheme}://{}", grpc.local_addr()?));
    say(&format!("HTTP on {scheme}://{}", http.local_addr()?));
    if let Some((_, at)) = &socket {
        say(&format!("gRPC also on unix:{}", at.0.display()));
    }
    let (unix, _at) = socket.unzip();
    let grpc = Listener::from(grpc).with_unix(unix);
    Ok(master.serve(grpc, http, stop).await?)
}

/// Who may ask this master for what. A master that others can reach, and that asks for nothing, is one only if
/// its operator says so.
fn guard(args: &MasterArgs, tls: Option<&Tls>) -> anyhow::Result<AccessConfig> {
    let mut access = AccessConfig::new(&args.data_dir);
    if let Some(keys) = &args.keys {
        access.keys = KeysFile::at(keys.clone());
    }
    if let Some(tokens) = &args.join_tokens {
        access.tokens = TokensFile::at(tokens.clone());
        access.make_tokens = false;
    }
    access.public_metrics = args.public_metrics;
    access.limits.requests_per_second = args.key_requests_per_second;
    access.limits.burst = args.key_burst;
    access.limits.max_jobs = args.key_max_jobs;
    access.limits.bytes_per_day = args.key_bytes_per_day;
    if let Some(tls) = tls {
        access.certificates = tls.client_scopes();
    }
    // Whoever names authorities wants to be shown certificates, on this machine, too.
    let has_authorities = tls.is_some_and(Tls::knows_clients);
    access.guarded = has_authorities;
    let has_keys = !access.keys.list()?.is_empty();
    let exposed = [args.grpc, args.http].into_iter().find(|address| !address.ip().is_loopback());
    if let Some(address) = exposed {
        access.guarded |= !args.insecure;
        if access.guarded && !has_keys && !has_authorities {
            return Err(Kind::Usage.error(format!(
                "listening on {address} would let anyone on the network read and delete jobs, since there \
                 are no keys; make one (tally keys create --data-dir {} --name admin --scope admin), name \
                 those who vouch for certificates (--tls-client-ca), or say --insecure to do it all the same",
                args.data_dir.display()
            )));
        }
        if has_keys && tls.is_none() {
            warn!(
                "keys go over the network in clear text to {address}, unless something in front of this \
                 master does TLS"
            );
        }
    }
    Ok(access)
}

/// The places that are watched: of the config file, and of the command line.
fn watched(args: &MasterArgs) -> anyhow::Result<Vec<SourceConfig>> {
    let mut drafts = config::sources()?;
    drafts.extend(args.watch.iter().cloned());
    let sources = SourceConfig::check(drafts, |name| std::env::var(name).ok());
    sources.map_err(|error| Kind::Usage.error(error.to_string()))
}

/// The folders by their real names. One that is not there is a mistake better found now.
fn real(flag: &str, folders: &[PathBuf]) -> anyhow::Result<Vec<PathBuf>> {
    let find = |folder: &PathBuf| {
        let found = folder.canonicalize().and_then(|found| {
            let is_dir = found.metadata()?.is_dir();
            if is_dir { Ok(found) } else { Err(std::io::ErrorKind::NotADirectory.into()) }
        });
        found.map_err(|error| Kind::Usage.error(format!("{flag} {}: {error}", folder.display())))
    };
    folders.iter().map(find).collect()
}

/// The path of a socket, which goes with the process.
struct At(PathBuf);

impl Drop for At {
    fn drop(&mut self) {
        // It may be gone already; nobody is left to hear of anything else.
        let _ = std::fs::remove_file(&self.0);
    }
}

/// Listens on a Unix socket. One that a master has left behind, which died, is no hindrance.
fn bind(path: &Path) -> anyhow::Result<(UnixListener, At)> {
    let shown = path.display();
    let is_socket = std::fs::symlink_metadata(path).is_ok_and(|file| file.file_type().is_socket());
    if is_socket {
        let answers = std::os::unix::net::UnixStream::connect(path).is_ok();
        anyhow::ensure!(!answers, "the socket {shown} is in use by another process");
        std::fs::remove_file(path).with_context(|| format!("the socket {shown}"))?;
    }
    let listener =
        UnixListener::bind(path).with_context(|| format!("{shown} can not be listened on"))?;
    Ok((listener, At(path.to_owned())))
}

/// Takes the data folder for this process alone, as long as the file is open.
fn lock(folder: &Path) -> anyhow::Result<File> {
    let shown = folder.display();
    make_data_dir(folder)?;
    let file =
        File::create(folder.join("lock")).with_context(|| format!("the data folder {shown}"))?;
    flock(&file, FlockOperation::NonBlockingLockExclusive).map_err(|_| {
        anyhow::anyhow!("the data folder {shown} is in use by another master; give each its own")
    })?;
    Ok(file)
}

async fn listen(address: SocketAddr) -> anyhow::Result<TcpListener> {
    TcpListener::bind(address).await.with_context(|| format!("{address} can not be listened on"))
}
