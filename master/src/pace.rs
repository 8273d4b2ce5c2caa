//! The least rate of a body. A client that sends a byte now and then holds a place that others wait for; so
//! while places are scarce, and only then, a body has to come at a rate that any line has. While there are
//! places for all, a slow pipe or a pause for thought costs nobody anything, and is let be.
//!
//! Counted is the time in which the body is waited for, and no other: a master whose disk is full reads no
//! body, and blames nobody for that.

use std::fmt;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::{BoxError, Error};
use http_body::{Body as HttpBody, Frame, SizeHint};
use thiserror::Error as ThisError;
use tokio::time::{Instant, Sleep, sleep_until};

/// Bytes a second that a body has to come at while places are scarce: what a modem did. A crowd that keeps all
/// places of a master has at least to pay for its line.
const LEAST_RATE: u64 = 4 << 10;

/// Over how much waiting the rate is taken, by default: long enough for a line that fails for some seconds, short
/// enough that those who are told to come back are served within a minute.
pub(crate) const WINDOW: Duration = Duration::from_secs(30);

/// Why a body was ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ThisError)]
#[error(
    "{came} bytes came within {} s, while others waited for a place; at least {LEAST_RATE} a second are \
     needed then",
    .window.as_secs_f64()
)]
pub(crate) struct TooSlow {
    came: u64,
    window: Duration,
}

/// Whether places are scarce just now.
pub(crate) type Scarce = Arc<dyn Fn() -> bool + Send + Sync>;

/// What is left of a body by those who did not want to read all of it.
pub(crate) type Left = Arc<Mutex<Option<Body>>>;

/// A body that has to keep to the least rate.
pub(crate) struct Paced {
    /// `None` once it was ended.
    inner: Option<Body>,
    left: Option<Left>,
    scarce: Scarce,
    says: fn(TooSlow) -> BoxError,
    window: Duration,
    /// Of this window.
    came: u64,
    waited: Duration,
    /// Since when it is waited for.
    since: Option<Instant>,
    timer: Option<Pin<Box<Sleep>>>,
}

impl Paced {
    /// `window` is over how much waiting the rate is taken, and `says` makes an error of what was wrong.
    pub(crate) fn new(
        inner: Body,
        window: Duration,
        scarce: Scarce,
        says: fn(TooSlow) -> BoxError,
    ) -> Self {
        Self {
            inner: Some(inner),
            left: None,
            scarce,
            says,
            window,
            came: 0,
            waited: Duration::ZERO,
            since: None,
            timer: None,
        }
    }

    /// What is not read of it can be had from there.
    pub(crate) fn leaving(mut self, left: &Left) -> Self {
        self.left = Some(Arc::clone(left));
        self
    }

    /// Looks whether a window has passed, and whether too little came in it.
    fn poll_window(&mut self, context: &mut Context<'_>) -> Poll<TooSlow> {
        let now = Instant::now();
        let since = *self.since.get_or_insert(now);
        let window = self.window;
        let timer = self.timer.get_or_insert_with(|| Box::pin(sleep_until(now + window)));
        loop {
            ready!(timer.as_mut().poll(context));
            // The timer is not set anew for each piece: it may fire although little time was waited.
            let waited = self.waited + (now - since);
            if waited < window {
                timer.as_mut().reset(now + (window - waited));
                continue;
            }
            let came = std::mem::take(&mut self.came);
            let least = LEAST_RATE as f64 * window.as_secs_f64();
            if (came as f64) < least && (self.scarce)() {
                return Poll::Ready(TooSlow { came, window });
            }
            self.waited = Duration::ZERO;
            self.since = Some(now);
            timer.as_mut().reset(now + window);
        }
    }
}

impl HttpBody for Paced {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let this = &mut *self;
        let Some(inner) = &mut this.inner else { return Poll::Ready(None) };
        let Poll::Ready(frame) = Pin::new(inner).poll_frame(context) else {
            let slow = ready!(this.poll_window(context));
            this.inner = None;
            return Poll::Ready(Some(Err((this.says)(slow))));
        };
        if let Some(since) = this.since.take() {
            this.waited += since.elapsed();
        }
        match &frame {
            Some(Ok(frame)) => this.came += frame.data_ref().map_or(0, Bytes::len) as u64,
            // Nothing is left of it.
            Some(Err(_)) | None => this.inner = None,
        }
        Poll::Ready(frame.map(|frame| frame.map_err(|error: Error| error.into())))
    }

    fn is_end_stream(&self) -> bool {
        self.inner.as_ref().is_none_or(HttpBody::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.as_ref().map_or_else(|| SizeHint::with_exact(0), HttpBody::size_hint)
    }
}

