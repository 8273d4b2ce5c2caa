//! Sessions of the dashboard: a browser shows a cookie in the place of a key, which its pages' scripts can not read.
//! Kept in memory, by the hashes of their cookies: a master that starts again knows none, and nobody who reads its
//! memory's image finds a cookie. What a session may do is what its key may do at that moment.

use std::collections::HashMap;
use std::fmt;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::http::{HeaderMap, header};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use tokio::sync::watch;

use super::random::{self, hex, is_hex};
use super::{Key, Who};
use crate::clock::Clock;

/// The cookie's name.
pub(crate) const COOKIE: &str = "tally_session";

/// The header by which the dashboard's own pages show that it is them who ask.
pub(crate) const CSRF_HEADER: &str = "x-csrf-token";

/// After this long without a request a session is over: a day's work has pauses of less.
const IDLE: Duration = Duration::from_secs(8 * 3600);

/// A session is over after this long in any case.
pub(crate) const LIFETIME: Duration = Duration::from_secs(7 * 24 * 3600);

/// Sessions at a time; with more, the one that was not used for longest ends.
const MAX_SESSIONS: usize = 1000;

/// Digits of a cookie and of a token, of 32 random bytes.
const DIGITS: usize = 64;

/// Attempts to log in from an address that may fail within so much time; after that none is looked at until it is
/// over. Nobody guesses a key; this keeps the audit log from being filled by those who try.
const ATTEMPTS: (u32, Duration) = (10, Duration::from_secs(60));

/// Addresses whose failures are remembered.
const MAX_ADDRESSES: usize = 4096;

/// A session that a request belongs to.
#[derive(Clone)]
pub struct Session {
    /// The key that it was begun with. It is looked up again for each request: one that was revoked ends it.
    pub key: Arc<Key>,
    csrf: Arc<str>,
    /// The hash of its cookie.
    id: [u8; 32],
}

impl Session {
    /// What its pages send with all that changes something. Other sites' pages have the cookie sent, and can not
    /// read this.
    pub(crate) fn csrf(&self) -> &str {
        &self.csrf
    }

    /// Whether a request that changes something was really made by the dashboard's own pages.
    pub(crate) fn may_change(&self, headers: &HeaderMap) -> bool {
        let sent = headers.get(CSRF_HEADER).map(|value| value.as_bytes()).unwrap_or_default();
        sent.ct_eq(self.csrf.as_bytes()).into()
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session").field("key", &self.key.id).finish_non_exhaustive()
    }
}

/// The sessions that there are.
pub struct Sessions {
    clock: Clock,
    /// Told when one has ended.
    changes: watch::Sender<()>,
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    /// By the hashes of their cookies.
    sessions: HashMap<[u8; 32], Entry>,
    failures: HashMap<Option<IpAddr>, Failures>,
}

struct Entry {
    session: Session,
    begun: Duration,
    used: Duration,
}

impl Entry {
    fn is_over(&self, now: Duration) -> bool {
        now.saturating_sub(self.used) > IDLE || now.saturating_sub(self.begun) > LIFETIME
    }
}

#[derive(Default)]
struct Failures {
    count: u32,
    since: Duration,
}

impl Default for Sessions {
    fn default() -> Self {
        Self::telling(watch::Sender::default())
    }
}

impl fmt::Debug for Sessions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Sessions(…)")
    }
}

impl Sessions {
    /// None yet. Those who wait for changes are told when one ends.
    pub(super) fn telling(changes: watch::Sender<()>) -> Self {
        Self { clock: Clock::start(), changes, inner: Mutex::default() }
    }

    /// Begins one for the owner of a key. Gives what the cookie says, which is kept nowhere; `None` where the
    /// system has no random bytes.
    pub(crate) fn begin(&self, key: Arc<Key>) -> Option<(String, Session)> {
        self.begin_at(key, self.clock.now())
    }

