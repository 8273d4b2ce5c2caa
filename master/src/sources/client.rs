//! Asking a server: whether it has something new, and for what it has. Blocking; every step has a bound in
//! time, what comes has one in bytes, and each address and redirect is checked.

use std::fs::File;
use std::io::{Read, Write};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use sha2::{Digest, Sha256};
use ureq::http::header::{ETAG, IF_MODIFIED_SINCE, IF_NONE_MATCH, LAST_MODIFIED, LOCATION};
use ureq::http::{Response, StatusCode};
use ureq::unversioned::transport::DefaultConnector;
use ureq::{Agent, Body};

use super::config::SourceConfig;
use super::machine::Content;
use crate::disk::Disk;
use crate::fetch::{Guard, Place, is_redirect, look};

/// How long a name may take to be looked up and an address to be connected to; less, where the source's
/// timeout is less.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// How long all of a fetch may take: longer than any that goes on at all, so that one that drips ends.
const WHOLE_TIMEOUT: Duration = Duration::from_secs(6 * 3600);

/// Most bytes of an answer to the question whether there is something new.
const SENSE_BYTES: u64 = 64;

/// Bytes of a piece, and after how many of them the disk's room is looked at.
const PIECE_BYTES: usize = 256 << 10;
const LOOK_PIECES: u64 = 64;

/// Bytes that tell a page from data.
const SNIFF_BYTES: usize = 256;

/// Longest validator that is remembered, in bytes.
const MAX_VALIDATOR_BYTES: usize = 1024;

/// What was given when something was asked for.
#[derive(Debug)]
pub(super) enum Given {
    Unmodified,
    /// It was changed while it was read, or has gone: to be tried in the next round.
    Unsteady,
    Content(Content),
}

/// Where fetched bytes go.
pub(super) struct Into<'a> {
    pub(super) path: &'a Path,
    pub(super) disk: &'a Disk,
    pub(super) stop: &'a Arc<AtomicBool>,
}

/// A client for one source.
pub(super) struct Client<'a> {
    source: &'a SourceConfig,
    place: &'a Place,
}

impl<'a> Client<'a> {
    pub(super) fn new(source: &'a SourceConfig, place: &'a Place) -> Self {
        Self { source, place }
    }

    /// Asks `/sense`. `etag` is of what `/read` gave last: one that serves several readers may say what is
    /// new to this one.
    pub(super) fn sense(&self, etag: Option<&str>) -> Result<bool, String> {
        let place = self.place.below("sense");
        let (place, response) = self.open(place, etag, None)?;
        if response.status() == StatusCode::NOT_MODIFIED {
            return Ok(false);
        }
        if response.status() != StatusCode::OK {
            return Err(format!("{place} answers {}", response.status()));
        }
        let mut text = Vec::new();
        let mut body = response.into_body().into_with_config().limit(u64::MAX).reader();
        let read = body.by_ref().take(SENSE_BYTES + 1).read_to_end(&mut text);
        read.map_err(|error| self.broke_off(&place, 0, &error))?;
        match text.trim_ascii() {
            b"1" => Ok(true),
            b"0" => Ok(false),
            other => {
                let shown = String::from_utf8_lossy(other).chars().take(32).collect::<String>();
                Err(format!("{place} says {shown:?}, where 0 or 1 is wanted"))
            }
        }
    }

    /// Fetches `/read` of a server that is asked by `/sense`, or the URL itself.
    pub(super) fn fetch(
        &self,
        sub: Option<&str>,
        etag: Option<&str>,
        last_modified: Option<&str>,
        into: &Into<'_>,
    ) -> Result<Given, String> {
        let place = sub.map_or_else(|| self.place.clone(), |sub| self.place.below(sub));
        let (place, response) = self.open(place, etag, last_modified)?;
        if response.status() == StatusCode::NOT_MODIFIED {
            return match (etag, last_modified) {
                (None, None) => Err(format!("{place} answers 304, and was not asked for changes")),
                _ => Ok(Given::Unmodified),
            };
        }
        look(&place, &response)?;
        let validator = |name| {
            let value = response.headers().get(name).and_then(|value| value.to_str().ok());
            value.filter(|value| value.len() <= MAX_VALIDATOR_BYTES).map(str::to_owned)
        };
        let (etag, last_modified) = (validator(ETAG), validator(LAST_MODIFIED));
        let sha256 = self.save(&place, response, into)?;
        Ok(Given::Content(Content { sha256, etag, last_modified, stat: None }))
    }

    fn save(
        &self,
        place: &Place,
        response: Response<Body>,
        into: &Into<'_>,
    ) -> Result<String, String> {
        let length = response.headers().get("content-length");
        let length: Option<u64> = length.and_then(|length| length.to_str().ok()?.parse().ok());
        if let Some(length) = length {
            self.check_size(place, length)?;
            if length > into.disk.room() {
                return Err(format!("the master's disk has no room for {length} bytes"));
            }
        }
        let body = response.into_body().into_with_config().limit(u64::MAX).reader();
        let failed = |sent, error: &std::io::Error| self.broke_off(place, sent, error);
        let saved = save(body, into, |bytes| self.check_size(place, bytes), failed)?;
        if saved.is_page {
            return Err(format!(
                "{place} sends a web page (is one to log in there first?), and no CSV"
            ));
        }
        match length {
            Some(length) if length != saved.bytes => {
                Err(format!("{place} gave {} bytes, and had announced {length}", saved.bytes))
            }
            _ => Ok(saved.sha256),
        }
    }

    fn check_size(&self, place: &Place, bytes: u64) -> Result<(), String> {
        let most = self.source.max_bytes;
        if bytes > most {
            return Err(format!("{place} sends more than {most} bytes (max_bytes)"));
        }
        Ok(())
    }

