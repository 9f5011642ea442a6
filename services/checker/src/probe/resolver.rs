//! Name resolution for probes: only addresses that the guard lets through come
//! out of it, so there is no gap between looking and connecting.

use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use hickory_resolver::config::ResolverConfig;
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::{ResolverBuilder, TokioResolver};
use url::Host;
use watchkeeper_store::IpFamily;

use crate::guard::{Denied, Guard};

/// How long the system's servers and hosts file are used before they are read again: they may change, or
/// come to be, while a process lives for months.
const FRESH: Duration = Duration::from_secs(60);

/// Questions under way at once over one connection; a few would do only where names are asked for seldom.
const AT_ONCE: usize = 1_024;

/// Looks names up, afresh each time: what was true a minute ago is what a
/// check is to find out. Clones share it.
#[derive(Clone)]
pub(crate) struct Resolver(Arc<Source>);

/// The addresses of a name.
#[cfg(test)]
type Told = dyn Fn(&str) -> Vec<IpAddr> + Send + Sync;

enum Source {
    System(System),
    #[cfg(test)]
    Told(Box<Told>),
}

impl Resolver {
    /// The system's servers and hosts file.
    ///
    /// # Errors
    /// A sentence about what is missing.
    pub fn system() -> Result<Self, String> {
        let resolver = match TokioResolver::builder_tokio() {
            Ok(builder) => build(builder),
            // Without a configuration there are still addresses and the hosts file.
            Err(error) => {
                tracing::warn!(%error, "the system names no DNS servers; probes ask hosts by address alone");
                without_servers()
            }
        }?;
        Ok(Self(Arc::new(Source::System(System::new(resolver, Instant::now())))))
    }

    /// A resolver that asks this server alone.
    #[cfg(test)]
    pub fn asking(server: std::net::SocketAddr) -> Self {
        use hickory_resolver::config::{ConnectionConfig, NameServerConfig};

        let mut connection = ConnectionConfig::udp();
        connection.port = server.port();
        let servers = vec![NameServerConfig::new(server.ip(), true, vec![connection])];
        let config = ResolverConfig::from_name_servers(servers);
        let builder = TokioResolver::builder_with_config(config, TokioRuntimeProvider::default());
        let resolver = build(builder).expect("a resolver");
        Self(Arc::new(Source::System(System::new(resolver, Instant::now()))))
    }

    /// A resolver that answers as told.
    #[cfg(test)]
    pub fn told(answer: impl Fn(&str) -> Vec<IpAddr> + Send + Sync + 'static) -> Self {
        Self(Arc::new(Source::Told(Box::new(answer))))
    }

    /// The addresses of a host that may be asked, in the order to ask them.
    ///
    /// # Errors
    /// A sentence that says why there is none.
    pub async fn resolve(&self, host: &str, family: IpFamily, guard: &Guard) -> Result<Vec<IpAddr>, String> {
        guard.check_host(host).map_err(|denied| denied.to_string())?;
        let found = match literal(host) {
            Some(ip) => vec![ip],
            None => self.lookup(host).await?,
        };
        if found.is_empty() {
            return Err("the name cannot be resolved".into());
        }
        let of_family: Vec<IpAddr> = found
            .into_iter()
            .filter(|ip| match family {
                IpFamily::Any => true,
                IpFamily::V4 => ip.is_ipv4(),
                IpFamily::V6 => ip.is_ipv6(),
            })
            .collect();
        if of_family.is_empty() {
            let family = if family == IpFamily::V4 { "IPv4" } else { "IPv6" };
            return Err(format!("the name has no {family} address"));
        }
        permitted(guard, of_family).map_err(|denied| denied.to_string())
    }

    async fn lookup(&self, host: &str) -> Result<Vec<IpAddr>, String> {
        match &*self.0 {
            Source::System(system) => match system.at(Instant::now(), read).lookup_ip(host).await {
                Ok(found) => Ok(found.iter().collect()),
                Err(error) if error.is_no_records_found() => Ok(Vec::new()),
                Err(_) => Err("the name cannot be resolved".into()),
            },
            #[cfg(test)]
            Source::Told(answer) => Ok(answer(host)),
        }
    }
}

/// What the system says about names, and when that was read.
struct System(Mutex<(Instant, Arc<TokioResolver>)>);

impl System {
    fn new(resolver: TokioResolver, read_at: Instant) -> Self {
        Self(Mutex::new((read_at, Arc::new(resolver))))
    }

