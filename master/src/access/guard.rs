//! What the edges ask about each request: who is it, and may he do that? Answered from memory, without waiting:
//! one lock that is written to when a file has changed, one hash, one comparison.

use std::fmt;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use axum::http::{HeaderMap, header};
use thiserror::Error;
use tokio::sync::watch;
use tracing::{info, warn};

use super::audit::{Audit, Entry};
use super::keys::Ring;
use super::rates::Rates;
use super::tokens::{self, Token, Tokens};
use super::watch::Watched;
use super::{
    Certificate, Key, KeyId, KeyLimits, KeysError, KeysFile, Owner, Peer, Scope, Scopes, Sessions,
    Standing, TokensError, TokensFile, Who,
};

/// What an edge asks for a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// Nothing: what is there for those who have no key yet, and for probes.
    Nothing,
    /// What is measured: a scope as any, unless the operator has made it public.
    Metrics,
    /// A scope.
    Scope(Scope),
}

impl Need {
    /// The scope, where it is one whoever asks.
    pub(crate) const fn scope(self) -> Option<Scope> {
        match self {
            Self::Scope(scope) => Some(scope),
            Self::Nothing | Self::Metrics => None,
        }
    }

    /// To look.
    pub const READ: Self = Self::Scope(Scope::Read);
    /// To count, and to change rows.
    pub const SUBMIT: Self = Self::Scope(Scope::Submit);
    /// To remove and to declare.
    pub const ADMIN: Self = Self::Scope(Scope::Admin);
    /// To be a slave.
    pub const JOIN: Self = Self::Scope(Scope::Join);
}

/// What is wrong with what somebody has shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Credential {
    /// Nothing was shown.
    Missing,
    /// It is nothing that this master has given out.
    Unknown,
    /// A key that somebody has ended.
    Revoked,
    /// A key whose time is over.
    Expired,
}

impl fmt::Display for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Missing => "no key was sent",
            Self::Unknown => "the key or token that was sent is none of this master's",
            Self::Revoked => "the key that was sent has been revoked",
            Self::Expired => "the key that was sent has expired",
        })
    }
}

/// Why somebody may not do what he asks for. Holds nothing of what he has shown.
#[derive(Clone, Debug, Error)]
pub enum Refusal {
    /// It is not known who asks.
    #[error(
        "{credential}, and this needs one with the scope {wanted}: send it as \
         \"authorization: Bearer KEY\" (tally keys create makes keys)"
    )]
    Unauthenticated {
        /// What is wrong with what was shown.
        credential: Credential,
        /// The scope that is needed.
        wanted: Scope,
    },
    /// It is known who asks, and he may not.
    #[error("this needs the scope {wanted}, and {who} has {}", show(who.scopes()))]
    NotAllowed {
        /// Who asks.
        who: Who,
        /// The scope that is needed.
        wanted: Scope,
    },
    /// More often than a key may.
    #[error("{who} has made more requests than it may; try again in {} s", wait.as_secs() + 1)]
    TooOften {
        /// Who asks.
        who: Who,
        /// Until it may again.
        wait: Duration,
    },
    /// A page that may not speak for the session asks.
    #[error(
        "a session changes something only with the header X-CSRF-Token that GET /session names"
    )]
    NotByPage {
        /// Who asks.
        who: Who,
    },
}

impl Refusal {
    /// The scope that is needed, where one is missing.
    pub fn wanted(&self) -> Option<Scope> {
        match self {
            Self::Unauthenticated { wanted, .. } | Self::NotAllowed { wanted, .. } => Some(*wanted),
            Self::TooOften { .. } | Self::NotByPage { .. } => None,
        }
    }

    /// Who asks, where that is known.
    pub fn who(&self) -> Option<&Who> {
        match self {
            Self::Unauthenticated { .. } => None,
            Self::NotAllowed { who, .. } | Self::TooOften { who, .. } | Self::NotByPage { who } => {
                Some(who)
            }
        }
    }

