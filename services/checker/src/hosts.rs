//! Politeness: however many endpoints one host has, only so many of them are
//! asked at once, so that a check is no burst of load on what it checks.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use watchkeeper_store::Probe;

use crate::probe::split_port;

/// Probes of one host under way at once.
pub(crate) const PER_HOST: usize = 64;

/// Hosts with probes under way; clones share them.
#[derive(Clone)]
pub(crate) struct Hosts {
    /// Probes of one host at once.
    most: usize,
    known: Arc<Mutex<HashMap<String, Weak<Semaphore>>>>,
}

impl Hosts {
    /// Hosts that are asked by so many probes at once.
    pub fn new(most: usize) -> Self {
        Self { most: most.max(1), known: Arc::default() }
    }

    /// Waits for a turn at the host of a target. What has no host never waits.
    pub async fn turn(&self, target: &str) -> Option<OwnedSemaphorePermit> {
        let host = authority(target);
        if host.is_empty() {
            return None;
        }
        self.semaphore(host).acquire_owned().await.ok()
    }

    fn semaphore(&self, host: &str) -> Arc<Semaphore> {
        let mut hosts = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = hosts.get(host).and_then(Weak::upgrade) {
            return known;
        }
        // Those that nobody waits for or uses are gone; their names go when there are many.
        if hosts.len() >= 1_024 && hosts.len().is_power_of_two() {
            hosts.retain(|_, semaphore| semaphore.strong_count() > 0);
        }
        let semaphore = Arc::new(Semaphore::new(self.most));
        hosts.insert(host.to_owned(), Arc::downgrade(&semaphore));
        semaphore
    }
}

/// Whom a probe asks, who is not the one that it asks about where that is a DNS server.
pub(crate) fn asked(probe: &Probe) -> &str {
    match probe {
        Probe::Dns(probe) => probe.server.as_deref().unwrap_or_default(),
        probe => probe.target(),
    }
}

/// Host and port of a URL, or of an address as it stands.
fn authority(target: &str) -> &str {
    let rest = target.split_once("://").map_or(target, |(_, rest)| rest);
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    authority.rsplit('@').next().unwrap_or_default()
}

/// The host of a URL or of an address, without its port.
pub(crate) fn host_of(target: &str) -> &str {
    let authority = authority(target);
    split_port(authority).map_or(authority, |(host, _)| host)
}

#[cfg(test)]
mod tests {
    use watchkeeper_store::{ConnectOptions, DnsProbe, DnsTransport, HttpProbe, TlsOptions};

    use super::*;

    #[test]
    fn a_target_has_a_host() {
        for (target, host) in [
            ("https://u:p@www.example.org:8443/x?y", "www.example.org"),
            ("example.org:25", "example.org"),
            ("example.org", "example.org"),
            ("[2001:db8::1]:443", "2001:db8::1"),
            ("https://[2001:db8::1]/", "2001:db8::1"),
            ("2001:db8::1", "2001:db8::1"),
            ("", ""),
        ] {
            assert_eq!(host_of(target), host);
        }
    }

    #[test]
    fn a_question_of_dns_is_a_load_of_the_server_and_not_of_what_it_is_about() {
        let mut probe = DnsProbe {
            server: Some("ns.example:53".into()),
            transport: DnsTransport::Udp,
            name: "shop.example".into(),
            record_type: "A".into(),
            expected: Vec::new(),
            exact: false,
            rcodes: Vec::new(),
            tls: TlsOptions::default(),
            connect: ConnectOptions::default(),
        };
        assert_eq!(asked(&Probe::Dns(probe.clone())), "ns.example:53");
        probe.server = None;
        assert_eq!(asked(&Probe::Dns(probe)), "");
        assert_eq!(asked(&Probe::Http(HttpProbe::new("http://shop.example/"))), "http://shop.example/");
    }

    #[tokio::test]
    async fn one_host_is_asked_by_so_many_at_once_and_holds_no_other_up() {
        let hosts = Hosts::new(PER_HOST);
        let mut turns = Vec::new();
        for number in 0..PER_HOST {
            turns.push(hosts.turn(&format!("http://u:p@slow.example/{number}?x")).await.expect("a turn"));
        }
        let waiting = hosts.turn("http://slow.example/one-more");
        tokio::pin!(waiting);
        assert!(futures::poll!(waiting.as_mut()).is_pending());
        assert!(hosts.turn("http://quick.example/").await.is_some());
        assert!(hosts.turn("").await.is_none());
        turns.pop();
        assert!(waiting.await.is_some());
    }
}
