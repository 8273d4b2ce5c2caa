//! Where a broker is, and how to log in to it. The password goes to the broker and nowhere else: not
//! into a log, not into an error, not into a debug format.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use lapin::uri::AMQPUri;
use thiserror::Error;

/// Seconds between two signs of life on a silent connection, where the URL does not say: a broker whose
/// machine is gone is noticed within two of these.
const HEARTBEAT_S: u16 = 20;

/// The parameter that names a file of authorities; RabbitMQ's own clients call it so as well.
const AUTHORITIES: &str = "cacertfile";

/// A broker's address: `amqp://USER:PASSWORD@HOST:PORT/VHOST`, or `amqps://` for TLS.
#[derive(Clone, PartialEq, Eq)]
pub struct Address {
    uri: AMQPUri,
    authorities: Option<PathBuf>,
}

/// Why a text is no address of a broker. Never holds the text, which may have a password in it.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum BadAddress {
    /// It is no such URL.
    #[error("the broker's address is amqp://USER:PASSWORD@HOST:PORT/VHOST, or amqps://…")]
    NoUrl,
    /// Its host is an IPv6 address.
    #[error("the broker's host must be a name or an IPv4 address; give an IPv6 host a name")]
    Ipv6,
}

impl FromStr for Address {
    type Err = BadAddress;

    fn from_str(text: &str) -> Result<Self, BadAddress> {
        let rest = text.split_once("://").ok_or(BadAddress::NoUrl)?.1;
        let host = rest.split(['/', '?']).next().unwrap_or_default();
        if host.rsplit('@').next().is_some_and(|host| host.starts_with('[')) {
            return Err(BadAddress::Ipv6);
        }
        let mut uri: AMQPUri = text.parse().map_err(|_| BadAddress::NoUrl)?;
        if uri.vhost.is_empty() {
            // `amqp://host/` means the default one to all who write it.
            uri.vhost = "/".to_owned();
        }
        uri.query.heartbeat.get_or_insert(HEARTBEAT_S);
        let query = text.split_once('?').map_or("", |(_, query)| query);
        let mut parameters = form_urlencoded::parse(query.as_bytes());
        let file = parameters.find(|(name, _)| name == AUTHORITIES);
        let authorities = file.map(|(_, file)| PathBuf::from(file.into_owned()));
        Ok(Self { uri, authorities })
    }
}

impl Address {
    pub(super) fn uri(&self) -> AMQPUri {
        self.uri.clone()
    }

    /// A file of certificates, as PEM, of those whose word is believed as well: of a broker whose certificate
    /// none of the web's authorities has signed.
    pub(super) fn authorities(&self) -> Option<&Path> {
        self.authorities.as_deref()
    }
}

/// Without the password.
impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let AMQPUri { scheme, authority, vhost, .. } = &self.uri;
        let user = &authority.userinfo.username;
        write!(f, "{scheme}://{user}@{}:{}", authority.host, authority.port)?;
        if vhost == "/" { Ok(()) } else { write!(f, "/{vhost}") }
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_shown_without_its_password() {
        let address: Address = "amqp://shop:s3cret@mq.example:5673/orders".parse().unwrap();
        assert_eq!(address.to_string(), "amqp://shop@mq.example:5673/orders");
        assert_eq!(format!("{address:?}"), address.to_string());
        assert_eq!(address.uri().authority.userinfo.password, "s3cret");
        let plain: Address = "amqp://127.0.0.1/".parse().unwrap();
        assert_eq!(plain.to_string(), "amqp://guest@127.0.0.1:5672");
        assert_eq!(plain.uri().query.heartbeat, Some(HEARTBEAT_S));
        let tls: Address = "amqps://u:p@mq.example/%2f?heartbeat=5".parse().unwrap();
        assert_eq!(tls.to_string(), "amqps://u@mq.example:5671");
        assert_eq!((tls.uri().query.heartbeat, tls.authorities()), (Some(5), None));
        let own: Address = "amqps://u:p@h/?heartbeat=5&cacertfile=/a%20b/ca.pem".parse().unwrap();
        assert_eq!(own.authorities(), Some(Path::new("/a b/ca.pem")));
        assert_eq!(own.to_string(), "amqps://u@h:5671");
    }

    #[test]
    fn what_is_none_is_refused_without_repeating_it() {
        for text in ["", "mq.example", "http://u:s3cret@h/", "amqp://u:s3cret@h:port/", "amqp:x"] {
            let error = text.parse::<Address>().unwrap_err();
            assert_eq!(error, BadAddress::NoUrl, "{text}");
            assert!(!error.to_string().contains("s3cret"));
        }
        assert_eq!("amqp://u:p@[::1]:5672/".parse::<Address>(), Err(BadAddress::Ipv6));
    }
}
