//! Which addresses a probe may talk to.
//!
//! Anybody who may post a monitor makes this process send requests from inside
//! the network it runs in. The guard looks at the address that is about to be
//! connected to, never at the name, so a name that resolves to something else
//! the second time gains nothing.

use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;
use watchkeeper_runtime::networks::{embedded_v4, never_reached, not_public};
use watchkeeper_store::Origin;

/// How far the author of an endpoint is trusted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trust {
    /// Whoever wrote a manifest runs the installation: private addresses and
    /// loopback are theirs to watch.
    Operator,
    /// Whoever posted a monitor holds an API key, which anyone may have.
    Stranger,
}

impl From<Origin> for Trust {
    fn from(origin: Origin) -> Self {
        match origin {
            Origin::Kubernetes | Origin::Manifest => Self::Operator,
            Origin::Monitor => Self::Stranger,
        }
    }
}

/// An address that may not be probed. The text names the kind of address but
/// not the address: a stranger must not learn what internal names resolve to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("refused: the target's address is {kind}, which may not be probed")]
pub struct Denied {
    kind: &'static str,
}

/// Decides about addresses for one kind of author.
#[derive(Clone, Debug)]
pub struct Guard {
    trust: Trust,
    allow: Arc<[IpNet]>,
}

impl Guard {
    /// `allow` lists networks that strangers may probe although they are not
    /// public. Metadata and link-local addresses cannot be allowed.
    pub fn new(trust: Trust, allow: &[IpNet]) -> Self {
        Self { trust, allow: allow.into() }
    }

    /// Whether a connection to `ip` may be opened.
    ///
    /// # Errors
    /// [`Denied`] when not.
    pub fn check(&self, ip: IpAddr) -> Result<(), Denied> {
        let ip = ip.to_canonical();
        // What a translator would make of the address counts as well.
        for ip in std::iter::once(ip).chain(embedded_v4(ip).map(IpAddr::V4)) {
            if let Some(kind) = never_reached(ip) {
                return Err(Denied { kind });
            }
            if self.trust == Trust::Stranger
                && let Some(kind) = not_public(ip)
                && !self.allow.iter().any(|net| net.contains(&ip))
            {
                return Err(Denied { kind });
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allowed(trust: Trust, allow: &[&str], ip: &str) -> bool {
        let allow: Vec<IpNet> = allow.iter().map(|net| net.parse().expect("a network")).collect();
        Guard::new(trust, &allow).check(ip.parse().expect("an address")).is_ok()
    }

    #[test]
    fn metadata_and_link_local_are_denied_to_everyone_and_cannot_be_allowed() {
        for ip in [
            "169.254.169.254",
            "169.254.0.1",
            "::ffff:169.254.169.254",
            "::169.254.169.254",
            "64:ff9b::169.254.169.254",
            "2002:a9fe:a9fe::1",
            "fe80::1",
            "febf::1",
            "fd00:ec2::254",
            "100.100.100.200",
            "0.0.0.0",
            "0.1.2.3",
            "::",
            "::ffff:0.0.0.0",
            "224.0.0.1",
            "255.255.255.255",
            "ff02::1",
        ] {
            for trust in [Trust::Operator, Trust::Stranger] {
                assert!(!allowed(trust, &["0.0.0.0/0", "::/0"], ip), "{ip} for {trust:?}");
            }
        }
    }

    #[test]
    fn operators_may_probe_private_addresses_and_strangers_may_not() {
        for ip in [
            "127.0.0.1",
            "::1",
            "::ffff:127.0.0.1",
            "::127.0.0.1",
            "10.0.0.1",
            "64:ff9b::10.0.0.1",
            "2002:7f00:1::",
            "172.31.255.255",
            "192.168.1.1",
            "100.64.0.1",
            "fd12::1",
            "fec0::1",
            "198.18.0.1",
            "240.0.0.1",
        ] {
            assert!(allowed(Trust::Operator, &[], ip), "{ip}");
            assert!(!allowed(Trust::Stranger, &[], ip), "{ip}");
        }
    }

    #[test]
    fn public_addresses_are_open_to_all() {
        for ip in ["8.8.8.8", "172.32.0.1", "100.128.0.1", "2606:4700::1111", "64:ff9b::8.8.8.8"] {
            assert!(allowed(Trust::Operator, &[], ip), "{ip}");
            assert!(allowed(Trust::Stranger, &[], ip), "{ip}");
        }
    }

    #[test]
    fn an_allow_list_opens_exactly_its_networks_to_strangers() {
        let allow = ["10.20.0.0/16", "::1/128"];
        assert!(allowed(Trust::Stranger, &allow, "10.20.3.4"));
        assert!(allowed(Trust::Stranger, &allow, "::ffff:10.20.3.4"));
        assert!(allowed(Trust::Stranger, &allow, "::1"));
        assert!(!allowed(Trust::Stranger, &allow, "10.21.0.1"));
        assert!(!allowed(Trust::Stranger, &allow, "127.0.0.1"));
    }

    #[test]
    fn a_refusal_names_the_kind_of_address_and_not_the_address() {
        let guard = Guard::new(Trust::Stranger, &[]);
        let text = guard.check(IpAddr::from([10, 1, 2, 3])).expect_err("denied").to_string();
        assert!(text.contains("private") && !text.contains("10.1"), "{text}");
    }
}
