//! URLs, as far as they say from where something is fetched: compared by their parts, and never shown
//! with their query, which may be a secret.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;
use ureq::http::Uri;

/// What is no prefix of URLs, and why.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{0}")]
pub struct BadPrefix(String);

/// Where a URL points to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    secure: bool,
    /// In lower case.
    host: String,
    port: u16,
    /// Begins with a slash, and has no `.` and `..`.
    path: String,
    query: Option<String>,
}

/// URLs that may be fetched: all that have the same scheme, host and port, and whose path is the prefix's
/// or goes on from it behind a slash.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourcePrefix(Place);

impl SourcePrefix {
    pub(super) fn covers(&self, place: &Place) -> bool {
        let Place { secure, host, port, path, .. } = &self.0;
        let rest = place.path.strip_prefix(path.as_str());
        let below = rest
            .is_some_and(|rest| rest.is_empty() || path.ends_with('/') || rest.starts_with('/'));
        (place.secure, &place.host, place.port) == (*secure, host, *port) && below
    }
}

impl FromStr for SourcePrefix {
    type Err = BadPrefix;

    fn from_str(text: &str) -> Result<Self, BadPrefix> {
        let place = Place::parse(text).map_err(BadPrefix)?;
        match place.query {
            Some(_) => Err(BadPrefix(format!("{text}: a prefix has no query"))),
            None => Ok(Self(place)),
        }
    }
}

impl Place {
    /// Reads a URL.
    pub(crate) fn parse(url: &str) -> Result<Self, String> {
        let uri: Uri = url.trim().parse().map_err(|error| format!("this is no URL: {error}"))?;
        let secure = match uri.scheme_str() {
            Some("https") => true,
            Some("http") => false,
            _ => return Err("a URL begins with https:// or http://".to_owned()),
        };
        let authority = uri.authority().ok_or("the URL has no host")?;
        if authority.as_str().contains('@') {
            return Err("the URL has a user name in it, which is not allowed".to_owned());
        }
        let path = if uri.path().is_empty() { "/" } else { uri.path() };
        if has_dots(path) {
            return Err("the URL's path has . or .. in it, which is not allowed".to_owned());
        }
        let port = match (authority.port_u16(), secure) {
            (Some(port), _) => port,
            (None, true) => 443,
            (None, false) => 80,
        };
        if authority.host().is_empty() {
            return Err("the URL has no host".to_owned());
        }
        Ok(Self {
            secure,
            host: authority.host().to_ascii_lowercase(),
            port,
            path: path.to_owned(),
            query: uri.query().map(str::to_owned),
        })
    }

    /// The place that a redirect from here names.
    pub(crate) fn join(&self, to: &str) -> Result<Self, String> {
        let to = to.split('#').next().unwrap_or_default();
        // A scheme goes before any slash.
        let absolute = to.split_once(':').is_some_and(|(scheme, _)| !scheme.contains(['/', '?']));
        let scheme = if self.secure { "https:" } else { "http:" };
        let url = if absolute {
            to.to_owned()
        } else if to.starts_with("//") {
            format!("{scheme}{to}")
        } else if to.starts_with('/') {
            format!("{}{to}", self.origin())
        } else if to.starts_with('?') {
            format!("{}{}{to}", self.origin(), self.path)
        } else {
            let folder = self.path.rsplit_once('/').map_or("", |(folder, _)| folder);
            format!("{}{folder}/{to}", self.origin())
        };
        Self::parse(&url)
    }

    fn origin(&self) -> String {
        let scheme = if self.secure { "https" } else { "http" };
        format!("{scheme}://{}:{}", self.host, self.port)
    }

    /// The place of that name below this one.
    pub(crate) fn below(&self, name: &str) -> Self {
        Self { path: format!("{}/{name}", self.path.trim_end_matches('/')), ..self.clone() }
    }

