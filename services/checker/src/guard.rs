//! Which addresses a probe may talk to.
//!
//! Anybody who may post a monitor makes this process send requests from inside
//! the network it runs in. The guard looks at the address that is about to be
//! connected to, never at the name, so a name that resolves to something else
//! the second time gains nothing.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use watchkeeper_store::Origin;

/// Never probed, whoever asks: addresses that lend their authority to whoever
/// can reach them (cloud metadata), and those that name no single host.
const NEVER: &[(IpNet, &str)] = &[
    (v4(0, 0, 0, 0, 8), "unspecified"),
    (v4(169, 254, 0, 0, 16), "link-local or metadata"),
    (v4(100, 100, 100, 200, 32), "metadata"),
    (v4(168, 63, 129, 16, 32), "metadata"),
    (v4(192, 0, 0, 192, 32), "metadata"),
    (v4(224, 0, 0, 0, 4), "multicast"),
    (v4(255, 255, 255, 255, 32), "broadcast"),
    (v6([0, 0, 0, 0, 0, 0, 0, 0], 128), "unspecified"),
    (v6([0xfe80, 0, 0, 0, 0, 0, 0, 0], 10), "link-local"),
    (v6([0xff00, 0, 0, 0, 0, 0, 0, 0], 8), "multicast"),
    (v6([0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254], 128), "metadata"),
    (v6([0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254], 128), "metadata"),
];

/// Not probed for strangers: whatever is not the public internet.
const NOT_PUBLIC: &[(IpNet, &str)] = &[
    (v4(10, 0, 0, 0, 8), "private"),
    (v4(100, 64, 0, 0, 10), "shared by a carrier"),
    (v4(127, 0, 0, 0, 8), "loopback"),
    (v4(172, 16, 0, 0, 12), "private"),
    (v4(192, 0, 0, 0, 24), "reserved"),
    (v4(192, 0, 2, 0, 24), "for documentation"),
    (v4(192, 168, 0, 0, 16), "private"),
    (v4(198, 18, 0, 0, 15), "for benchmarks"),
    (v4(198, 51, 100, 0, 24), "for documentation"),
    (v4(203, 0, 113, 0, 24), "for documentation"),
    (v4(240, 0, 0, 0, 4), "reserved"),
    (v6([0, 0, 0, 0, 0, 0, 0, 1], 128), "loopback"),
    (v6([0x64, 0xff9b, 1, 0, 0, 0, 0, 0], 48), "private"),
    (v6([0x100, 0, 0, 0, 0, 0, 0, 0], 64), "reserved"),
    (v6([0x2001, 0, 0, 0, 0, 0, 0, 0], 23), "reserved"),
    (v6([0x2001, 0xdb8, 0, 0, 0, 0, 0, 0], 32), "for documentation"),
    (v6([0xfc00, 0, 0, 0, 0, 0, 0, 0], 7), "private"),
    (v6([0xfec0, 0, 0, 0, 0, 0, 0, 0], 10), "private"),
];

const fn v4(a: u8, b: u8, c: u8, d: u8, prefix: u8) -> IpNet {
    IpNet::V4(Ipv4Net::new_assert(Ipv4Addr::new(a, b, c, d), prefix))
}

const fn v6(s: [u16; 8], prefix: u8) -> IpNet {
    IpNet::V6(Ipv6Net::new_assert(Ipv6Addr::new(s[0], s[1], s[2], s[3], s[4], s[5], s[6], s[7]), prefix))
}

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
            if let Some(kind) = find(NEVER, ip) {
                return Err(Denied { kind });
            }
            if self.trust == Trust::Stranger
                && let Some(kind) = find(NOT_PUBLIC, ip)
                && !self.allow.iter().any(|net| net.contains(&ip))
            {
                return Err(Denied { kind });
            }
        }
        Ok(())
    }
}

fn find(list: &[(IpNet, &'static str)], ip: IpAddr) -> Option<&'static str> {
    list.iter().find(|(net, _)| net.contains(&ip)).map(|(_, kind)| *kind)
}

/// The IPv4 address inside an IPv6 one, for the forms that a router or a
/// kernel may translate: IPv4-compatible (`::a.b.c.d`), NAT64
/// (`64:ff9b::/96`) and 6to4 (`2002::/16`). Mapped ones are canonicalised
/// before.
fn embedded_v4(ip: IpAddr) -> Option<Ipv4Addr> {
    let IpAddr::V6(ip) = ip else { return None };
    let join = |high: u16, low: u16| Ipv4Addr::from(u32::from(high) << 16 | u32::from(low));
    match ip.segments() {
        // `::` and `::1` are addresses of their own.
        [0, 0, 0, 0, 0, 0, 0, 0 | 1] => None,
        [0, 0, 0, 0, 0, 0, high, low] | [0x64, 0xff9b, 0, 0, 0, 0, high, low] => Some(join(high, low)),
        [0x2002, high, low, ..] => Some(join(high, low)),
        _ => None,
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
