//! Who may use the monitoring interface, and how often.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    time::Instant,
};

use axum::extract::{ConnectInfo, FromRequestParts, MatchedPath};
use http::{HeaderMap, HeaderName, request::Parts};
use watchkeeper_runtime::{networks, secret::Secret};

use super::problem::Problem;
use crate::{Api, auth};

/// Who may use the monitoring interface.
#[derive(Debug, Clone, Default)]
pub enum MonitoringAccess {
    /// The administrator: their token in any header that this API knows, `X-API-Key` among them. Where
    /// the overview is open to everybody, reading is, too.
    #[default]
    Administrator,
    /// Everybody, as upstream has it unless `api.auth` is enabled.
    Everybody,
    /// Whoever sends this key in this header, and the administrator.
    Key {
        /// The header's name.
        header: HeaderName,
        /// The key.
        key: Secret,
    },
}

/// What somebody wants to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wish {
    Read,
    Write,
}

/// Judges the credentials in the headers.
pub(super) async fn judge(api: &Api, headers: &HeaderMap, wish: Wish) -> Result<(), Problem> {
    let access = &api.options.monitoring.access;
    let header = match access {
        MonitoringAccess::Everybody => return Ok(()),
        MonitoringAccess::Administrator => {
            if wish == Wish::Read && api.options.auth.open_overview {
                return Ok(());
            }
            HeaderName::from_static("x-api-key")
        }
        MonitoringAccess::Key { header, key } => {
            let presented = headers.get(header).and_then(|value| value.to_str().ok());
            if presented.is_some_and(|presented| auth::same(presented, key.expose())) {
                return Ok(());
            }
            header.clone()
        }
    };
    if auth::is_admin(api, headers).await? {
        return Ok(());
    }
    let presented = headers.contains_key(header) || headers.contains_key(http::header::AUTHORIZATION);
    Err(Problem::unauthorized(if presented { "Invalid API key" } else { "API key missing" }))
}

/// Somebody who may ask for this, and has not asked for it `PER_MINUTE` times in this minute.
pub(crate) struct Caller<const PER_MINUTE: u32>;

impl<const PER_MINUTE: u32> FromRequestParts<Api> for Caller<PER_MINUTE> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, api: &Api) -> Result<Self, Problem> {
        Self::check(parts, api).await
    }
}

impl<const PER_MINUTE: u32> Caller<PER_MINUTE> {
    /// Judges and counts a request.
    ///
    /// # Errors
    /// 401 without a credential that counts, 429 when it is one too many.
    pub(super) async fn check(parts: &Parts, api: &Api) -> Result<Self, Problem> {
        let wish = if parts.method.is_safe() { Wish::Read } else { Wish::Write };
        judge(api, &parts.headers, wish).await?;
        let route = parts.extensions.get::<MatchedPath>().map_or("", MatchedPath::as_str);
        let what = format!("{} {route}", parts.method);
        api.monitoring
            .requests
            .count(address(parts), what, PER_MINUTE, Instant::now())
            .map_err(Problem::too_many)?;
        Ok(Self)
    }
}

/// Whose request it is: the peer's; behind a proxy that is no part of the public internet, the one
/// that it names last.
fn address(parts: &Parts) -> IpAddr {
    let peer = parts.extensions.get::<ConnectInfo<SocketAddr>>();
    let peer = peer.map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |ConnectInfo(peer)| peer.ip().to_canonical());
    if networks::is_public(peer) {
        return peer;
    }
    let named = parts.headers.get_all("x-forwarded-for").iter().next_back();
    named.and_then(|value| value.to_str().ok()?.rsplit(',').next()?.trim().parse().ok()).unwrap_or(peer)
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
        address(&parts).to_string()
    }

    #[test]
    fn a_proxy_of_ones_own_is_believed_and_a_stranger_is_not() {
        assert_eq!(address_of("10.0.0.3:1", &["198.51.100.9, 8.8.8.8"]), "8.8.8.8");
        assert_eq!(address_of("10.0.0.3:1", &["1.1.1.1", "8.8.4.4"]), "8.8.4.4");
        assert_eq!(address_of("8.8.8.8:1", &["1.1.1.1"]), "8.8.8.8");
        assert_eq!(address_of("[::ffff:127.0.0.1]:1", &["junk"]), "127.0.0.1");
    }
}
