//! A key: what is kept of it, and what is shown of it once. Its secret is nowhere but in the hands of its owner:
//! what is kept is a hash, and no type here that holds a secret can be shown.

use std::fmt;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use super::Scopes;
use super::random::{self, hex, is_hex};
use crate::clock;

/// What every key begins with, so that those who search for lost secrets find it.
const PREFIX: &str = "tally_";

/// Digits of an id: enough that no two keys of a file are ever the same.
const ID_DIGITS: usize = 12;

/// Digits of a secret, of 32 random bytes: nobody guesses it, so a plain hash is enough to keep.
const SECRET_DIGITS: usize = 64;

/// The public part of a key.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct KeyId(String);

impl KeyId {
    /// Its digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl TryFrom<String> for KeyId {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        match is_hex(&text, ID_DIGITS) {
            true => Ok(Self(text)),
            false => Err(format!("the id of a key is {ID_DIGITS} hexadecimal digits")),
        }
    }
}

impl From<KeyId> for String {
    fn from(id: KeyId) -> Self {
        id.0
    }
}

/// The SHA-256 of a secret's digits.
#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub(super) struct Hash([u8; 32]);

impl Hash {
    /// One that no secret has that anybody could find.
    pub(super) const NOBODY: Self = Self([0; 32]);

    pub(super) fn of(secret: &str) -> Self {
        Self(Sha256::digest(secret.as_bytes()).into())
    }

    /// Whether both are the same, in a time that does not tell where they differ.
    pub(super) fn matches(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

impl fmt::Debug for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Hash(…)")
    }
}

impl TryFrom<String> for Hash {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, &'static str> {
        let mut bytes = [0; 32];
        if !is_hex(&text, 64) {
            return Err("a hash is 64 hexadecimal digits");
        }
        for (byte, digits) in bytes.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
            let digits = std::str::from_utf8(digits).unwrap_or_default();
            *byte = u8::from_str_radix(digits, 16).map_err(|_| "a hash is hexadecimal digits")?;
        }
        Ok(Self(bytes))
    }
}

impl From<Hash> for String {
    fn from(hash: Hash) -> Self {
        hex(&hash.0)
    }
}

/// How much a key may ask for; what is not set, the master's defaults say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeyLimits {
    /// Requests and calls in a second, in the long run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requests_per_second: Option<u32>,
    /// Requests and calls at once after a pause.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub burst: Option<u32>,
    /// Jobs that have not ended, at a time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_jobs: Option<u32>,
    /// Bytes of input in a day of UTC, as they are sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes_per_day: Option<u64>,
}

impl KeyLimits {
    fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// With what `defaults` say where these say nothing.
    #[must_use]
    pub fn or(self, defaults: Self) -> Self {
        Self {
            requests_per_second: self.requests_per_second.or(defaults.requests_per_second),
            burst: self.burst.or(defaults.burst),
            max_jobs: self.max_jobs.or(defaults.max_jobs),
            bytes_per_day: self.bytes_per_day.or(defaults.bytes_per_day),
        }
    }
}

/// What is kept of a key.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Key {
    /// Its public part.
    pub id: KeyId,
    /// A name for people.
    pub name: String,
    pub(super) hash: Hash,
    /// What it lets its owner do.
    pub scopes: Scopes,
    /// When it was made, in milliseconds since 1970.
    pub created_ms: u64,
    /// When it ends by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_ms: Option<u64>,
    /// When it was ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revoked_ms: Option<u64>,
    /// How much it may ask for.
    #[serde(default, skip_serializing_if = "KeyLimits::is_empty")]
    pub limits: KeyLimits,
}

/// Whether a key holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Standing {
    /// It does.
    Active,
    /// Its time is over.
    Expired,
    /// Somebody has ended it.
    Revoked,
}

impl Standing {
    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Expired => "expired",
            Self::Revoked => "revoked",
        }
    }
}

impl Key {
    /// Whether it holds now.
    pub fn standing_now(&self) -> Standing {
        self.standing(clock::wall_ms())
    }

    /// Whether it holds at a time, in milliseconds since 1970.
    pub fn standing(&self, now_ms: u64) -> Standing {
        match (self.revoked_ms, self.expires_ms) {
            (Some(_), _) => Standing::Revoked,
            (None, Some(end)) if end <= now_ms => Standing::Expired,
            _ => Standing::Active,
        }
    }
}

/// A key as its owner shows it. It can not be shown in turn.
pub(super) struct Shown<'a> {
    pub(super) id: &'a str,
    pub(super) secret: &'a str,
}

impl<'a> Shown<'a> {
    /// Reads `tally_ID_SECRET`.
    pub(super) fn parse(text: &'a str) -> Option<Self> {
        let (id, secret) = text.strip_prefix(PREFIX)?.split_once('_')?;
        (is_hex(id, ID_DIGITS) && is_hex(secret, SECRET_DIGITS)).then_some(Self { id, secret })
    }
}

/// A new id, and a new secret with what is kept of it. `None` where the system gives no random bytes.
pub(super) fn draw() -> Option<(KeyId, String, Hash)> {
    let id = hex(&random::bytes::<{ ID_DIGITS / 2 }>()?);
    let secret = hex(&random::bytes::<{ SECRET_DIGITS / 2 }>()?);
    let hash = Hash::of(&secret);
    let text = format!("{PREFIX}{id}_{secret}");
    Some((KeyId(id), text, hash))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::access::Scope;

    #[test]
    fn a_key_that_was_drawn_is_read_and_found_again() {
        let (id, text, hash) = draw().unwrap();
        let shown = Shown::parse(&text).unwrap();
        assert_eq!(shown.id, id.as_str());
        assert!(Hash::of(shown.secret).matches(&hash));
        assert!(!Hash::of(&text).matches(&hash));
        let kept: Hash = serde_json::from_str(&serde_json::to_string(&hash).unwrap()).unwrap();
        assert_eq!(kept, hash);
        assert_eq!(format!("{hash:?}"), "Hash(…)");
    }

    #[test]
    fn what_looks_almost_like_a_key_is_none() {
        let digits = "0".repeat(64);
        for text in [
            "",
            "tally_",
            "tally_00_00",
            &format!("tally_0123456789ab_{}", &digits[1..]),
            &format!("tally_0123456789AB_{digits}"),
            &format!("Tally_0123456789ab_{digits}"),
            &format!("tally_0123456789ab_{digits} "),
        ] {
            assert!(Shown::parse(text).is_none(), "{text}");
        }
        assert!(Shown::parse(&format!("tally_0123456789ab_{digits}")).is_some());
    }

    #[test]
    fn a_key_ends_at_its_time_and_when_it_is_revoked() {
        let (id, _, hash) = draw().unwrap();
        let mut key = Key {
            id,
            name: "x".to_owned(),
            hash,
            scopes: Scope::Read.into(),
            created_ms: 0,
            expires_ms: Some(10),
            revoked_ms: None,
            limits: KeyLimits::default(),
        };
        assert_eq!(key.standing(9), Standing::Active);
        assert_eq!(key.standing(10), Standing::Expired);
        key.revoked_ms = Some(3);
        assert_eq!(key.standing(9), Standing::Revoked);
    }
}
