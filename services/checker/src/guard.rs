//! Which addresses and hosts a probe may talk to.
//!
//! Anybody who may post a monitor makes this process send requests from inside
//! the network it runs in. The guard looks at the address that is about to be
//! connected to, never at the name, so a name that resolves to something else
//! the second time gains nothing.

use std::net::IpAddr;
use std::sync::{Arc, PoisonError, RwLock};

use ipnet::IpNet;
use watchkeeper_runtime::networks::{embedded_v4, never_reached, not_public};
use watchkeeper_store::Origin;

/// How far the author of an endpoint is trusted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trust {
    /// Whoever wrote a manifest, or has the key of the monitoring interface, runs the
    /// installation: private addresses and loopback are theirs to watch.
    Operator,
    /// Whoever posted a monitor holds an API key, which anyone may have.
    Stranger,
}

impl From<Origin> for Trust {
    fn from(origin: Origin) -> Self {
        match origin {
            Origin::Kubernetes | Origin::Manifest | Origin::Api => Self::Operator,
            Origin::Monitor => Self::Stranger,
        }
    }
}

/// A target that may not be probed. The text names the kind of address but
/// not the address: a stranger must not learn what internal names resolve to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Denied {
    /// Its address may not be asked.
    #[error("refused: the target's address is {0}, which may not be probed")]
    Address(&'static str),
    /// Its host is none of those that the endpoint's namespace may ask.
    #[error("refused: the endpoint's namespace may not probe this host")]
    Host,
}

/// What an installation lets its probes ask.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GuardRules {
    /// Networks that strangers may probe although they are not public. Metadata
    /// and link-local addresses cannot be allowed so.
    pub allow: Vec<IpNet>,
    /// Networks that nobody may probe; wins over `allow`.
    pub deny: Vec<IpNet>,
    /// Metadata and link-local addresses that manifests may probe, one by one.
    pub metadata: Vec<IpAddr>,
    /// Hosts that endpoints of a namespace may ask; a namespace that is not
    /// among them may ask all.
    pub hosts: Vec<HostLimit>,
}

/// The rules of the moment; clones share them.
#[derive(Clone)]
pub(crate) struct Rules(Arc<RwLock<Arc<GuardRules>>>);

impl Rules {
    pub fn new(rules: GuardRules) -> Self {
        Self(Arc::new(RwLock::new(Arc::new(rules))))
    }

    /// What holds from now on.
    pub fn set(&self, rules: GuardRules) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(rules);
    }

    pub fn now(&self) -> Arc<GuardRules> {
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }
}

/// A host that a namespace may ask.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostLimit {
    /// The namespace.
    pub namespace: String,
    /// The host; `*.example.com` stands for all below `example.com`.
    pub host: String,
}

impl std::str::FromStr for HostLimit {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once('=') {
            Some((namespace, host)) if !namespace.is_empty() && !host.is_empty() => {
                Ok(Self { namespace: namespace.into(), host: host.to_ascii_lowercase() })
            }
            _ => Err("write NAMESPACE=HOST, such as shop=*.example.com".into()),
        }
    }
}

impl HostLimit {
    fn allows(&self, host: &str) -> bool {
        match self.host.strip_prefix("*.") {
            Some(domain) => host.strip_suffix(domain).is_some_and(|below| below.ends_with('.')),
            None => self.host == host,
        }
    }
}

/// Decides about addresses and hosts for one endpoint.
#[derive(Clone, Debug)]
pub struct Guard {
    trust: Trust,
    namespace: String,
    rules: Arc<GuardRules>,
}

impl Guard {
    /// The guard of an endpoint of `namespace` whose author is trusted so far.
    pub fn new(trust: Trust, namespace: &str, rules: Arc<GuardRules>) -> Self {
        Self { trust, namespace: namespace.to_owned(), rules }
    }

    /// Whether a connection to `ip` may be opened.
    ///
    /// # Errors
    /// [`Denied`] when not.
    pub fn check(&self, ip: IpAddr) -> Result<(), Denied> {
        let ip = ip.to_canonical();
        let rules = &self.rules;
        // What a translator would make of the address counts as well.
        let spellings = || std::iter::once(ip).chain(embedded_v4(ip).map(IpAddr::V4));
        if spellings().any(|ip| rules.deny.iter().any(|net| net.contains(&ip))) {
            return Err(Denied::Address("denied by this installation"));
        }
        for ip in spellings() {
            if let Some(kind) = never_reached(ip)
                && !(self.trust == Trust::Operator && rules.metadata.contains(&ip))
            {
                return Err(Denied::Address(kind));
            }
            if self.trust == Trust::Stranger
                && let Some(kind) = not_public(ip)
                && !rules.allow.iter().any(|net| net.contains(&ip))
            {
                return Err(Denied::Address(kind));
            }
        }
        Ok(())
    }

