//! How often a key may ask: a bucket for each, which fills by so many requests a second.

use std::collections::HashMap;
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use governor::clock::{Clock, DefaultClock};
use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};

use super::{Key, KeyId, KeyLimits};

/// Seconds' worth of requests that may come at once where nothing else is said.
const BURST_SECONDS: u32 = 2;

/// A key's bucket, with what it was made for: limits may change in the file.
type Bucket = ((u32, Option<u32>), Arc<DefaultDirectRateLimiter>);

/// The buckets. There are never more than keys.
#[derive(Debug, Default)]
pub(super) struct Rates {
    buckets: Mutex<HashMap<KeyId, Bucket>>,
}

impl Rates {
    /// Takes one request out of a key's bucket.
    ///
    /// # Errors
    /// How long it takes until there is one.
    pub(super) fn take(&self, key: &Key, defaults: KeyLimits) -> Result<(), Duration> {
        let limits = key.limits.or(defaults);
        let Some(rate) = limits.requests_per_second.and_then(NonZeroU32::new) else {
            return Ok(());
        };
        let wanted = (rate.get(), limits.burst);
        let bucket = {
            let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
            match buckets.get(&key.id) {
                Some((made_for, bucket)) if *made_for == wanted => Arc::clone(bucket),
                _ => {
                    let burst = limits.burst.and_then(NonZeroU32::new);
                    let burst = burst.unwrap_or(rate.saturating_mul(TIMES));
                    let quota = Quota::per_second(rate).allow_burst(burst);
                    let bucket = Arc::new(RateLimiter::direct(quota));
                    buckets.insert(key.id.clone(), (wanted, Arc::clone(&bucket)));
                    bucket
                }
            }
        };
        bucket.check().map_err(|not| not.wait_time_from(DefaultClock::default().now()))
    }

    /// Forgets those of keys that are gone from the file.
    pub(super) fn keep(&self, there: impl Fn(&KeyId) -> bool) {
        self.buckets.lock().unwrap_or_else(PoisonError::into_inner).retain(|id, _| there(id));
    }
}

/// [`BURST_SECONDS`], as what it is multiplied with.
const TIMES: NonZeroU32 = match NonZeroU32::new(BURST_SECONDS) {
    Some(times) => times,
    None => NonZeroU32::MIN,
};

#[cfg(test)]
mod tests {
    use super::*;
    use crate::access::{KeysFile, NewKey, Scope};

    #[test]
    fn a_key_asks_as_often_as_it_may_and_others_are_not_held_up() {
        let folder = tempfile::tempdir().unwrap();
        let file = KeysFile::of_data_dir(folder.path());
        let key = |name: &str, limits| {
            let scopes = Scope::Read.into();
            let new = NewKey { name: name.to_owned(), scopes, lifetime_ms: None, limits };
            file.create(new).unwrap().0
        };
        // One in ever so long.
        let slow =
            KeyLimits { requests_per_second: Some(1), burst: Some(3), ..KeyLimits::default() };
        let (mut slow, free) = (key("slow", slow), key("free", KeyLimits::default()));
        let rates = Rates::default();
        let none = KeyLimits::default();
        let passed = (0..100).filter(|_| rates.take(&slow, none).is_ok()).count();
        assert!((3..10).contains(&passed), "{passed}");
        assert!(rates.take(&slow, none).unwrap_err() <= Duration::from_secs(1));
        assert!((0..100).all(|_| rates.take(&free, none).is_ok()));
        assert!((0..100).any(|_| rates.take(&free, slow.limits).is_err()));
        // More is allowed as soon as the file says so.
        slow.limits.burst = Some(1000);
        assert!((0..100).all(|_| rates.take(&slow, none).is_ok()));
        rates.keep(|id| *id == free.id);
        assert_eq!(rates.buckets.lock().unwrap().len(), 1);
    }
}
