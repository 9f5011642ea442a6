//! Connections: resolved, let through by the guard, and tried address by address.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::time::Duration;

use futures::StreamExt;
use futures::stream::FuturesUnordered;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::Instant;
use watchkeeper_store::{AddressPolicy, ConnectOptions};

use super::describe::describe_io;
use super::resolver::Resolver;
use super::seen::{Seen, Stage};
use super::tls::Trusted;
use crate::guard::Guard;

/// Pause before the next address is tried while one does not answer (RFC 8305, section 5).
const STAGGER: Duration = Duration::from_millis(250);

/// Most addresses of one host that are tried, where one will do and where all must.
const MAX_ADDRESSES: (usize, usize) = (16, 256);

/// A connection of any kind.
pub(crate) trait Io: AsyncRead + AsyncWrite + Unpin + Send {}

impl<T: AsyncRead + AsyncWrite + Unpin + Send> Io for T {}

/// What every probe works with.
#[derive(Clone)]
pub(crate) struct Tools {
    pub resolver: Resolver,
    pub trusted: Trusted,
    pub guard: Guard,
    /// When the probe's time is up.
    pub deadline: Instant,
}

impl Tools {
    /// Connects to a host.
    ///
    /// # Errors
    /// A sentence that says what went wrong.
    pub async fn connect(
        &self,
        host: &str,
        port: u16,
        options: ConnectOptions,
        seen: &mut Seen,
    ) -> Result<TcpStream, String> {
        seen.enter(Stage::Resolve);
        let mut addresses = self.resolver.resolve(host, options.family, &self.guard).await?;
        addresses.truncate(match options.addresses {
            AddressPolicy::Any => MAX_ADDRESSES.0,
            AddressPolicy::All => MAX_ADDRESSES.1,
        });
        seen.enter(Stage::Connect);
        seen.ip = addresses.first().copied();
        let stream = match options.addresses {
            AddressPolicy::Any => any(&addresses, port).await,
            AddressPolicy::All => all(&addresses, port).await,
        }?;
        seen.ip = stream.peer_addr().ok().map(|address| address.ip().to_canonical());
        seen.connected = true;
        // Small requests are sent at once; a failure to say so costs milliseconds.
        let _ = stream.set_nodelay(true);
        Ok(stream)
    }

    /// The address of a host, for probes that do not connect: one to which there is a route, so that a
    /// host with addresses of both versions is asked where the network has only one of them.
    ///
    /// # Errors
    /// A sentence that says why there is none.
    pub async fn address(
        &self,
        host: &str,
        options: ConnectOptions,
        seen: &mut Seen,
    ) -> Result<IpAddr, String> {
        seen.enter(Stage::Resolve);
        let addresses = self.resolver.resolve(host, options.family, &self.guard).await?;
        let ip = reachable(&addresses, is_routed).ok_or("the name cannot be resolved")?;
        seen.ip = Some(ip.to_canonical());
        Ok(ip)
    }
}

/// The first address with a route, or the first at all.
fn reachable(addresses: &[IpAddr], is_routed: impl Fn(IpAddr) -> bool) -> Option<IpAddr> {
    addresses.iter().copied().find(|ip| is_routed(*ip)).or_else(|| addresses.first().copied())
}

/// Whether this machine knows a way to an address. Nothing is sent.
fn is_routed(ip: IpAddr) -> bool {
    let any: IpAddr = if ip.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    UdpSocket::bind((any, 0)).is_ok_and(|socket| socket.connect((ip, 53)).is_ok())
}

/// The first connection that comes about. The next address is tried when one
/// fails, or when it has not answered for a while.
async fn any(addresses: &[IpAddr], port: u16) -> Result<TcpStream, String> {
    let mut left = addresses.iter();
    let mut trying = FuturesUnordered::new();
    let mut last = "the name cannot be resolved".to_owned();
    if let Some(ip) = left.next() {
        trying.push(open(*ip, port));
    }
    loop {
        tokio::select! {
            tried = trying.next() => match tried {
                Some(Ok(stream)) => return Ok(stream),
                Some(Err(error)) => last = describe_io(&error),
                None => return Err(last),
            },
            () = tokio::time::sleep(STAGGER), if left.len() > 0 => {}
        }
        if let Some(ip) = left.next() {
            trying.push(open(*ip, port));
        }
    }
}

/// A connection to the first address, after each of them took one.
async fn all(addresses: &[IpAddr], port: u16) -> Result<TcpStream, String> {
    let tried = futures::future::join_all(addresses.iter().map(|ip| open(*ip, port))).await;
    let (mut first, mut dead, mut why) = (None, 0, String::new());
    for result in tried {
        match result {
            Ok(stream) => first = first.or(Some(stream)),
            Err(error) => {
                dead += 1;
                why = describe_io(&error);
            }
        }
    }
    match first {
        Some(stream) if dead == 0 => Ok(stream),
        Some(_) => Err(format!("{dead} of {} addresses take no connection: {why}", addresses.len())),
        None => Err(why),
    }
}

async fn open(ip: IpAddr, port: u16) -> io::Result<TcpStream> {
    TcpStream::connect(SocketAddr::new(ip, port)).await
}

/// The host of an address and its port as they stand; `None` when a bracket is not closed.
pub(crate) fn split_port(address: &str) -> Option<(&str, Option<&str>)> {
    Some(match address.strip_prefix('[') {
        Some(rest) => {
            let (host, rest) = rest.split_once(']')?;
            (host, rest.strip_prefix(':'))
        }
        None => match address.split_once(':') {
            // More than one colon without brackets is an address of IPv6.
            Some((_, port)) if port.contains(':') => (address, None),
            Some((host, port)) => (host, Some(port)),
            None => (address, None),
        },
    })
}

/// Splits `host:port`; IPv6 stands in brackets.
///
/// # Errors
/// A sentence about how to write it.
pub(crate) fn host_port(address: &str, default: Option<u16>) -> Result<(&str, u16), String> {
    let wrong = || format!("`{address}` is not an address: write it as host:port or [ipv6]:port");
    let (host, port) = split_port(address).ok_or_else(wrong)?;
    let port = match port {
        Some(port) => port.parse().ok(),
        None => default,
    };
    match port {
        Some(port) if !host.is_empty() && port > 0 => Ok((host, port)),
        _ => Err(wrong()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_both_versions_of_ip_the_one_that_the_network_has_is_asked() {
        let [v6, v4] = ["2001:db8::1", "192.0.2.1"].map(|ip| ip.parse::<IpAddr>().expect("an address"));
        assert_eq!(reachable(&[v6, v4], |ip| ip.is_ipv4()), Some(v4));
        assert_eq!(reachable(&[v6, v4], |_| true), Some(v6));
        assert_eq!(reachable(&[v6, v4], |_| false), Some(v6), "its error tells what is wrong");
        assert_eq!(reachable(&[], |_| true), None);
        assert!(is_routed(IpAddr::from([127, 0, 0, 1])));
    }

    #[test]
    fn addresses_are_split_into_host_and_port() {
        assert_eq!(host_port("a.example:25", None), Ok(("a.example", 25)));
        assert_eq!(host_port("[::1]:53", None), Ok(("::1", 53)));
        assert_eq!(host_port("::1", Some(53)), Ok(("::1", 53)));
        assert_eq!(host_port("a.example", Some(53)), Ok(("a.example", 53)));
        for bad in ["a.example", "a.example:", ":25", "a.example:0", "a.example:70000", "[::1"] {
            assert!(host_port(bad, None).is_err(), "{bad}");
        }
    }
}
