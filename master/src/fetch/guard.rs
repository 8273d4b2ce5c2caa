//! Which addresses a server of the network may have. A name is looked up once, all addresses that it has are
//! checked, and the connection goes to one of these: a name that is answered otherwise the next time, to
//! lead to where its asker should not go, gains nothing.

use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ureq::Error;
use ureq::config::Config;
use ureq::http::Uri;
use ureq::unversioned::resolver::{DefaultResolver, ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::NextTimeout;

/// Looks names up, and refuses those that lead to addresses that are not of the public network.
#[derive(Default)]
pub(crate) struct Guard(DefaultResolver);

impl fmt::Debug for Guard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Guard")
    }
}

impl Resolver for Guard {
    fn resolve(
        &self,
        uri: &Uri,
        config: &Config,
        timeout: NextTimeout,
    ) -> Result<ResolvedSocketAddrs, Error> {
        let found = self.0.resolve(uri, config, timeout)?;
        match found.iter().find(|address| !is_public(address.ip())) {
            None => Ok(found),
            Some(address) => {
                let host = uri.host().unwrap_or_default();
                let why = format!(
                    "{host} has the address {}, which is not of the public network; \
                     allow_private = true allows it",
                    address.ip()
                );
                Err(Error::Io(io::Error::new(io::ErrorKind::PermissionDenied, why)))
            }
        }
    }
}

/// Whether an address is one of the public network: not of this machine, this network or a private one,
/// not a group's, and not reserved for anything.
pub(crate) fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_public_v4(address),
        IpAddr::V6(address) => is_public_v6(address),
    }
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    let special = address.is_private()
        || address.is_loopback()
        || address.is_link_local()
        || address.is_multicast()
        || address.is_broadcast()
        || address.is_documentation();
    let [a, b, c, _] = address.octets();
    !special
        && !matches!(
            (a, b, c),
            // "This" network; shared by carriers; of protocols; for measuring; reserved.
            (0, ..) | (100, 64..=127, _) | (192, 0, 0) | (198, 18..=19, _) | (240.., ..)
        )
}

fn is_public_v6(address: Ipv6Addr) -> bool {
    let special = address.is_loopback()
        || address.is_unspecified()
        || address.is_multicast()
        || address.is_unique_local()
        || address.is_unicast_link_local();
    if special {
        return false;
    }
    let [a, b, c, d, e, f, g, h] = address.segments();
    let v4 = |high: u16, low: u16| {
        let ([a, b], [c, d]) = (high.to_be_bytes(), low.to_be_bytes());
        is_public_v4(Ipv4Addr::new(a, b, c, d))
    };
    match [a, b, c, d, e, f] {
        // An IPv4 address in other clothes: mapped, compatible, or behind a translator.
        [0, 0, 0, 0, 0, 0 | 0xffff] | [0x64, 0xff9b, 0, 0, 0, 0] => v4(g, h),
        // The same by 6to4.
        [0x2002, ..] => v4(b, c),
        // Of this site, formerly; to be thrown away; a translator's own; of protocols, Teredo among them;
        // for examples.
        [0xfec0..=0xfeff, ..] | [0x100, 0, 0, 0, ..] | [0x64, 0xff9b, 1, ..] => false,
        [0x2001, 0..=0x1ff, ..] | [0x2001, 0xdb8, ..] => false,
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_of_the_public_network_is_known() {
        for private in [
            "127.0.0.1",
            "127.8.9.10",
            "0.0.0.0",
            "10.1.2.3",
            "172.16.0.1",
            "172.31.255.255",
            "192.168.0.1",
            "169.254.169.254",
            "100.64.0.1",
            "192.0.0.8",
            "198.18.0.1",
            "203.0.113.9",
            "224.0.0.1",
            "240.0.0.1",
            "255.255.255.255",
            "::1",
            "::",
            "fe80::1",
            "fd00::1",
            "fc00::1",
            "ff02::1",
            "fec0::1",
            "::ffff:127.0.0.1",
            "::ffff:10.0.0.1",
            "::127.0.0.1",
            "64:ff9b::a00:1",
            "64:ff9b:1::1",
            "2002:7f00:1::",
            "2001::1",
            "2001:db8::1",
            "100::1",
        ] {
            assert!(!is_public(private.parse().unwrap()), "{private}");
        }
        for public in [
            "1.1.1.1",
            "172.32.0.1",
            "100.128.0.1",
            "192.0.1.1",
            "198.20.0.1",
            "223.255.255.255",
            "2606:4700::1111",
            "2a00::1",
            "::ffff:1.1.1.1",
            "64:ff9b::101:101",
            "2002:101:101::",
        ] {
            assert!(is_public(public.parse().unwrap()), "{public}");
        }
    }
}
