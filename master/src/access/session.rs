//! Sessions of the dashboard: a browser shows a cookie in the place of a key.

use std::sync::Arc;

use axum::http::HeaderMap;

use super::{Key, Who};

/// A session that a request belongs to.
#[derive(Clone, Debug)]
pub struct Session {
    /// The key that it was begun with. It is looked up again for each request: one that was revoked ends it.
    pub key: Arc<Key>,
}

impl Session {
    /// Whether a request that changes something was really made by the dashboard's own pages.
    pub(crate) fn may_change(&self, _headers: &HeaderMap) -> bool {
        false
    }
}

/// The sessions that there are.
#[derive(Debug, Default)]
pub struct Sessions {}

impl Sessions {
    /// Whoever the cookie of a request stands for, as a [`Who::Session`].
    pub(crate) fn find(&self, _headers: &HeaderMap) -> Option<Who> {
        None
    }
}
