//! Inputs that are fetched from elsewhere: only from where the operator allows it, whatever a source
//! redirects to. Blocking; what comes is passed on as it comes, and never kept here.

mod guard;
mod place;

use std::io;
use std::time::Duration;

use bytes::Bytes;
use thiserror::Error;
use tokio::sync::mpsc;
use tokio::task::spawn_blocking;
use ureq::http::header::{CONTENT_ENCODING, CONTENT_TYPE, LOCATION};
use ureq::http::{Response, StatusCode};
use ureq::{Agent, Body};

pub(crate) use guard::Guard;
pub(crate) use place::Place;
pub use place::{BadPrefix, SourcePrefix};

use crate::config::Config;
use crate::spool::{InputError, read_up_to};

/// Redirects that are followed: what more are needed for is a mistake.
const MAX_REDIRECTS: usize = 5;

/// How long a source may take to be found and connected to.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// Bytes of a piece.
const PIECE_BYTES: usize = 256 << 10;

/// Pieces that may wait for the spool.
const PIECES_AHEAD: usize = 4;

/// The operator does not allow that an input is fetched from there.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{0}")]
pub(crate) struct NotAllowed(String);

/// What comes of a source: its bytes, or why there are no more of them.
pub(crate) type Pieces = mpsc::Receiver<Result<Bytes, InputError>>;

/// A URL that may be fetched.
#[derive(Clone, Debug)]
pub(crate) struct Source {
    place: Place,
    allowed: Vec<SourcePrefix>,
    timeout: Duration,
    max_input: Option<u64>,
}

impl Source {
    /// Looks whether `url` may be fetched.
    pub(crate) fn new(url: &str, config: &Config) -> Result<Self, NotAllowed> {
        let place = Place::parse(url).map_err(NotAllowed)?;
        let allowed = config.source_prefixes.clone();
        if !allowed.iter().any(|prefix| prefix.covers(&place)) {
            let why = format!(
                "{place}: this master fetches nothing from there; its operator can allow it \
                 (--allow-source)"
            );
            return Err(NotAllowed(why));
        }
        let (timeout, max_input) = (config.source_timeout, config.max_input);
        Ok(Self { place, allowed, timeout, max_input })
    }

    /// What the file at the end of the URL is called.
    pub(crate) fn file_name(&self) -> Option<&str> {
        self.place.file_name()
    }

    /// Begins to fetch it, on a thread of its own, which ends when what comes back is dropped.
    pub(crate) fn fetch(self) -> Pieces {
        let (sender, pieces) = mpsc::channel(PIECES_AHEAD);
        spawn_blocking(move || {
            if let Err(why) = self.run(&sender) {
                // One that has gone need not know.
                let _ = sender.blocking_send(Err(why));
            }
        });
        pieces
    }

    fn run(&self, sender: &mpsc::Sender<Result<Bytes, InputError>>) -> Result<(), InputError> {
        let (place, response) = self.open().map_err(InputError::Source)?;
        look(&place, &response).map_err(InputError::Source)?;
        let length = response.headers().get("content-length");
        let length: Option<u64> = length.and_then(|length| length.to_str().ok()?.parse().ok());
        if let (Some(length), Some(most)) = (length, self.max_input)
            && length > most
        {
            return Err(InputError::TooLarge(most));
        }
        let mut body = response.into_body().into_with_config().limit(u64::MAX).reader();
        let mut sent = 0u64;
        loop {
            let mut piece = vec![0; PIECE_BYTES];
            let n = match read_up_to(&mut body, &mut piece) {
                Ok(0) => break,
                Ok(n) => n,
                Err(error) => return Err(InputError::Source(self.broke_off(&place, sent, &error))),
            };
            piece.truncate(n);
            sent += n as u64;
            if sender.blocking_send(Ok(piece.into())).is_err() {
                return Ok(());
            }
        }
        match length {
            Some(length) if length != sent => {
                let why = format!("{place} gave {sent} bytes, and had announced {length}");
                Err(InputError::Source(why))
            }
            _ => Ok(()),
        }
    }

    fn broke_off(&self, place: &Place, sent: u64, error: &io::Error) -> String {
        let why = match error.kind() {
            io::ErrorKind::TimedOut => self.silence(),
            _ => error.to_string(),
        };
        format!("{place} broke off after {sent} bytes: {why}")
    }

    fn silence(&self) -> String {
        format!("it was silent for {} s", self.timeout.as_secs_f64())
    }

    /// Follows redirects, as far as they are allowed.
    fn open(&self) -> Result<(Place, Response<Body>), String> {
        let agent: Agent = Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            // One request for each: a connection that is kept may be closed by then.
            .max_idle_connections(0)
            .timeout_resolve(Some(CONNECT_TIMEOUT))
            .timeout_connect(Some(CONNECT_TIMEOUT))
            .timeout_recv_response(Some(self.timeout))
            .timeout_per_read(Some(self.timeout))
            .user_agent("tally")
            .build()
            .into();
        let mut place = self.place.clone();
        for _ in 0..=MAX_REDIRECTS {
            let response = agent.get(place.url()).call().map_err(|error| match error {
                ureq::Error::Timeout(_) => format!("{place} does not answer: {}", self.silence()),
                error => format!("{place} can not be reached: {error}"),
            })?;
            if !is_redirect(response.status()) {
                return Ok((place, response));
            }
            let to = response.headers().get(LOCATION).and_then(|to| to.to_str().ok());
            let to = to.ok_or_else(|| format!("{place} redirects, and does not say where to"))?;
            let next = place.join(to).map_err(|why| format!("{place} redirects: {why}"))?;
            if !self.allowed.iter().any(|prefix| prefix.covers(&next)) {
                return Err(format!(
                    "{place} redirects to {next}, from where this master fetches nothing; its \
                     operator can allow it (--allow-source)"
                ));
            }
            place = next;
        }
        Err(format!("{} redirects more than {MAX_REDIRECTS} times", self.place))
    }
}

pub(crate) fn is_redirect(status: StatusCode) -> bool {
    matches!(status.as_u16(), 301 | 302 | 303 | 307 | 308)
}

/// Whether an answer may hold an input.
pub(crate) fn look(place: &Place, response: &Response<Body>) -> Result<(), String> {
    let status = response.status();
    if status != StatusCode::OK {
        return Err(format!("{place} answers {status}"));
    }
    let header = |name| {
        let value = response.headers().get(name).and_then(|value| value.to_str().ok());
        value.unwrap_or_default().trim().to_ascii_lowercase()
    };
    let kind = header(CONTENT_TYPE);
    if kind.starts_with("text/html") || kind.starts_with("application/xhtml") {
        return Err(format!(
            "{place} sends a web page (is one to log in there first?), and no CSV"
        ));
    }
    let coding = header(CONTENT_ENCODING);
    if !matches!(&*coding, "" | "identity" | "gzip" | "x-gzip" | "zstd") {
        return Err(format!("{place} sends it compressed as {coding:?}: gzip and zstd are known"));
    }
    Ok(())
}