    /// Its name among the metrics.
    pub(crate) fn reason(&self) -> &'static str {
        match self {
            Self::Unauthenticated { .. } => "unauthenticated",
            Self::NotAllowed { .. } | Self::NotByPage { .. } => "not_allowed",
            Self::TooOften { .. } => "rate_limited",
        }
    }
}

fn show(scopes: Scopes) -> String {
    match scopes.is_empty() {
        true => "none".to_owned(),
        false => scopes.to_string(),
    }
}

/// What a master needs to know of those who may ask it.
#[derive(Clone, Debug)]
pub struct AccessConfig {
    /// The keys; the file need not be there.
    pub keys: KeysFile,
    /// The tokens of slaves.
    pub tokens: TokensFile,
    /// Whether the file of tokens is made where it is not there.
    pub make_tokens: bool,
    /// Keys are asked for even as long as there are none: for a master that others can reach.
    pub guarded: bool,
    /// `/metrics` and `/health` are answered without a key.
    pub public_metrics: bool,
    /// What certificates without scopes of their own may do.
    pub certificates: Scopes,
    /// How much keys may ask for that have no limits of their own.
    pub limits: KeyLimits,
    /// Where the audit log goes; `None` for none.
    pub audit: Option<PathBuf>,
}

impl AccessConfig {
    /// The defaults, for a data folder.
    pub fn new(data_dir: &std::path::Path) -> Self {
        Self {
            keys: KeysFile::of_data_dir(data_dir),
            tokens: TokensFile::of_data_dir(data_dir),
            make_tokens: true,
            guarded: false,
            public_metrics: false,
            certificates: Scope::Join.into(),
            limits: KeyLimits::default(),
            audit: Some(data_dir.to_owned()),
        }
    }
}

/// Why it can not be said who may ask.
#[derive(Debug, Error)]
pub enum AccessError {
    /// The keys.
    #[error(transparent)]
    Keys(#[from] KeysError),
    /// The tokens.
    #[error(transparent)]
    Tokens(#[from] TokensError),
    /// The audit log.
    #[error("the audit log: {0}")]
    Audit(std::io::Error),
}

/// Says who may do what. Cheap to clone.
#[derive(Clone)]
pub struct Access(Arc<Inner>);

struct Inner {
    guarded: AtomicBool,
    ring: RwLock<Arc<Ring>>,
    tokens: RwLock<Arc<Tokens>>,
    sessions: Sessions,
    /// Told when something that somebody was let in by may not hold any more.
    changes: watch::Sender<()>,
    public_metrics: bool,
    certificates: Scopes,
    limits: KeyLimits,
    rates: Rates,
    audit: Option<Audit>,
    /// What is read again when it changes; `None` for a master that nobody else can reach.
    files: Option<(KeysFile, TokensFile)>,
}

impl fmt::Debug for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Access").field("guarded", &self.is_guarded()).finish_non_exhaustive()
    }
}

impl Access {
    /// Lets anybody do anything: for a master within a process of its own.
    pub fn open() -> Self {
        let changes = watch::Sender::default();
        Self(Arc::new(Inner {
            guarded: AtomicBool::new(false),
            ring: RwLock::default(),
            tokens: RwLock::default(),
            sessions: Sessions::telling(changes.clone()),
            changes,
            public_metrics: false,
            certificates: Scopes::NONE,
            limits: KeyLimits::default(),
            rates: Rates::default(),
            audit: None,
            files: None,
        }))
    }

    /// Reads keys and tokens. One key, revoked or not, and they are asked for.
    ///
    /// # Errors
    /// Where a file that is there can not be read.
    pub fn start(config: AccessConfig) -> Result<Self, AccessError> {
        let ring = Ring::new(config.keys.list()?);
        let tokens = match config.make_tokens {
            true => config.tokens.read_or_make()?,
            false => config.tokens.read()?,
        };
        let audit =
            config.audit.as_deref().map(Audit::start).transpose().map_err(AccessError::Audit)?;
        let changes = watch::Sender::default();
        Ok(Self(Arc::new(Inner {
            guarded: AtomicBool::new(config.guarded || !ring.is_empty()),
            ring: RwLock::new(Arc::new(ring)),
            tokens: RwLock::new(Arc::new(Tokens::new(&tokens))),
            sessions: Sessions::telling(changes.clone()),
            changes,
            public_metrics: config.public_metrics,
            certificates: config.certificates,
            limits: config.limits,
            rates: Rates::default(),
            audit,
            files: Some((config.keys, config.tokens)),
        })))
    }

