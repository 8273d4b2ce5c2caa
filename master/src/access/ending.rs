//! What is open ends with what it was opened by: a key that is revoked or expires, a session that is over, a token
//! that is exchanged, a master that was open to all. Asked is when something has changed, and never by row or byte.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::BoxError;
use axum::body::{Body, Bytes};
use http_body::{Body as HttpBody, Frame, SizeHint};
use thiserror::Error;
use tokio::time::sleep;

use super::{Access, Credential, Scope, Standing, Who};
use crate::clock;

/// How long it takes at most until it is noticed that a session has not been used for too long, or that the
/// system's clock was set: of all else those who wait are told.
const LOOK_AGAIN: Duration = Duration::from_secs(60);

/// Why something that was open has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("{0}, and what was open by it has ended")]
pub(crate) struct Ended(pub(crate) Credential);

impl Access {
    /// Resolves when `who`, who was let in, may not have what needs this scope any more.
    pub(crate) fn ended(
        &self,
        who: &Who,
        scope: Scope,
    ) -> impl Future<Output = Ended> + Send + use<> {
        let (access, who) = (self.clone(), who.clone());
        async move {
            let mut changes = access.changes();
            loop {
                // Marked as seen before anything is looked at: what happens meanwhile wakes the next wait.
                changes.borrow_and_update();
                if let Err(credential) = access.still(&who, scope) {
                    return Ended(credential);
                }
                let until = access.until_expiry(&who).unwrap_or(LOOK_AGAIN).min(LOOK_AGAIN);
                tokio::select! {
                    // The sender lives in what is held here.
                    _ = changes.changed() => {}
                    () = sleep(until) => {}
                }
            }
        }
    }

    /// Whether what somebody was let in by still holds.
    fn still(&self, who: &Who, scope: Scope) -> Result<(), Credential> {
        if !self.is_guarded() {
            return Ok(());
        }
        match who {
            Who::Anonymous(_) => Err(Credential::Missing),
            Who::Slave(token) => match self.holds(*token) {
                true => Ok(()),
                false => Err(Credential::Unknown),
            },
            // It was looked at when the connection was made, and is the connection's.
            Who::Certificate(..) => Ok(()),
            Who::Session(session) if !self.sessions().has(session) => Err(Credential::Missing),
            Who::Key(_) | Who::Session(_) => {
                let key = who.key().and_then(|key| self.any_key(&key.id));
                let key = key.ok_or(Credential::Unknown)?;
                match key.standing_now() {
                    Standing::Active if key.scopes.allow(scope) => Ok(()),
                    Standing::Active => Err(Credential::Unknown),
                    Standing::Expired => Err(Credential::Expired),
                    Standing::Revoked => Err(Credential::Revoked),
                }
            }
        }
    }

    /// How long it is until a key ends by itself.
    fn until_expiry(&self, who: &Who) -> Option<Duration> {
        let end = who.key().and_then(|key| self.any_key(&key.id))?.expires_ms?;
        Some(Duration::from_millis(end.saturating_sub(clock::wall_ms()).max(1)))
    }
}

/// What a body ends with, if with anything.
pub(crate) type Last = Option<Result<Frame<Bytes>, BoxError>>;

/// A body, of a request or of an answer, that ends when what it came by does.
pub(crate) struct Until {
    /// `None` once it has ended.
    inner: Option<Body>,
    ended: Pin<Box<dyn Future<Output = Ended> + Send>>,
    last: fn(Ended) -> Last,
}

impl Until {
    /// `last` says what is to be read in place of what is left.
    pub(crate) fn new(
        inner: Body,
        ended: impl Future<Output = Ended> + Send + 'static,
        last: fn(Ended) -> Last,
    ) -> Self {
        Self { inner: Some(inner), ended: Box::pin(ended), last }
    }
}

impl HttpBody for Until {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let this = &mut *self;
        let Some(inner) = &mut this.inner else { return Poll::Ready(None) };
        if let Poll::Ready(ended) = this.ended.as_mut().poll(context) {
            this.inner = None;
            return Poll::Ready((this.last)(ended));
        }
        Pin::new(inner).poll_frame(context).map_err(Into::into)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.as_ref().is_none_or(HttpBody::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        // It may end before it would have.
        self.inner.as_ref().map_or_else(SizeHint::default, |inner| {
            let mut hint = SizeHint::default();
            if let Some(upper) = inner.size_hint().upper() {
                hint.set_upper(upper);
            }
            hint
        })
    }
}