    /// What it says at `now`, by `read` when that is due; what is known stays while there is nothing else.
    fn at(&self, now: Instant, read: impl FnOnce() -> Option<TokioResolver>) -> Arc<TokioResolver> {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (read_at, resolver) = &mut *known;
        if now.saturating_duration_since(*read_at) >= FRESH {
            *read_at = now;
            if let Some(new) = read() {
                *resolver = Arc::new(new);
            }
        }
        Arc::clone(resolver)
    }
}

/// Reads what the system says; `None` when it names no servers.
fn read() -> Option<TokioResolver> {
    build(TokioResolver::builder_tokio().ok()?).ok()
}

fn build(mut builder: ResolverBuilder<TokioRuntimeProvider>) -> Result<TokioResolver, String> {
    let options = builder.options_mut();
    options.cache_size = 0;
    options.max_active_requests = AT_ONCE;
    builder.build().map_err(|error| error.to_string())
}

fn without_servers() -> Result<TokioResolver, String> {
    let none = ResolverConfig::from_name_servers(Vec::new());
    build(TokioResolver::builder_with_config(none, TokioRuntimeProvider::default()))
}

/// The address that a host is, in any spelling that some system takes for one:
/// `127.1`, `2130706433`, `0x7f.1`, `[::1]`.
pub(super) fn literal(host: &str) -> Option<IpAddr> {
    if let Ok(ip) = host.trim_start_matches('[').trim_end_matches(']').parse() {
        return Some(ip);
    }
    match Host::parse(host) {
        Ok(Host::Ipv4(ip)) => Some(ip.into()),
        Ok(Host::Ipv6(ip)) => Some(ip.into()),
        _ => None,
    }
}

/// Keeps the addresses that may be probed; an error when there is none left.
fn permitted(guard: &Guard, found: Vec<IpAddr>) -> Result<Vec<IpAddr>, Denied> {
    let mut denied = None;
    let addresses: Vec<IpAddr> =
        found.into_iter().filter(|ip| guard.check(*ip).map_err(|why| denied = Some(why)).is_ok()).collect();
    match denied {
        Some(why) if addresses.is_empty() => Err(why),
        _ => Ok(addresses),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::guard::{GuardRules, Trust};

    fn stranger() -> Guard {
        Guard::new(Trust::Stranger, "", Arc::new(GuardRules::default()))
    }

    fn addresses(texts: &[&str]) -> Vec<IpAddr> {
        texts.iter().map(|text| text.parse().expect("an address")).collect()
    }

    #[test]
    fn of_several_addresses_only_permitted_ones_are_used() {
        let found = addresses(&["10.0.0.1", "8.8.8.8", "::1"]);
        assert_eq!(permitted(&stranger(), found), Ok(addresses(&["8.8.8.8"])));
    }

    #[test]
    fn a_name_with_denied_addresses_only_is_refused() {
        assert!(permitted(&stranger(), addresses(&["10.0.0.1", "::1"])).is_err());
    }

    #[tokio::test]
    async fn every_spelling_of_an_address_meets_the_guard() {
        let resolver = Resolver::told(|_| panic!("an address is not looked up"));
        for host in ["127.0.0.1", "127.1", "2130706433", "0x7f000001", "0177.0.0.1", "[::1]", "::ffff:7f00:1"]
        {
            let refused = resolver.resolve(host, IpFamily::Any, &stranger()).await.expect_err(host);
            assert!(refused.contains("loopback"), "{host}: {refused}");
        }
    }

    #[tokio::test]
    async fn servers_that_come_to_be_are_found_and_a_file_that_is_away_changes_nothing() {
        let resolver = || without_servers().expect("a resolver");
        let start = Instant::now();
        let system = System::new(resolver(), start);
        let first = system.at(start + FRESH / 2, || panic!("it was read just now"));
        let kept = system.at(start + FRESH, || None);
        assert!(Arc::ptr_eq(&first, &kept));
        let anew = system.at(start + 2 * FRESH, || Some(resolver()));
        assert!(!Arc::ptr_eq(&first, &anew));
        assert!(Arc::ptr_eq(&anew, &system.at(start + 2 * FRESH, || None)));
    }

    #[tokio::test]
    async fn a_family_that_a_name_has_not_is_told() {
        let resolver = Resolver::told(|_| vec![IpAddr::from([8, 8, 8, 8])]);
        let error = resolver.resolve("a.example", IpFamily::V6, &stranger()).await.expect_err("none");
        assert_eq!(error, "the name has no IPv6 address");
    }
}