    /// Whether the endpoint's namespace may ask `host`, a name or an address.
    ///
    /// # Errors
    /// [`Denied::Host`] when not.
    pub fn check_host(&self, host: &str) -> Result<(), Denied> {
        let host = host.trim_end_matches('.').to_ascii_lowercase();
        let mut own = self.rules.hosts.iter().filter(|limit| limit.namespace == self.namespace).peekable();
        if own.peek().is_none() || own.any(|limit| limit.allows(&host)) {
            return Ok(());
        }
        Err(Denied::Host)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn networks(texts: &[&str]) -> Vec<IpNet> {
        texts.iter().map(|net| net.parse().expect("a network")).collect()
    }

    fn guard(trust: Trust, rules: GuardRules) -> Guard {
        Guard::new(trust, "shop", Arc::new(rules))
    }

    fn allowed(trust: Trust, allow: &[&str], ip: &str) -> bool {
        let rules = GuardRules { allow: networks(allow), ..GuardRules::default() };
        guard(trust, rules).check(ip.parse().expect("an address")).is_ok()
    }

    #[test]
    fn metadata_and_link_local_are_denied_to_everyone_and_cannot_be_allowed() {
        for ip in [
            "169.254.169.254",
            "169.254.0.1",
            "::ffff:169.254.169.254",
            "::169.254.169.254",
            "::ffff:0:169.254.169.254",
            "64:ff9b::169.254.169.254",
            "64:ff9b:1::169.254.169.254",
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
        let guard = guard(Trust::Stranger, GuardRules::default());
        let text = guard.check(IpAddr::from([10, 1, 2, 3])).expect_err("denied").to_string();
        assert!(text.contains("private") && !text.contains("10.1"), "{text}");
    }

    #[test]
    fn denied_networks_are_closed_to_everyone_in_every_spelling() {
        let rules = GuardRules {
            allow: networks(&["10.0.0.0/8"]),
            deny: networks(&["10.1.0.0/16", "8.8.8.0/24"]),
            ..GuardRules::default()
        };
        for trust in [Trust::Operator, Trust::Stranger] {
            let guard = guard(trust, rules.clone());
            for ip in [
                "10.1.2.3",
                "::ffff:10.1.2.3",
                "::ffff:0:10.1.2.3",
                "64:ff9b::10.1.2.3",
                "64:ff9b:1::10.1.2.3",
                "2002:a01:203::",
                "8.8.8.8",
            ] {
                let error = guard.check(ip.parse().expect("an address")).expect_err(ip).to_string();
                assert!(error.contains("denied by this installation"), "{error}");
            }
            assert!(guard.check(IpAddr::from([10, 2, 0, 1])).is_ok());
        }
    }

    #[test]
    fn a_metadata_address_is_open_to_manifests_when_named_and_to_nobody_else() {
        let rules =
            GuardRules { metadata: vec![IpAddr::from([169, 254, 169, 254])], ..GuardRules::default() };
        let asks = |trust, ip: [u8; 4]| guard(trust, rules.clone()).check(IpAddr::from(ip)).is_ok();
        assert!(asks(Trust::Operator, [169, 254, 169, 254]));
        assert!(!asks(Trust::Operator, [169, 254, 169, 253]));
        assert!(!asks(Trust::Stranger, [169, 254, 169, 254]));
    }

    #[test]
    fn a_namespace_with_hosts_asks_these_alone() {
        let hosts = ["shop=api.example.com", "shop=*.shop.example"].map(|t| t.parse().expect("a limit"));
        let rules = Arc::new(GuardRules { hosts: hosts.into(), ..GuardRules::default() });
        let asks = |namespace: &str, host: &str| {
            Guard::new(Trust::Operator, namespace, rules.clone()).check_host(host).is_ok()
        };
        assert!(asks("shop", "API.example.com.") && asks("shop", "a.b.shop.example"));
        assert!(!asks("shop", "shop.example") && !asks("shop", "evilshop.example"));
        assert!(!asks("shop", "127.0.0.1") && asks("other", "127.0.0.1"));
        assert!("shop".parse::<HostLimit>().expect_err("no host").contains("NAMESPACE=HOST"));
    }
}