    fn begin_at(&self, key: Arc<Key>, now: Duration) -> Option<(String, Session)> {
        let cookie = hex(&random::bytes::<{ DIGITS / 2 }>()?);
        let csrf = hex(&random::bytes::<{ DIGITS / 2 }>()?).into();
        let session = Session { key, csrf, id: hash(&cookie) };
        let mut inner = self.lock();
        inner.sessions.retain(|_, entry| !entry.is_over(now));
        if inner.sessions.len() >= MAX_SESSIONS {
            let oldest = inner.sessions.iter().min_by_key(|(_, entry)| entry.used);
            if let Some(hash) = oldest.map(|(hash, _)| *hash) {
                inner.sessions.remove(&hash);
                self.changes.send_replace(());
            }
        }
        let entry = Entry { session: session.clone(), begun: now, used: now };
        inner.sessions.insert(session.id, entry);
        Some((cookie, session))
    }

    /// Whoever the cookie of a request stands for, as a [`Who::Session`].
    pub(crate) fn find(&self, headers: &HeaderMap) -> Option<Who> {
        self.find_at(cookie(headers)?, self.clock.now())
    }

    fn find_at(&self, cookie: &str, now: Duration) -> Option<Who> {
        let mut inner = self.lock();
        let hash = hash(cookie);
        let entry = inner.sessions.get_mut(&hash)?;
        if entry.is_over(now) {
            inner.sessions.remove(&hash);
            return None;
        }
        entry.used = now;
        Some(Who::Session(entry.session.clone()))
    }

    /// Ends the session that a request belongs to.
    pub(crate) fn end(&self, headers: &HeaderMap) {
        if let Some(cookie) = cookie(headers) {
            self.lock().sessions.remove(&hash(cookie));
            self.changes.send_replace(());
        }
    }

    /// Whether one has not ended. To look is not to use it.
    pub(super) fn has(&self, session: &Session) -> bool {
        let now = self.clock.now();
        self.lock().sessions.get(&session.id).is_some_and(|entry| !entry.is_over(now))
    }

    /// Whether somebody at this address may try to log in.
    pub(crate) fn may_try(&self, address: Option<IpAddr>) -> bool {
        self.may_try_at(address, self.clock.now())
    }

    fn may_try_at(&self, address: Option<IpAddr>, now: Duration) -> bool {
        let inner = self.lock();
        inner.failures.get(&address).is_none_or(|failures| {
            failures.count < ATTEMPTS.0 || now.saturating_sub(failures.since) > ATTEMPTS.1
        })
    }

    /// Takes note that it was in vain.
    pub(crate) fn has_failed(&self, address: Option<IpAddr>) {
        self.has_failed_at(address, self.clock.now());
    }

