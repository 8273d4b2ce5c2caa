//! Who gets in, and who does not.

use axum::http::HeaderValue;

use super::*;
use crate::access::{KeyLimits, NewKey};

struct Master {
    _folder: tempfile::TempDir,
    config: AccessConfig,
    access: Access,
}

fn master(guarded: bool) -> Master {
    let folder = tempfile::tempdir().unwrap();
    let config = AccessConfig { guarded, ..AccessConfig::new(folder.path()) };
    let access = Access::start(config.clone()).unwrap();
    Master { _folder: folder, config, access }
}

impl Master {
    fn key(&self, scope: Scope, lifetime_ms: Option<u64>) -> (Key, String) {
        let new = NewKey {
            name: format!("{scope} {lifetime_ms:?}"),
            scopes: scope.into(),
            lifetime_ms,
            limits: KeyLimits::default(),
        };
        self.config.keys.create(new).unwrap()
    }

    fn asks(&self, shown: &str, need: Need) -> Result<Who, Refusal> {
        self.access.admit(&bearer(shown), &Peer::default(), need)
    }
}

fn bearer(shown: &str) -> HeaderMap {
    let value = HeaderValue::try_from(format!("Bearer {shown}")).unwrap();
    HeaderMap::from_iter([(header::AUTHORIZATION, value)])
}

fn nothing() -> (HeaderMap, Peer) {
    (HeaderMap::new(), Peer::default())
}

#[test]
fn an_open_master_lets_anybody_do_anything() {
    let master = master(false);
    let (headers, peer) = nothing();
    let who = master.access.admit(&headers, &peer, Need::ADMIN).unwrap();
    assert_eq!(who.to_string(), "anonymous");
    // Nor does anybody get less for what he shows.
    assert!(master.asks("nonsense", Need::ADMIN).is_ok());
    let token = master.config.tokens.read().unwrap().remove(0);
    assert!(master.asks(&token, Need::ADMIN).is_ok());
    assert!(Access::open().admit(&headers, &peer, Need::JOIN).is_ok());
}

#[test]
fn the_first_key_closes_an_open_master_and_no_removal_opens_it() {
    let master = master(false);
    let (key, text) = master.key(Scope::Read, None);
    master.access.read_keys().unwrap();
    assert!(master.access.is_guarded());
    assert!(master.asks("nonsense", Need::READ).is_err());
    assert!(master.asks(&text, Need::READ).is_ok());
    std::fs::write(master.config.keys.path(), r#"{"version":1,"keys":[]}"#).unwrap();
    master.access.read_keys().unwrap();
    assert!(master.asks(&text, Need::READ).is_err() && master.access.is_guarded());
    assert!(master.access.key_by_id(&key.id).is_none());
}

#[test]
fn a_key_does_what_its_scope_says_and_no_more() {
    let master = master(true);
    let keys = Scope::ALL.map(|scope| (scope, master.key(scope, None).1));
    master.access.read_keys().unwrap();
    let may = |key: &str| Scope::ALL.map(|scope| master.asks(key, Need::Scope(scope)).is_ok());
    assert_eq!(may(&keys[0].1), [true, false, false, false]);
    assert_eq!(may(&keys[1].1), [true, true, false, false]);
    assert_eq!(may(&keys[2].1), [true, true, true, false]);
    assert_eq!(may(&keys[3].1), [false, false, false, true]);
    let refused = master.asks(&keys[0].1, Need::SUBMIT).unwrap_err();
    assert!(matches!(refused, Refusal::NotAllowed { wanted: Scope::Submit, .. }));
    assert!(refused.to_string().contains("submit"), "{refused}");
}

#[test]
fn nothing_of_a_secret_is_in_a_refusal() {
    let master = master(true);
    let (_, text) = master.key(Scope::Read, None);
    master.access.read_keys().unwrap();
    let secret = &text[text.len() - 64..];
    for refused in [master.asks(&text, Need::ADMIN), master.asks(&format!("{text}x"), Need::ADMIN)]
    {
        let refused = refused.unwrap_err();
        assert!(!format!("{refused} {refused:?}").contains(&secret[..8]));
    }
}

#[test]
fn what_is_revoked_or_over_is_refused_and_said_to_be() {
    let master = master(true);
    let (revoked, of_revoked) = master.key(Scope::Admin, None);
    let (_, expired) = master.key(Scope::Admin, Some(0));
    master.config.keys.revoke(revoked.id.as_str()).unwrap();
    master.access.read_keys().unwrap();
    let why = |text: &str| match master.asks(text, Need::READ) {
        Err(Refusal::Unauthenticated { credential, wanted: Scope::Read }) => credential,
        other => panic!("{other:?}"),
    };
    assert_eq!(why(&of_revoked), Credential::Revoked);
    assert_eq!(why(&expired), Credential::Expired);
    // Only whoever has the secret is told so much.
    let digits = "0".repeat(64);
    assert_eq!(why(&format!("tally_{}_{digits}", revoked.id)), Credential::Unknown);
    assert_eq!(why("x"), Credential::Unknown);
}

#[test]
fn headers_that_are_no_single_bearer_are_refused() {
    let master = master(true);
    let (_, text) = master.key(Scope::Admin, None);
    master.access.read_keys().unwrap();
    let asks = |values: &[&[u8]]| {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(header::AUTHORIZATION, HeaderValue::from_bytes(value).unwrap());
        }
        master.access.admit(&headers, &Peer::default(), Need::READ).is_ok()
    };
    assert!(asks(&[format!("bearer  {text}").as_bytes()]));
    let bearer = format!("Bearer {text}");
    assert!(!asks(&[bearer.as_bytes(), bearer.as_bytes()]));
    assert!(!asks(&[text.as_bytes()]));
    assert!(!asks(&[format!("Basic {text}").as_bytes()]));
    assert!(!asks(&[b"Bearer \xff"]) && !asks(&[b""]) && !asks(&[b"Bearer"]));
}

