//! `tally source serve`: the CSV files of a folder for a master that watches them. `/sense` says whether they
//! have changed, `/read` gives them, one after the other under their common header. Nothing is written, and
//! nothing is remembered but what was read last.

use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::SystemTime;

use anyhow::Context;
use axum::Router;
use axum::body::Body;
use axum::extract::{Query, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use bytes::Bytes;
use serde::Deserialize;
use sha2::{Digest, Sha256};
use tokio::fs::File;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

use crate::commands::stop_signal;
use crate::exit::Kind;
use crate::log::say;

/// Bytes of a piece of a file, and pieces that may wait for who reads them.
const PIECE_BYTES: usize = 256 << 10;
const PIECES_AHEAD: usize = 4;

/// Most files that are served as one.
const MAX_FILES: usize = 10_000;

/// Longest header of a file, in bytes, as elsewhere.
const MAX_HEADER_BYTES: u64 = 1 << 20;

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Example:
  tally source serve /srv/products --listen 127.0.0.1:9000 &
  tally master --source name=shop,kind=sense,url=http://127.0.0.1:9000,table=products,preset=products,\\
allow_private=true")]
pub(crate) struct ServeArgs {
    /// The folder
    dir: PathBuf,
    /// Where to listen; port 0 takes a free one
    #[arg(long, value_name = "ADDR:PORT", default_value = "127.0.0.1:0")]
    listen: SocketAddr,
    /// Serve this file of the folder alone [default: all that end with .csv]
    #[arg(long, value_name = "NAME")]
    file: Option<String>,
    /// Listen on an address that others can reach, although nothing keeps them from reading the files
    #[arg(long)]
    insecure: bool,
}

pub(super) async fn run(args: ServeArgs) -> anyhow::Result<()> {
    let stop = stop_signal()?;
    if !args.listen.ip().is_loopback() && !args.insecure {
        return Err(Kind::Usage.error(format!(
            "listening on {} would let anyone on the network read the files; say --insecure to do it all \
             the same",
            args.listen
        )));
    }
    anyhow::ensure!(args.dir.is_dir(), "{} is no folder", args.dir.display());
    if args.file.as_deref().is_some_and(|name| name.contains('/') || name == "..") {
        return Err(Kind::Usage.error("--file: the name of a file in the folder, without its path"));
    }
    let listener = TcpListener::bind(args.listen).await;
    let listener = listener.with_context(|| format!("{} can not be listened on", args.listen))?;
    // Whoever started this waits for this line.
    say(&format!("source on http://{}", listener.local_addr()?));
    let served = Served { dir: args.dir, file: args.file, read: Mutex::default() };
    let app = Router::new()
        .route("/sense", get(sense))
        .route("/read", get(read))
        .with_state(Arc::new(served));
    tokio::select! {
        ended = async { axum::serve(listener, app).await } => Ok(ended?),
        () = stop => Ok(()),
    }
}

struct Served {
    dir: PathBuf,
    file: Option<String>,
    /// The ETag of what was read to its end last, by anybody.
    read: Mutex<Option<String>>,
}

/// The files at one moment.
struct Now {
    files: Vec<PathBuf>,
    etag: String,
    modified: SystemTime,
}

impl Served {
    fn now(&self) -> io::Result<Now> {
        let mut names = Vec::new();
        match &self.file {
            Some(name) => names.push(name.clone()),
            None => {
                for entry in std::fs::read_dir(&self.dir)? {
                    let Ok(name) = entry?.file_name().into_string() else { continue };
                    if name.ends_with(".csv") && !name.starts_with('.') {
                        names.push(name);
                    }
                }
            }
        }
        if names.len() > MAX_FILES {
            return Err(io::Error::other(format!("there are more than {MAX_FILES} files")));
        }
        names.sort_unstable();
        let (mut files, mut hash) = (Vec::new(), Sha256::new());
        let mut modified = SystemTime::UNIX_EPOCH;
        for name in names {
            let path = self.dir.join(&name);
            let found = match std::fs::metadata(&path) {
                Ok(found) if found.is_file() => found,
                Ok(_) => continue,
                // Not there yet, or gone again.
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => return Err(error),
            };
            let (seconds, nanoseconds) = (found.mtime(), found.mtime_nsec());
            let words =
                [found.len(), found.ino(), seconds.cast_unsigned(), nanoseconds.cast_unsigned()];
            hash.update(name.as_bytes());
            hash.update([0]);
            words.iter().for_each(|word| hash.update(word.to_be_bytes()));
            modified = modified.max(found.modified()?);
            files.push(path);
        }
        let digest = hash.finalize();
        let digits: String = digest.iter().take(16).map(|byte| format!("{byte:02x}")).collect();
        Ok(Now { files, etag: format!("\"{digits}\""), modified })
    }

    fn was_read(&self, etag: String) {
        // Nobody panics with it.
        if let Ok(mut read) = self.read.lock() {
            *read = Some(etag);
        }
    }

    fn last_read(&self) -> Option<String> {
        self.read.lock().ok().and_then(|read| read.clone())
    }
}

#[derive(Deserialize)]
struct Since {
    since: Option<String>,
}

fn plain(status: StatusCode, text: impl Into<String>) -> Response {
    (status, [(header::CONTENT_TYPE, "text/plain; charset=utf-8")], text.into()).into_response()
}

fn failed(error: &io::Error) -> Response {
    plain(StatusCode::INTERNAL_SERVER_ERROR, format!("the folder can not be read: {error}\n"))
}

fn asked<'a>(headers: &'a HeaderMap, name: &header::HeaderName) -> Option<&'a str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

