//! The host names of addresses, by reverse DNS.

use std::{net::IpAddr, net::SocketAddr, time::Duration};

use hickory_resolver::{
    TokioResolver,
    config::{ConnectionConfig, NameServerConfig, ResolveHosts, ResolverConfig},
    net::runtime::TokioRuntimeProvider,
    proto::rr::{Name as DnsName, RData},
};
use watchkeeper_runtime::networks::is_public;

/// Time for one attempt.
const ATTEMPT: Duration = Duration::from_secs(2);

/// Time for an answer, whatever the resolver does meanwhile.
const PATIENCE: Duration = Duration::from_secs(5);

/// Longest host name kept, bytes: DNS has no longer ones.
const LONGEST: usize = 255;

/// What DNS says about an address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Name {
    /// It has this host name, lower case and without a final dot.
    Known(String),
    /// It has none, or is no address that anybody could be asked about.
    None,
    /// There was no answer; asking again later may help.
    NoAnswer,
}

/// Why there is no resolver.
#[derive(Debug, thiserror::Error)]
#[error(
    "reverse DNS cannot be used: {0}; name a server by --dns-server, or turn it off by --reverse-dns off"
)]
pub struct ReverseDnsError(String);

/// A resolver; clones share it.
#[derive(Clone)]
pub struct ReverseDns {
    resolver: TokioResolver,
}

impl ReverseDns {
    /// A resolver that asks `server`, or those of the system.
    ///
    /// # Errors
    /// When the system's configuration cannot be read.
    pub fn new(server: Option<SocketAddr>) -> Result<Self, ReverseDnsError> {
        let fault = |error: &dyn std::fmt::Display| ReverseDnsError(error.to_string());
        let mut builder = match server {
            None => TokioResolver::builder_tokio().map_err(|error| fault(&error))?,
            Some(server) => {
                let at_port = |mut connection: ConnectionConfig| {
                    connection.port = server.port();
                    connection
                };
                let connections = [ConnectionConfig::udp(), ConnectionConfig::tcp()].map(at_port);
                let server = NameServerConfig::new(server.ip(), true, connections.to_vec());
                let config = ResolverConfig::from_name_servers(vec![server]);
                TokioResolver::builder_with_config(config, TokioRuntimeProvider::default())
            }
        };
        let options = builder.options_mut();
        options.timeout = ATTEMPT;
        options.attempts = 1;
        // The store remembers, for longer than DNS lets a resolver.
        options.cache_size = 0;
        options.use_hosts_file = ResolveHosts::Never;
        Ok(Self { resolver: builder.build().map_err(|error| fault(&error))? })
    }

    /// Asks for the name of what should be an address. Only addresses of the public internet are
    /// asked about: what others are called is nobody else's business.
    pub async fn ask(&self, ip: &str) -> Name {
        let Some(ip) = ip.parse::<IpAddr>().ok().filter(|ip| is_public(*ip)) else { return Name::None };
        let lookup = self.resolver.reverse_lookup(DnsName::from(ip.to_canonical()));
        match tokio::time::timeout(PATIENCE, lookup).await {
            Err(_) => Name::NoAnswer,
            Ok(Err(error)) if error.is_nx_domain() || error.is_no_records_found() => Name::None,
            Ok(Err(error)) => {
                tracing::debug!(%error, "reverse DNS did not answer");
                Name::NoAnswer
            }
            Ok(Ok(found)) => {
                let name = found.answers().iter().find_map(|record| match &record.data {
                    RData::PTR(name) => Some(name.to_ascii()),
                    _ => None,
                });
                let name = name.map(|name| name.trim_end_matches('.').to_ascii_lowercase());
                name.filter(|name| !name.is_empty() && name.len() <= LONGEST).map_or(Name::None, Name::Known)
            }
        }
    }
}