#[test]
fn slaves_join_by_a_token_and_do_nothing_else_with_it() {
    let master = master(true);
    let first = master.config.tokens.read().unwrap().remove(0);
    assert!(master.asks(&first, Need::JOIN).is_ok());
    assert!(master.asks(&first, Need::READ).is_err());
    master.config.tokens.rotate().unwrap();
    let second = master.config.tokens.rotate().unwrap().remove(0);
    master.access.read_tokens().unwrap();
    assert!(master.asks(&second, Need::JOIN).is_ok());
    assert!(master.asks(&first, Need::JOIN).is_err());
}

#[test]
fn a_file_that_can_not_be_read_leaves_what_was_in_force() {
    let master = master(true);
    let (_, text) = master.key(Scope::Read, None);
    master.access.read_keys().unwrap();
    std::fs::write(master.config.keys.path(), "{").unwrap();
    assert!(master.access.read_keys().is_err());
    assert!(master.asks(&text, Need::READ).is_ok());
    std::fs::remove_file(master.config.keys.path()).unwrap();
    assert!(master.access.read_keys().is_err());
    assert!(master.asks(&text, Need::READ).is_ok());
    // At the start it is another matter.
    std::fs::write(master.config.keys.path(), "{").unwrap();
    assert!(matches!(Access::start(master.config.clone()), Err(AccessError::Keys(_))));
}

#[test]
fn a_certificate_may_what_it_says_or_what_the_operator_says() {
    let master = master(true);
    let asks = |scopes: Option<Scopes>, need| {
        let certificate = Certificate { name: "host".to_owned(), scopes };
        let peer = Peer { address: None, certificate: Some(Arc::new(certificate)) };
        master.access.admit(&HeaderMap::new(), &peer, need).map(|who| who.to_string())
    };
    assert_eq!(asks(None, Need::JOIN).unwrap(), "cert:host");
    assert!(asks(None, Need::READ).is_err());
    assert!(asks(Some(Scope::Admin.into()), Need::SUBMIT).is_ok());
    assert!(asks(Some(Scopes::NONE), Need::JOIN).is_err());
}

#[test]
fn metrics_are_for_readers_unless_they_are_public() {
    let guarded = master(true);
    let (headers, peer) = nothing();
    assert!(guarded.access.admit(&headers, &peer, Need::Metrics).is_err());
    assert!(guarded.access.admit(&headers, &peer, Need::Nothing).is_ok());
    let public = AccessConfig { public_metrics: true, ..guarded.config.clone() };
    let public = Access::start(public).unwrap();
    assert!(public.admit(&headers, &peer, Need::Metrics).is_ok());
    assert!(public.admit(&headers, &peer, Need::READ).is_err());
}
