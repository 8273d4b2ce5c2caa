//! What a client's certificate says of who it is and what it may.

use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::FromDer;

use super::{Scope, Scopes};

/// What a URI begins with that says what its certificate may.
const SCOPE_URI: &str = "urn:tally:scope:";

/// Most characters of a name that are kept: it goes into the log with each request.
const MAX_NAME_CHARS: usize = 128;

/// A client's certificate that has been verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certificate {
    /// Its common name, else its first alternative name: for the audit log.
    pub name: String,
    /// What its URIs `urn:tally:scope:…` let it do; `None` where it has none of these, and the operator's word
    /// for such certificates holds.
    pub scopes: Option<Scopes>,
}

impl Certificate {
    /// Reads one that has been verified. What can not be read lets it do nothing.
    pub(super) fn read(der: &[u8]) -> Self {
        let Ok((_, certificate)) = X509Certificate::from_der(der) else {
            return Self { name: "unreadable".to_owned(), scopes: Some(Scopes::NONE) };
        };
        // An extension that is broken or comes twice: whatever it said, it is not taken for nothing said.
        let Ok(extension) = certificate.subject_alternative_name() else {
            return Self {
                name: common_name(&certificate).unwrap_or_default(),
                scopes: Some(Scopes::NONE),
            };
        };
        let names = extension.map(|extension| &extension.value.general_names);
        let names = names.map(Vec::as_slice).unwrap_or_default();
        let uris = names.iter().filter_map(|name| match name {
            GeneralName::URI(uri) => uri.strip_prefix(SCOPE_URI),
            _ => None,
        });
        let uris: Vec<_> = uris.collect();
        // A word that is no scope lets nobody do anything, and still is a word about scopes.
        let scopes = uris.iter().filter_map(|uri| uri.parse::<Scope>().ok()).collect();
        let other = names.iter().find_map(plain);
        let name =
            common_name(&certificate).or(other).unwrap_or_else(|| "without a name".to_owned());
        Self { name, scopes: (!uris.is_empty()).then_some(scopes) }
    }

    /// From when until when it is valid, in seconds since 1970.
    pub(super) fn validity(der: &[u8]) -> Option<(i64, i64)> {
        let (_, certificate) = X509Certificate::from_der(der).ok()?;
        let validity = certificate.validity();
        Some((validity.not_before.timestamp(), validity.not_after.timestamp()))
    }
}

fn common_name(certificate: &X509Certificate<'_>) -> Option<String> {
    let name = certificate.subject().iter_common_name().next()?.as_str().ok()?;
    clean(name)
}

fn plain(name: &GeneralName<'_>) -> Option<String> {
    match name {
        GeneralName::DNSName(name) | GeneralName::RFC822Name(name) => clean(name),
        GeneralName::URI(uri) if !uri.starts_with(SCOPE_URI) => clean(uri),
        _ => None,
    }
}

/// A name that breaks no line of a log.
fn clean(name: &str) -> Option<String> {
    let name: String = name.chars().filter(|c| !c.is_control()).take(MAX_NAME_CHARS).collect();
    (!name.is_empty()).then_some(name)
}

#[cfg(test)]
mod tests {
    use rcgen::string::Ia5String;
    use rcgen::{CertificateParams, DnType, KeyPair, SanType};

    use super::*;

    fn of(common: Option<&str>, names: &[&str]) -> Certificate {
        let mut params = CertificateParams::default();
        params.distinguished_name.remove(DnType::CommonName);
        if let Some(common) = common {
            params.distinguished_name.push(DnType::CommonName, common);
        }
        let text = |name: &str| Ia5String::try_from(name).unwrap();
        let san = |name: &&str| match name.contains(':') {
            true => SanType::URI(text(name)),
            false => SanType::DnsName(text(name)),
        };
        params.subject_alt_names = names.iter().map(san).collect();
        let key = KeyPair::generate().unwrap();
        Certificate::read(params.self_signed(&key).unwrap().der())
    }

    #[test]
    fn scopes_are_what_uris_say_and_none_where_they_say_nothing() {
        let slave = of(Some("slave-1"), &["slave-1.example", "urn:tally:scope:join"]);
        assert_eq!((slave.name.as_str(), slave.scopes), ("slave-1", Some(Scope::Join.into())));
        let both = of(None, &["urn:tally:scope:join", "urn:tally:scope:read", "b.example"]);
        let scopes = Scopes::from(Scope::Join).union(Scope::Read.into());
        assert_eq!((both.name.as_str(), both.scopes), ("b.example", Some(scopes)));
        assert_eq!(of(Some("x"), &["spiffe://x/y"]).scopes, None);
        assert_eq!(of(Some("x"), &[]).scopes, None);
    }

    #[test]
    fn a_scope_that_is_none_lets_nobody_do_anything() {
        for uri in ["urn:tally:scope:root", "urn:tally:scope:", "urn:tally:scope:ADMIN"] {
            assert_eq!(of(Some("x"), &[uri]).scopes, Some(Scopes::NONE), "{uri}");
        }
        assert_eq!(Certificate::read(b"no certificate").scopes, Some(Scopes::NONE));
    }

    #[test]
    fn names_fit_into_a_line_of_a_log() {
        assert_eq!(of(Some("a\nb\u{1b}"), &[]).name, "ab");
        assert_eq!(of(Some(&"x".repeat(1000)), &[]).name.len(), MAX_NAME_CHARS);
        assert_eq!(of(None, &[]).name, "without a name");
    }
}
