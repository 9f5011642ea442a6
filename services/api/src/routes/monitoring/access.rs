//! Who may use the monitoring interface, and how often.

use std::time::Instant;

use axum::extract::{FromRequestParts, MatchedPath};
use http::{HeaderMap, HeaderName, request::Parts};
use watchkeeper_runtime::secret::Secret;

use super::{cors, problem::Problem};
use crate::{Api, auth, peer::Peer};

/// What a page is told that may not use an interface which asks nobody for a key.
const STRANGER: &str =
    "A page of another site may use this only where api.cors of the configuration file names it";

/// Who may use the monitoring interface.
#[derive(Debug, Clone, Default)]
pub enum MonitoringAccess {
    /// The administrator: their token in any header that this API knows, `X-API-Key` among them. Where
    /// the overview is open to everybody, reading is, too.
    #[default]
    Administrator,
    /// Everybody, as upstream has it unless `api.auth` is enabled, but for pages of other sites that no
    /// [`Cors`](super::Cors) lets in: they would use what their reader's browser reaches. Where the overview
    /// is open, as it is on a loopback address, also but for whoever asks by a name of another host.
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
    let options = &api.options.monitoring;
    let known = auth::asks_by_a_known_name(api, headers);
    // Of this machine alone, until a page has its own name point here.
    let local = api.options.auth.open_overview;
    let mut missing = Problem::unauthorized("API key missing");
    let header = match &options.access {
        MonitoringAccess::Everybody => {
            if cors::is_from_a_stranger(headers, options.cors.as_ref()) {
                missing = Problem::unauthorized(STRANGER);
            } else if local && !known {
                missing = Problem::misdirected(auth::OTHER_NAME);
            } else {
                return Ok(());
            }
            HeaderName::from_static("x-api-key")
        }
        MonitoringAccess::Administrator => {
            if wish == Wish::Read && local {
                if known {
                    return Ok(());
                }
                missing = Problem::misdirected(auth::OTHER_NAME);
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
    Err(if presented { Problem::unauthorized("Invalid API key") } else { missing })
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
            .count(Peer::of(parts).0, what, PER_MINUTE, Instant::now())
            .map_err(Problem::too_many)?;
        Ok(Self)
    }
}