    /// Whether both are on the same server.
    pub(crate) fn same_origin(&self, other: &Self) -> bool {
        (self.secure, &self.host, self.port) == (other.secure, &other.host, other.port)
    }

    /// Whether it has a query.
    pub(crate) fn has_query(&self) -> bool {
        self.query.is_some()
    }

    /// All of it.
    pub(crate) fn url(&self) -> String {
        let query = self.query.as_ref().map(|query| format!("?{query}"));
        format!("{}{}{}", self.origin(), self.path, query.unwrap_or_default())
    }

    /// What the file is called.
    pub(crate) fn file_name(&self) -> Option<&str> {
        self.path.rsplit('/').next().filter(|name| !name.is_empty())
    }
}

/// Without its query.
impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let usual = if self.secure { 443 } else { 80 };
        let scheme = if self.secure { "https" } else { "http" };
        write!(f, "{scheme}://{}", self.host)?;
        if self.port != usual {
            write!(f, ":{}", self.port)?;
        }
        f.write_str(&self.path)
    }
}

/// Whether a part of a path is `.` or `..`, also as some servers would read it: with escaped dots, or
/// between escaped slashes or backslashes.
fn has_dots(path: &str) -> bool {
    let path = path.to_ascii_lowercase().replace("%2e", ".");
    let path = path.replace("%2f", "/").replace("%5c", "/").replace('\\', "/");
    path.split('/').any(|part| part == "." || part == "..")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn covers(prefix: &str, url: &str) -> bool {
        let prefix: SourcePrefix = prefix.parse().unwrap();
        Place::parse(url).is_ok_and(|place| prefix.covers(&place))
    }

    #[test]
    fn a_prefix_covers_what_is_below_it() {
        let data = "https://data.example.org/plays";
        for url in [
            "https://data.example.org/plays",
            "https://DATA.example.org:443/plays/2026.csv",
            "https://data.example.org/plays?key=1",
        ] {
            assert!(covers(data, url), "{url}");
        }
        for url in [
            "http://data.example.org/plays/x",
            "https://data.example.org:8443/plays/x",
            "https://data.example.org/playsome",
            "https://data.example.org/",
            "https://data.example.org/Plays/x",
            "https://data.example.org.evil.org/plays/x",
            "https://data.example.org@evil.org/plays/x",
            "https://user:secret@data.example.org/plays/x",
            "https://data.example.org/plays/../secret",
            "https://data.example.org/plays/%2e%2E/secret",
            "https://data.example.org/plays/..%2fsecret",
            "https://data.example.org/plays/x%5c..%5csecret",
            "ftp://data.example.org/plays/x",
            "/plays/x",
            "",
        ] {
            assert!(!covers(data, url), "{url}");
        }
        assert!(covers("http://[::1]:8000/a/", "http://[::1]:8000/a/b"));
        assert!(!covers("http://[::1]:8000/a/", "http://[::1]:8000/a"));
        assert!(covers("http://h", "http://h:80/any?thing"));
        for bad in ["h/data", "ftp://h/", "https://h/a?b", "https://u@h/", "https://h/../", ""] {
            assert!(bad.parse::<SourcePrefix>().is_err(), "{bad}");
        }
    }

    #[test]
    fn redirects_lead_where_they_say() {
        let from = Place::parse("https://h/a/b?c").unwrap();
        for (to, url) in [
            ("x", "https://h:443/a/x"),
            ("/x?y#z", "https://h:443/x?y"),
            ("?y", "https://h:443/a/b?y"),
            ("//other/x", "https://other:443/x"),
            ("http://other:81/", "http://other:81/"),
        ] {
            assert_eq!(from.join(to).unwrap().url(), url, "{to}");
        }
        for bad in ["../x", "file:///etc/passwd", "javascript:x"] {
            assert!(from.join(bad).is_err(), "{bad}");
        }
        assert_eq!(from.to_string(), "https://h/a/b");
        assert_eq!(from.file_name(), Some("b"));
    }
}