    /// Whether keys are asked for.
    pub fn is_guarded(&self) -> bool {
        self.0.guarded.load(Ordering::Acquire)
    }

    /// Whether there is any key.
    pub fn has_keys(&self) -> bool {
        !self.ring().is_empty()
    }

    /// The sessions of the dashboard.
    pub fn sessions(&self) -> &Sessions {
        &self.0.sessions
    }

    /// The key of a text that somebody shows, if it holds.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn key(&self, text: &str) -> Result<Arc<Key>, Credential> {
        let ring = self.ring();
        let key = ring.find(text).ok_or(Credential::Unknown)?;
        match key.standing_now() {
            Standing::Active => Ok(Arc::clone(key)),
            Standing::Revoked => Err(Credential::Revoked),
            Standing::Expired => Err(Credential::Expired),
        }
    }

    /// A key by its id, if it holds now.
    pub fn key_by_id(&self, id: &KeyId) -> Option<Arc<Key>> {
        let ring = self.ring();
        ring.get(id).filter(|key| key.standing_now() == Standing::Active).cloned()
    }

    /// How much an owner may ask for, as the keys are now.
    pub fn limits_of(&self, owner: &Owner) -> KeyLimits {
        let key = owner.key().and_then(|id| self.any_key(&id));
        key.map_or(self.0.limits, |key| key.limits.or(self.0.limits))
    }

    /// A key by its id, whether it holds or not.
    pub(super) fn any_key(&self, id: &KeyId) -> Option<Arc<Key>> {
        self.ring().get(id).cloned()
    }

    /// Whether a token is still one of those that slaves join by.
    pub(super) fn holds(&self, token: Token) -> bool {
        self.tokens().hold(token)
    }

    /// Changes when something that somebody was let in by may not hold any more.
    pub(super) fn changes(&self) -> watch::Receiver<()> {
        self.0.changes.subscribe()
    }

    /// Who sends a request with these headers over this connection. A header says more than a cookie, and that
    /// more than the connection: a program behind a proxy with a certificate is who its key says.
    ///
    /// # Errors
    /// What is wrong with what was shown, on a guarded master.
    pub fn authenticate(&self, headers: &HeaderMap, peer: &Peer) -> Result<Who, Credential> {
        match self.identify(headers, peer) {
            Err(_) if !self.is_guarded() => Ok(Who::Anonymous(Scope::ALL.into_iter().collect())),
            found => found,
        }
    }

    /// Who sends a request, if he may do what it needs.
    ///
    /// # Errors
    /// Why not.
    pub fn admit(&self, headers: &HeaderMap, peer: &Peer, need: Need) -> Result<Who, Refusal> {
        let wanted = match need {
            Need::Scope(scope) => Some(scope),
            Need::Metrics => (!self.0.public_metrics).then_some(Scope::Read),
            Need::Nothing => None,
        };
        let who = self.authenticate(headers, peer);
        if let Some(key) = who.as_ref().ok().and_then(Who::key)
            && let Err(wait) = self.0.rates.take(key, self.0.limits)
        {
            return Err(Refusal::TooOften { who: Who::Key(Arc::clone(key)), wait });
        }
        match (wanted, who) {
            (None, who) => Ok(who.unwrap_or(Who::Anonymous(Scopes::NONE))),
            (Some(wanted), Err(credential)) => Err(Refusal::Unauthenticated { credential, wanted }),
            // On an open master nobody is kept out by a credential that does not reach as far as none at all.
            (Some(wanted), Ok(who)) if who.allows(wanted) || !self.is_guarded() => Ok(who),
            (Some(wanted), Ok(who)) => Err(Refusal::NotAllowed { who, wanted }),
        }
    }

    /// A line of the audit log, which is written when it is dropped.
    pub(crate) fn entry(
        &self,
        who: Option<&Who>,
        peer: &Peer,
        method: &'static str,
        target: &str,
    ) -> Entry {
        Entry::new(self.0.audit.as_ref(), who, peer, method, target)
    }

    /// Has the last lines of the audit log written. Blocks for two seconds at most.
    pub(crate) fn close(&self) {
        if let Some(audit) = &self.0.audit {
            audit.flush();
        }
    }

    fn identify(&self, headers: &HeaderMap, peer: &Peer) -> Result<Who, Credential> {
        let mut shown = headers.get_all(header::AUTHORIZATION).iter();
        if let Some(value) = shown.next() {
            // Two of them: each of those on the way may have looked at another.
            return match shown.next() {
                Some(_) => Err(Credential::Unknown),
                None => self.bearer(value.as_bytes()),
            };
        }
        if let Some(Who::Session(mut session)) = self.0.sessions.find(headers) {
            // As the key is now: it may have been revoked meanwhile.
            session.key = self.key_by_id(&session.key.id).ok_or(Credential::Missing)?;
            return Ok(Who::Session(session));
        }
        peer.certificate
            .as_ref()
            .map(|certificate| self.certified(certificate))
            .ok_or(Credential::Missing)
    }

    fn bearer(&self, value: &[u8]) -> Result<Who, Credential> {
        let text = std::str::from_utf8(value).map_err(|_| Credential::Unknown)?;
        let (scheme, shown) = text.trim().split_once(' ').ok_or(Credential::Unknown)?;
        if !scheme.eq_ignore_ascii_case("bearer") {
            return Err(Credential::Unknown);
        }
        let shown = shown.trim();
        if !shown.starts_with(tokens::PREFIX) {
            return self.key(shown).map(Who::Key);
        }
        self.tokens().find(shown).map(Who::Slave).ok_or(Credential::Unknown)
    }

    fn certified(&self, certificate: &Arc<Certificate>) -> Who {
        let scopes = certificate.scopes.unwrap_or(self.0.certificates);
        Who::Certificate(Arc::clone(certificate), scopes)
    }

    fn ring(&self) -> Arc<Ring> {
        Arc::clone(&self.0.ring.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn tokens(&self) -> Arc<Tokens> {
        Arc::clone(&self.0.tokens.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// The files to look at, each with what to do when it has changed.
    pub(super) fn watched(&self) -> Option<[Watched; 2]> {
        let (keys, tokens) = self.0.files.as_ref()?;
        let (of_keys, of_tokens) = (self.clone(), self.clone());
        let paths: [PathBuf; 2] = [keys.path().to_owned(), tokens.path().to_owned()];
        let [at_keys, at_tokens] = paths;
        Some([
            Watched::new(at_keys, move || of_keys.read_keys().map_err(|error| error.to_string())),
            Watched::new(at_tokens, move || {
                of_tokens.read_tokens().map_err(|error| error.to_string())
            }),
        ])
    }

    fn read_keys(&self) -> Result<(), KeysError> {
        let Some((file, _)) = &self.0.files else { return Ok(()) };
        let ring = Ring::new(file.read()?);
        self.0.rates.keep(|id| ring.get(id).is_some());
        let (keys, guards) = (ring.len(), !ring.is_empty());
        *self.0.ring.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(ring);
        // It is never opened again: whoever removes the last key does not mean that anybody may come in.
        if guards && !self.0.guarded.swap(true, Ordering::AcqRel) {
            warn!("there are keys now: from here on they are asked for");
        }
        self.0.changes.send_replace(());
        info!(keys, "the keys file was read again");
        Ok(())
    }

    fn read_tokens(&self) -> Result<(), TokensError> {
        let Some((_, file)) = &self.0.files else { return Ok(()) };
        let tokens = file.read()?;
        let count = tokens.len();
        let tokens = Arc::new(Tokens::new(&tokens));
        *self.0.tokens.write().unwrap_or_else(PoisonError::into_inner) = tokens;
        self.0.changes.send_replace(());
        info!(tokens = count, "the join tokens were read again");
        Ok(())
    }
}

#[cfg(test)]
mod tests;
