//! Name resolution for probes: only addresses that the guard lets through come
//! out of it, so there is no gap between looking and connecting.

use std::net::SocketAddr;

use reqwest::dns::{Addrs, Name, Resolve, Resolving};

use crate::guard::{Denied, Guard};

/// The system's resolver behind a [`Guard`].
pub(super) struct GuardedResolver {
    guard: Guard,
}

impl GuardedResolver {
    pub(super) fn new(guard: Guard) -> Self {
        Self { guard }
    }
}

impl Resolve for GuardedResolver {
    fn resolve(&self, name: Name) -> Resolving {
        let guard = self.guard.clone();
        Box::pin(async move {
            // Port 0 stands for the one of the URL.
            let found = tokio::net::lookup_host((name.as_str(), 0)).await?;
            let addresses = permitted(&guard, found)?;
            Ok(Box::new(addresses.into_iter()) as Addrs)
        })
    }
}

/// Keeps the addresses that may be probed; an error when there is none left.
fn permitted(guard: &Guard, found: impl Iterator<Item = SocketAddr>) -> Result<Vec<SocketAddr>, Denied> {
    let mut denied = None;
    let addresses: Vec<SocketAddr> =
        found.filter(|address| guard.check(address.ip()).map_err(|why| denied = Some(why)).is_ok()).collect();
    match denied {
        Some(why) if addresses.is_empty() => Err(why),
        _ => Ok(addresses),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::guard::Trust;

    fn addresses(texts: &[&str]) -> Vec<SocketAddr> {
        texts.iter().map(|text| text.parse().expect("an address")).collect()
    }

    #[test]
    fn of_several_addresses_only_permitted_ones_are_used() {
        let guard = Guard::new(Trust::Stranger, &[]);
        let found = addresses(&["10.0.0.1:0", "8.8.8.8:0", "[::1]:0"]);
        assert_eq!(permitted(&guard, found.into_iter()), Ok(addresses(&["8.8.8.8:0"])));
    }

    #[test]
    fn a_name_with_denied_addresses_only_is_refused() {
        let guard = Guard::new(Trust::Stranger, &[]);
        assert!(permitted(&guard, addresses(&["10.0.0.1:0", "[::1]:0"]).into_iter()).is_err());
    }
}
