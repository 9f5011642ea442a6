//! Whose request it is.

use std::{
    convert::Infallible,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
};

use axum::extract::{ConnectInfo, FromRequestParts};
use http::request::Parts;

use crate::networks;

/// The address that a request is from: the peer's; behind a proxy that is no part of the public
/// internet, the one that it names last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Peer(pub IpAddr);

impl Peer {
    /// Reads it off a request.
    pub fn of(parts: &Parts) -> Self {
        let peer = parts.extensions.get::<ConnectInfo<SocketAddr>>();
        let peer =
            peer.map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |ConnectInfo(peer)| peer.ip().to_canonical());
        if networks::is_public(peer) {
            return Self(peer);
        }
        let named = parts.headers.get_all("x-forwarded-for").iter().next_back();
        let named = named.and_then(|value| value.to_str().ok()?.rsplit(',').next()?.trim().parse().ok());
        Self(named.unwrap_or(peer))
    }

    /// What one customer of a provider has at least: an IPv4 address, or the 64 bits before the
    /// device's own of an IPv6 one.
    #[must_use]
    pub fn network(self) -> IpAddr {
        match self.0.to_canonical() {
            IpAddr::V6(ip) => {
                let [a, b, c, d, ..] = ip.segments();
                Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0).into()
            }
            ip => ip,
        }
    }
}

impl<S: Sync> FromRequestParts<S> for Peer {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(Self::of(parts))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address_of(peer: &str, forwarded: &[&str]) -> String {
        let mut request = http::Request::builder();
        for value in forwarded {
            request = request.header("x-forwarded-for", *value);
        }
        let (mut parts, ()) = request.body(()).expect("request").into_parts();
        parts.extensions.insert(ConnectInfo::<SocketAddr>(peer.parse().expect("address")));
        Peer::of(&parts).0.to_string()
    }

    #[test]
    fn a_proxy_of_ones_own_is_believed_and_a_stranger_is_not() {
        assert_eq!(address_of("10.0.0.3:1", &["198.51.100.9, 8.8.8.8"]), "8.8.8.8");
        assert_eq!(address_of("10.0.0.3:1", &["1.1.1.1", "8.8.4.4"]), "8.8.4.4");
        assert_eq!(address_of("8.8.8.8:1", &["1.1.1.1"]), "8.8.8.8");
        assert_eq!(address_of("[::ffff:127.0.0.1]:1", &["junk"]), "127.0.0.1");
    }

    #[test]
    fn the_addresses_of_one_customer_are_one_network() {
        let network = |ip: &str| Peer(ip.parse().expect("address")).network().to_string();
        assert_eq!(network("2001:db8:1:2:3::4"), "2001:db8:1:2::");
        assert_eq!(network("2001:db8:1:2::9"), "2001:db8:1:2::");
        assert_eq!(network("192.0.2.7"), "192.0.2.7");
        assert_eq!(network("::ffff:192.0.2.7"), "192.0.2.7");
    }
}