impl fmt::Debug for Until {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Until").field("open", &self.inner.is_some()).finish_non_exhaustive()
    }
}

/// Nothing more: for those who come back by themselves, and are told why then.
pub(crate) fn silence(_: Ended) -> Last {
    None
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use futures_util::{FutureExt, StreamExt, stream};

    use super::*;
    use crate::access::{AccessConfig, KeysFile, NewKey};

    fn body() -> Body {
        let pieces = stream::iter([Ok::<_, Infallible>("a")]).chain(stream::pending());
        Body::from_stream(pieces)
    }

    #[tokio::test]
    async fn a_body_goes_on_until_what_it_came_by_ends() {
        let (end, ended) = tokio::sync::oneshot::channel();
        let ended = async { ended.await.unwrap_or(Ended(Credential::Missing)) };
        let error = |ended: Ended| Some(Err(ended.into()));
        let mut pieces = Body::new(Until::new(body(), ended, error)).into_data_stream();
        assert_eq!(pieces.next().await.unwrap().unwrap(), "a");
        assert!(pieces.next().now_or_never().is_none());
        end.send(Ended(Credential::Revoked)).unwrap();
        let error = pieces.next().await.unwrap().unwrap_err();
        assert_eq!(crate::cause::among(&error), Some(Ended(Credential::Revoked)));
        assert!(pieces.next().await.is_none());
    }

    #[tokio::test]
    async fn a_key_that_is_revoked_or_expires_ends_what_is_open_by_it_alone() {
        let folder = tempfile::tempdir().unwrap();
        let file = KeysFile::of_data_dir(folder.path());
        let make = |name: &str, lifetime_ms| {
            let (name, scopes) = (name.to_owned(), Scope::Read.into());
            let limits = Default::default();
            file.create(NewKey { name, scopes, lifetime_ms, limits }).unwrap().0
        };
        let (one, other) = (make("one", None), make("other", None));
        let short = make("short", Some(50));
        let access = Access::start(AccessConfig::new(folder.path())).unwrap();
        let open = |key: &crate::access::Key| {
            let who = Who::Key(access.any_key(&key.id).unwrap());
            Box::pin(access.ended(&who, Scope::Read))
        };
        let (mut first, mut second, third) = (open(&one), open(&other), open(&short));
        assert!((&mut first).now_or_never().is_none());
        assert_eq!(third.await, Ended(Credential::Expired));
        file.revoke("one").unwrap();
        for file in &mut access.watched().unwrap() {
            file.look();
        }
        assert_eq!(first.await, Ended(Credential::Revoked));
        assert!((&mut second).now_or_never().is_none());
        let lesser = Who::Key(access.any_key(&other.id).unwrap());
        assert_eq!(access.ended(&lesser, Scope::Submit).await, Ended(Credential::Unknown));
        let nobody = Who::Anonymous(Scope::Read.into());
        assert_eq!(access.ended(&nobody, Scope::Read).await, Ended(Credential::Missing));
    }

    #[tokio::test]
    async fn a_session_ends_what_its_pages_listen_to() {
        let folder = tempfile::tempdir().unwrap();
        let file = KeysFile::of_data_dir(folder.path());
        let (name, scopes, limits) = ("x".to_owned(), Scope::Read.into(), Default::default());
        let key = file.create(NewKey { name, scopes, lifetime_ms: None, limits }).unwrap().0;
        let access = Access::start(AccessConfig::new(folder.path())).unwrap();
        let key = access.any_key(&key.id).unwrap();
        let (cookie, session) = access.sessions().begin(key).unwrap();
        let mut open = Box::pin(access.ended(&Who::Session(session), Scope::Read));
        assert!((&mut open).now_or_never().is_none());
        let cookie = format!("{}={cookie}", crate::access::COOKIE).parse().unwrap();
        let headers = axum::http::HeaderMap::from_iter([(axum::http::header::COOKIE, cookie)]);
        access.sessions().end(&headers);
        assert_eq!(open.await, Ended(Credential::Missing));
    }
}