impl Drop for Paced {
    fn drop(&mut self) {
        if let (Some(left), Some(inner)) = (&self.left, self.inner.take())
            && !inner.is_end_stream()
        {
            *left.lock().unwrap_or_else(PoisonError::into_inner) = Some(inner);
        }
    }
}

impl fmt::Debug for Paced {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Paced").field("came", &self.came).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

    use futures_util::{StreamExt, stream};
    use tokio::time::sleep;

    use super::*;

    /// Over which the rate is taken here: 1 KiB of it is needed.
    const SHORT: Duration = Duration::from_millis(250);

    /// A body that sends `bytes` after each `pause`, for ever.
    fn dripping(bytes: usize, pause: Duration) -> Body {
        let pieces = stream::unfold((), move |()| async move {
            sleep(pause).await;
            Some((Ok::<_, std::io::Error>(Bytes::from(vec![b'x'; bytes])), ()))
        });
        Body::from_stream(pieces)
    }

    fn paced(body: Body, scarce: bool) -> Body {
        Body::new(Paced::new(body, SHORT, Arc::new(move || scarce), |slow| Box::new(slow)))
    }

    /// How many pieces come of it before its end, at most so many, and what ended it.
    async fn pieces(body: Body, most: usize) -> (usize, Option<TooSlow>) {
        let mut pieces = body.into_data_stream();
        for count in 0..most {
            match pieces.next().await {
                Some(Ok(_)) => {}
                Some(Err(error)) => return (count, crate::cause::among(&error)),
                None => return (count, None),
            }
        }
        (most, None)
    }

    #[tokio::test]
    async fn a_body_that_drips_is_ended_while_places_are_scarce() {
        let (_, slow) = pieces(paced(dripping(1, SHORT / 10), true), 1000).await;
        assert!(slow.is_some());
        // One that sends nothing at all.
        let silent = Body::from_stream(stream::pending::<Result<Bytes, std::io::Error>>());
        let (count, slow) = pieces(paced(silent, true), 1000).await;
        assert_eq!((count, slow), (0, Some(TooSlow { came: 0, window: SHORT })));
    }

    #[tokio::test]
    async fn nobody_is_blamed_while_there_are_places() {
        assert_eq!(pieces(paced(dripping(1, SHORT / 2), false), 6).await, (6, None));
    }

    #[tokio::test]
    async fn a_pause_within_a_body_that_is_fast_enough_is_let_be() {
        let body = dripping(LEAST_RATE as usize * 10, SHORT / 5);
        assert_eq!(pieces(paced(body, true), 20).await, (20, None));
    }

    #[tokio::test]
    async fn time_in_which_the_master_does_not_read_does_not_count() {
        let body = stream::iter((0..6).map(|_| Ok::<_, std::io::Error>("x")));
        let mut pieces = paced(Body::from_stream(body), true).into_data_stream();
        for _ in 0..6 {
            assert!(pieces.next().await.unwrap().is_ok());
            sleep(SHORT).await;
        }
    }

    #[tokio::test]
    async fn those_that_drip_are_ended_once_places_become_scarce() {
        let scarce = Arc::new(AtomicBool::new(false));
        let seen = Arc::clone(&scarce);
        let body = dripping(1, SHORT / 10);
        let paced =
            Paced::new(body, SHORT, Arc::new(move || seen.load(Relaxed)), |slow| Box::new(slow));
        let mut pieces = Body::new(paced).into_data_stream();
        for _ in 0..25 {
            assert!(pieces.next().await.unwrap().is_ok());
        }
        scarce.store(true, Relaxed);
        while pieces.next().await.unwrap().is_ok() {}
    }

    #[tokio::test]
    async fn what_is_not_read_can_be_had() {
        let left = Left::default();
        let take = || left.lock().unwrap().take();
        let body = |text: &'static str| {
            let pieces = stream::iter([Ok::<_, std::io::Error>(text), Ok("more")]);
            let body = Body::from_stream(pieces);
            Body::new(
                Paced::new(body, WINDOW, Arc::new(|| true), |slow| Box::new(slow)).leaving(&left),
            )
        };
        let mut half = body("a").into_data_stream();
        assert_eq!(half.next().await.unwrap().unwrap(), "a");
        drop(half);
        assert_eq!(pieces(take().unwrap(), 9).await, (1, None));
        assert_eq!(pieces(body("b"), 9).await, (2, None));
        assert!(take().is_none());
    }
}