    fn broke_off(&self, place: &Place, sent: u64, error: &std::io::Error) -> String {
        let why = match error.kind() {
            std::io::ErrorKind::TimedOut => {
                format!("it was silent for {} s", self.source.timeout.as_secs_f64())
            }
            _ => error.to_string(),
        };
        format!("{place} broke off after {sent} bytes: {why}")
    }

    /// `trusted`: it may have an address of any kind.
    fn agent(&self, trusted: bool) -> Agent {
        let timeout = self.source.timeout;
        let config = Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .max_idle_connections(0)
            // A proxy would look names up itself, behind the guard's back.
            .proxy(None)
            .timeout_global(Some(WHOLE_TIMEOUT))
            .timeout_resolve(Some(timeout.min(CONNECT_TIMEOUT)))
            .timeout_connect(Some(timeout.min(CONNECT_TIMEOUT)))
            .timeout_send_request(Some(timeout))
            .timeout_recv_response(Some(timeout))
            .timeout_per_read(Some(timeout))
            .user_agent("tally")
            .build();
        if trusted {
            return config.into();
        }
        Agent::with_parts(config, DefaultConnector::default(), Guard::default())
    }

    /// Follows redirects, each of them to a place that is checked like the first one.
    fn open(
        &self,
        mut place: Place,
        etag: Option<&str>,
        last_modified: Option<&str>,
    ) -> Result<(Place, Response<Body>), String> {
        for _ in 0..=self.source.max_redirects {
            // What is allowed is the server that is named, and not what it leads to.
            let named = place.same_origin(self.place);
            let mut request = self.agent(named && self.source.allow_private).get(place.url());
            // So it is with secrets.
            if named {
                for (name, value) in &self.source.headers {
                    request = request.header(name, value);
                }
            }
            if let Some(etag) = etag {
                request = request.header(IF_NONE_MATCH, etag);
            }
            if let Some(since) = last_modified {
                request = request.header(IF_MODIFIED_SINCE, since);
            }
            let response = request.call().map_err(|error| self.unreachable(&place, &error))?;
            if !is_redirect(response.status()) {
                return Ok((place, response));
            }
            let to = response.headers().get(LOCATION).and_then(|to| to.to_str().ok());
            let to = to.ok_or_else(|| format!("{place} redirects, and does not say where to"))?;
            place = place.join(to).map_err(|why| format!("{place} redirects: {why}"))?;
        }
        Err(format!("{} redirects more than {} times", self.place, self.source.max_redirects))
    }

    fn unreachable(&self, place: &Place, error: &ureq::Error) -> String {
        match error {
            ureq::Error::Timeout(_) => {
                let silent = self.source.timeout.as_secs_f64();
                format!("{place} does not answer: it was silent for {silent} s")
            }
            ureq::Error::Io(error) if error.kind() == std::io::ErrorKind::PermissionDenied => {
                format!("{place} is not allowed: {error}")
            }
            error => format!("{place} can not be reached: {error}"),
        }
    }
}

/// What was saved.
pub(super) struct Saved {
    pub(super) bytes: u64,
    /// In hexadecimal digits.
    pub(super) sha256: String,
    /// It begins as pages do.
    pub(super) is_page: bool,
}

/// Writes all that comes to a file, as long as `check` finds nothing wrong with its size.
pub(super) fn save(
    mut from: impl Read,
    into: &Into<'_>,
    check: impl Fn(u64) -> Result<(), String>,
    failed: impl Fn(u64, &std::io::Error) -> String,
) -> Result<Saved, String> {
    let cant_write = |error| format!("the data folder can not be used: {error}");
    let mut file = File::create(into.path).map_err(cant_write)?;
    let (mut hash, mut bytes, mut pieces) = (Sha256::new(), 0u64, 0u64);
    let mut start = Vec::with_capacity(SNIFF_BYTES);
    let mut piece = vec![0; PIECE_BYTES];
    loop {
        if into.stop.load(Ordering::Relaxed) {
            return Err("the master is stopping".to_owned());
        }
        let n = match from.read(&mut piece) {
            Ok(0) => break,
            Ok(n) => n,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(failed(bytes, &error)),
        };
        let data = &piece[..n];
        bytes += n as u64;
        check(bytes)?;
        if pieces.is_multiple_of(LOOK_PIECES) && into.disk.room() < n as u64 {
            return Err("the master's disk has no room for it".to_owned());
        }
        pieces += 1;
        let missing = SNIFF_BYTES.saturating_sub(start.len());
        start.extend_from_slice(&data[..n.min(missing)]);
        hash.update(data);
        file.write_all(data).map_err(cant_write)?;
    }
    Ok(Saved { bytes, sha256: super::hex(&hash.finalize()), is_page: is_page(&start) })
}

/// Whether something begins as web pages do.
fn is_page(start: &[u8]) -> bool {
    let start = start.strip_prefix(b"\xef\xbb\xbf").unwrap_or(start).trim_ascii_start();
    let begins =
        |with: &[u8]| start.get(..with.len()).is_some_and(|start| start.eq_ignore_ascii_case(with));
    begins(b"<!doctype html") || begins(b"<html")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_are_known_by_how_they_begin() {
        for page in ["<!DOCTYPE html>\n<html>", "\n  <html lang=de>", "\u{feff}<!doctype HTML>"] {
            assert!(is_page(page.as_bytes()), "{page}");
        }
        for data in ["name,sku\n", "", "<", "<b>Song</b>,Date\n", "html,x\n"] {
            assert!(!is_page(data.as_bytes()), "{data}");
        }
    }
}