    fn has_failed_at(&self, address: Option<IpAddr>, now: Duration) {
        let mut inner = self.lock();
        let is_over = |failures: &Failures| now.saturating_sub(failures.since) > ATTEMPTS.1;
        if inner.failures.len() >= MAX_ADDRESSES {
            inner.failures.retain(|_, failures| !is_over(failures));
            // So many at once are one who has them all: what he has tried so far is no reason to remember more.
            if inner.failures.len() >= MAX_ADDRESSES {
                inner.failures.clear();
            }
        }
        let failures = inner.failures.entry(address).or_default();
        if failures.count == 0 || is_over(failures) {
            *failures = Failures { count: 0, since: now };
        }
        failures.count += 1;
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn hash(cookie: &str) -> [u8; 32] {
    Sha256::digest(cookie.as_bytes()).into()
}

/// The session's cookie of a request.
fn cookie(headers: &HeaderMap) -> Option<&str> {
    let values = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
    let mut pairs =
        values.flat_map(|value| value.split(';')).filter_map(|pair| pair.split_once('='));
    let (_, value) = pairs.find(|(name, _)| name.trim() == COOKIE)?;
    Some(value.trim()).filter(|value| is_hex(value, DIGITS))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::access::{KeysFile, NewKey, Scope};

    fn key() -> Arc<Key> {
        let folder = tempfile::tempdir().unwrap();
        let file = KeysFile::at(folder.path().join("keys.json"));
        let scopes = Scope::Read.into();
        let new =
            NewKey { name: "x".to_owned(), scopes, lifetime_ms: None, limits: Default::default() };
        Arc::new(file.create(new).unwrap().0)
    }

    fn with_cookie(text: &str) -> HeaderMap {
        HeaderMap::from_iter([(header::COOKIE, text.parse().unwrap())])
    }

    #[test]
    fn a_cookie_stands_for_its_session_until_it_ends() {
        let sessions = Sessions::default();
        let (cookie, session) = sessions.begin(key()).unwrap();
        let headers = with_cookie(&format!("a=b; {COOKIE}={cookie}; c=d"));
        let Some(Who::Session(found)) = sessions.find(&headers) else { panic!("none") };
        assert_eq!(found.csrf(), session.csrf());
        for other in [format!("{COOKIE}="), format!("{COOKIE}={}", "0".repeat(64)), "x".to_owned()]
        {
            assert!(sessions.find(&with_cookie(&other)).is_none(), "{other}");
        }
        assert!(!format!("{sessions:?} {session:?}").contains(&cookie));
        assert!(!format!("{session:?}").contains(session.csrf()));
        sessions.end(&headers);
        assert!(sessions.find(&headers).is_none());
    }

    #[test]
    fn it_ends_when_it_is_not_used_and_after_a_week() {
        let sessions = Sessions::default();
        let (cookie, _) = sessions.begin_at(key(), Duration::ZERO).unwrap();
        let mut at = Duration::ZERO;
        while at < LIFETIME {
            assert!(sessions.find_at(&cookie, at).is_some(), "{at:?}");
            at += IDLE / 2;
        }
        assert!(sessions.find_at(&cookie, at + IDLE / 2).is_none());
        let (cookie, _) = sessions.begin_at(key(), Duration::ZERO).unwrap();
        assert!(sessions.find_at(&cookie, IDLE + Duration::from_secs(1)).is_none());
    }

    #[test]
    fn only_our_own_pages_change_something() {
        let (_, session) = Sessions::default().begin(key()).unwrap();
        let with = |token: &str| {
            HeaderMap::from_iter([(CSRF_HEADER.parse().unwrap(), token.parse().unwrap())])
        };
        assert!(session.may_change(&with(session.csrf())));
        for headers in
            [HeaderMap::new(), with(""), with(&"0".repeat(64)), with(&session.csrf()[1..])]
        {
            assert!(!session.may_change(&headers));
        }
    }

    #[test]
    fn there_are_no_more_than_there_may_be() {
        let sessions = Sessions::default();
        let key = key();
        let second = Duration::from_secs(1);
        let (first, _) = sessions.begin_at(Arc::clone(&key), Duration::ZERO).unwrap();
        let (used, _) = sessions.begin_at(Arc::clone(&key), Duration::ZERO).unwrap();
        assert!(sessions.find_at(&used, second).is_some());
        for _ in 0..MAX_SESSIONS - 1 {
            sessions.begin_at(Arc::clone(&key), second).unwrap();
        }
        assert!(sessions.find_at(&first, second).is_none());
        assert!(sessions.find_at(&used, second).is_some());
        assert_eq!(sessions.lock().sessions.len(), MAX_SESSIONS);
    }

    #[test]
    fn who_fails_too_often_has_to_wait() {
        let sessions = Sessions::default();
        let (rude, other) = (Some([192, 0, 2, 1].into()), Some([192, 0, 2, 2].into()));
        for _ in 0..ATTEMPTS.0 {
            assert!(sessions.may_try_at(rude, Duration::ZERO));
            sessions.has_failed_at(rude, Duration::ZERO);
        }
        assert!(!sessions.may_try_at(rude, ATTEMPTS.1));
        assert!(sessions.may_try_at(other, Duration::ZERO));
        assert!(sessions.may_try_at(rude, ATTEMPTS.1 + Duration::from_secs(1)));
    }
}