/// `1` where there is something new: since the ETag that the request names (`?since=` or If-None-Match),
/// else since anybody has read all of it last.
async fn sense(
    State(served): State<Arc<Served>>,
    Query(since): Query<Since>,
    headers: HeaderMap,
) -> Response {
    let now = match served.now() {
        Ok(now) => now,
        Err(error) => return failed(&error),
    };
    let since = since.since.map(|etag| format!("\"{}\"", etag.trim_matches('"')));
    let since = since.or_else(|| asked(&headers, &header::IF_NONE_MATCH).map(str::to_owned));
    let since = since.or_else(|| served.last_read());
    let changed = !now.files.is_empty() && since.is_none_or(|since| since != now.etag);
    plain(StatusCode::OK, if changed { "1" } else { "0" })
}

async fn read(State(served): State<Arc<Served>>, headers: HeaderMap) -> Response {
    let now = match served.now() {
        Ok(now) if now.files.is_empty() => {
            return plain(StatusCode::NOT_FOUND, "there is no file yet\n");
        }
        Ok(now) => now,
        Err(error) => return failed(&error),
    };
    let validators = [
        (header::ETAG, now.etag.clone()),
        (header::LAST_MODIFIED, httpdate::fmt_http_date(now.modified)),
        (header::CONTENT_TYPE, "text/csv".to_owned()),
    ];
    let unmodified = match asked(&headers, &header::IF_NONE_MATCH) {
        Some(etags) => etags.split(',').any(|etag| etag.trim() == now.etag || etag.trim() == "*"),
        None => {
            let since = asked(&headers, &header::IF_MODIFIED_SINCE);
            let since = since.and_then(|since| httpdate::parse_http_date(since).ok());
            // The header has whole seconds.
            since.is_some_and(|since| seconds(now.modified) <= seconds(since))
        }
    };
    if unmodified {
        served.was_read(now.etag);
        return (StatusCode::NOT_MODIFIED, validators).into_response();
    }
    let (sender, pieces) = mpsc::channel(PIECES_AHEAD);
    if let Err(error) = same_header(&now.files).await {
        return plain(StatusCode::CONFLICT, format!("{error}\n"));
    }
    tokio::spawn(async move {
        match send(&served, &now, &sender).await {
            Ok(()) => {
                // Read to its end, as far as can be known here.
                let all = sender.reserve_many(PIECES_AHEAD).await.is_ok();
                if all {
                    served.was_read(now.etag);
                }
            }
            // Ends the body before its end, which a reader sees.
            Err(error) => drop(sender.send(Err(error)).await),
        }
    });
    (StatusCode::OK, validators, Body::from_stream(ReceiverStream::new(pieces))).into_response()
}

fn seconds(time: SystemTime) -> u64 {
    time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs()
}

/// The first line of a file, without its end and a byte order mark.
async fn first_line(path: &Path) -> io::Result<Vec<u8>> {
    let mut line = Vec::new();
    let file = BufReader::new(File::open(path).await?);
    file.take(MAX_HEADER_BYTES).read_until(b'\n', &mut line).await?;
    Ok(header_of(&line).to_vec())
}

fn header_of(line: &[u8]) -> &[u8] {
    let line = line.strip_prefix(b"\xef\xbb\xbf").unwrap_or(line);
    line.trim_ascii_end()
}

/// Several files are given as one only where they have one header.
async fn same_header(files: &[PathBuf]) -> io::Result<()> {
    let [first, others @ ..] = files else { return Ok(()) };
    if others.is_empty() {
        return Ok(());
    }
    let wanted = first_line(first).await?;
    for file in others {
        if first_line(file).await? != wanted {
            let (first, file) = (first.display(), file.display());
            let why = format!("{file} has another header than {first}: serve one with --file");
            return Err(io::Error::other(why));
        }
    }
    Ok(())
}

async fn send(
    served: &Served,
    now: &Now,
    sender: &mpsc::Sender<io::Result<Bytes>>,
) -> io::Result<()> {
    let gone = || io::Error::from(io::ErrorKind::BrokenPipe);
    let mut ends_line = true;
    for (number, path) in now.files.iter().enumerate() {
        let mut file = BufReader::new(File::open(path).await?);
        if number > 0 {
            let mut header = Vec::new();
            (&mut file).take(MAX_HEADER_BYTES).read_until(b'\n', &mut header).await?;
            if !ends_line {
                sender.send(Ok(Bytes::from_static(b"\n"))).await.map_err(|_| gone())?;
                ends_line = true;
            }
        }
        loop {
            let mut piece = vec![0; PIECE_BYTES];
            let n = file.read(&mut piece).await?;
            if n == 0 {
                break;
            }
            piece.truncate(n);
            ends_line = piece.ends_with(b"\n");
            sender.send(Ok(piece.into())).await.map_err(|_| gone())?;
        }
    }
    // What was read in parts before and after a change is neither the old nor the new.
    if served.now()?.etag != now.etag {
        return Err(io::Error::other("the files were changed while they were read"));
    }
    Ok(())
}
