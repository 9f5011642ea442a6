//! Who may administer, who may look at the overview, and who may read or change a project.
//!
//! Secrets come in the headers of all the systems that this API answers for: `Authorization` as
//! Bearer, Basic (the password) or bare, `X-API-Key`, `X-AUTH-TOKEN` and its old twin `API-Key`.

use std::{net::IpAddr, time::Instant};

use axum::{
    extract::{FromRequestParts, Request, State},
    middleware::Next,
    response::{IntoResponse, Response},
};
use base64::{Engine, prelude::BASE64_STANDARD};
use http::{
    HeaderMap, HeaderValue, StatusCode,
    header::{AUTHORIZATION, HOST, WWW_AUTHENTICATE},
    request::Parts,
    uri::Authority,
};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use uuid::Uuid;
use watchkeeper_runtime::{error::ApiError, secret::Secret};
use watchkeeper_store::{Project, ProjectId};

use crate::{
    Api, guesses,
    peer::Peer,
    routes::{monitoring::MonitoringAccess, store_error},
    session,
};

/// Who may do what beyond the capabilities that api-analytics gives by key and user id.
#[derive(Debug, Clone)]
pub struct AuthConfig {
    /// Token of the administrator: `Authorization: Bearer`, or the password of
    /// Basic with any user name, for browsers.
    pub admin_token: Secret,
    /// Whether the overview and the list of endpoints are open to everybody who asks this machine by a
    /// name of its own.
    pub open_overview: bool,
}

impl AuthConfig {
    /// Whether the headers carry the admin token.
    pub(crate) fn is_admin(&self, headers: &HeaderMap) -> bool {
        let admin = self.admin_token.expose();
        let key = header(headers, "x-api-key");
        authorization(headers).is_some_and(|token| same(&token, admin))
            || key.is_some_and(|token| same(token, admin))
    }
}

/// The token of an `Authorization` header: a bearer token or a Basic password.
fn authorization(headers: &HeaderMap) -> Option<String> {
    let (scheme, value) = headers.get(AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    if scheme.eq_ignore_ascii_case("bearer") {
        return Some(value.trim().to_owned());
    }
    // A browser adds Basic by itself, also when another site made it ask.
    if scheme.eq_ignore_ascii_case("basic") && !from_another_site(headers) {
        let decoded = String::from_utf8(BASE64_STANDARD.decode(value.trim()).ok()?).ok()?;
        return Some(decoded.split_once(':')?.1.to_owned());
    }
    None
}

/// Whether a page of another site made the browser ask.
pub(crate) fn from_another_site(headers: &HeaderMap) -> bool {
    header(headers, "sec-fetch-site").is_some_and(|site| !matches!(site, "same-origin" | "none"))
}

fn header<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok().map(str::trim)
}

/// Every API key that the headers carry.
fn keys(headers: &HeaderMap) -> Vec<Uuid> {
    let named = ["x-auth-token", "x-api-key", "api-key", "authorization"].map(|name| header(headers, name));
    let presented = named.into_iter().flatten().map(str::to_owned).chain(authorization(headers));
    presented.filter_map(|text| key(&text)).collect()
}

/// A text as an API key.
fn key(text: &str) -> Option<Uuid> {
    text.trim_matches('"').parse().ok()
}

/// Keeps the credentials of a network that guesses from every route: whether one is right shows in more
/// than a 401, as in what a page that is open to others shows beside.
pub(crate) async fn slow_down(State(api): State<Api>, request: Request, next: Next) -> Response {
    let (parts, body) = request.into_parts();
    if let Err(seconds) = note(&api, &parts) {
        return guesses::refused(seconds).into_response();
    }
    next.run(Request::from_parts(parts, body)).await
}

/// Notes what could be guesses at the administrator's token.
fn note(api: &Api, parts: &Parts) -> Result<(), u64> {
    let named = header(&parts.headers, "x-api-key").map(str::to_owned);
    for token in authorization(&parts.headers).into_iter().chain(named) {
        let right = same(&token, api.options.auth.admin_token.expose());
        let monitors = match &api.options.monitoring.access {
            MonitoringAccess::Key { key, .. } => same(&token, key.expose()),
            _ => false,
        };
        // An API key has 122 random bits: who has one that is wrong does not guess.
        if right || !monitors && key(&token).is_none() {
            api.guesses.note(Peer::of(parts).network(), token.as_bytes(), right, Instant::now())?;
        }
    }
    Ok(())
}

/// What somebody wants to do with a project.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Need {
    /// Read its hits: the administrator, who has its key, or who knows its user id.
    Read,
    /// Change its hits: the administrator, or who has its key.
    Write,
}

/// The project that `named` (its name, number or user id) or else the key in the headers stands for.
///
/// # Errors
/// 401 without a credential that counts, 403 when the key is another project's, 404 when there is no
/// such project, 422 when none is named.
pub(crate) async fn project(
    api: &Api,
    headers: &HeaderMap,
    named: Option<&str>,
    need: Need,
) -> Result<Project, ApiError> {
    let store = |error| store_error(&error);
    if need == Need::Read
        && let Some(user) = named.and_then(|text| text.parse::<Uuid>().ok())
        && let Some(project) = api.store.project_by_user(user).await.map_err(store)?
    {
        return Ok(project);
    }
    if is_admin(api, headers).await.map_err(store)? {
        let named = named.ok_or_else(|| {
            let message = "Name the project by its name, its id or its user id.";
            ApiError::new(StatusCode::UNPROCESSABLE_ENTITY, message).field("project")
        })?;
        let found = find(api, named).await?;
        return found.ok_or_else(|| {
            ApiError::new(StatusCode::NOT_FOUND, "There is no such project.").field("project")
        });
    }
    for key in keys(headers) {
        let Some(project) = api.store.project_by_key(key).await.map_err(store)? else { continue };
        if named.is_none_or(|named| is_called(&project, named)) {
            return Ok(project);
        }
        let message = "The key is another project's; leave `project` out, or send that project's key.";
        return Err(ApiError::new(StatusCode::FORBIDDEN, message).field("project"));
    }
    let message = "Send the admin token as `Authorization: Bearer <token>`, or the project's API key as \
                   `X-AUTH-TOKEN`, `X-API-Key` or Bearer.";
    Err(ApiError::new(StatusCode::UNAUTHORIZED, message))
}

/// A project by its name, or else its number, or else its user id.
pub(crate) async fn find(api: &Api, named: &str) -> Result<Option<Project>, ApiError> {
    let store = |error| store_error(&error);
    if let Some(project) = api.store.project_by_name(named).await.map_err(store)? {
        return Ok(Some(project));
    }
    if let Ok(id) = named.parse() {
        return api.store.project_by_id(ProjectId(id)).await.map_err(store);
    }
    match named.parse() {
        Ok(user) => api.store.project_by_user(user).await.map_err(store),
        Err(_) => Ok(None),
    }
}

fn is_called(project: &Project, named: &str) -> bool {
    project.name.as_deref() == Some(named)
        || project.id.0.to_string() == named
        || named.parse() == Ok(project.user_id)
}

/// Compares by digest and in constant time, so that neither content nor length leaks.
pub(crate) fn same(presented: &str, secret: &str) -> bool {
    Sha256::digest(presented).ct_eq(&Sha256::digest(secret)).into()
}

/// Lets only the administrator through.
pub(crate) struct Admin;

impl FromRequestParts<Api> for Admin {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, api: &Api) -> Result<Self, Response> {
        let State(api) =
            State::<Api>::from_request_parts(parts, api).await.map_err(IntoResponse::into_response)?;
        administrator(&api, &parts.headers).await.map(|()| Self)
    }
}

/// Lets only the administrator through.
pub(crate) async fn administrator(api: &Api, headers: &HeaderMap) -> Result<(), Response> {
    if is_admin(api, headers).await.map_err(|e| store_error(&e).into_response())? {
        return Ok(());
    }
    Err(unauthorized())
}

/// Lets those through who may look at the overview.
pub(crate) struct Viewer;

impl FromRequestParts<Api> for Viewer {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, api: &Api) -> Result<Self, Response> {
        viewer(api, &parts.headers).await.map(|()| Self)
    }
}

/// Lets those through who may look at the overview.
pub(crate) async fn viewer(api: &Api, headers: &HeaderMap) -> Result<(), Response> {
    if is_open(api, headers) {
        return Ok(());
    }
    administrator(api, headers).await.map_err(|refused| match has_credential(headers) {
        false if api.options.auth.open_overview => {
            ApiError::new(StatusCode::MISDIRECTED_REQUEST, OTHER_NAME).into_response()
        }
        _ => refused,
    })
}

/// What is told where only the name that was asked for keeps somebody from what is open.
pub(crate) const OTHER_NAME: &str = "Without a token this is open at localhost and loopback addresses alone, since any \
     page could have its own name point here. Start with --allowed-hosts and the host that was asked for, or send \
     the admin token.";

/// Whether the headers carry what could be the admin token.
fn has_credential(headers: &HeaderMap) -> bool {
    headers.contains_key(AUTHORIZATION) || headers.contains_key("x-api-key")
}

/// Whether whoever asks needs no token to look: all is open, and they ask this machine by a name that is
/// its own or that the operator gave it.
pub(crate) fn is_open(api: &Api, headers: &HeaderMap) -> bool {
    api.options.auth.open_overview && asks_by_a_known_name(api, headers)
}

/// Whether the name that is asked for is this machine's own, or one that the operator gave it. A page of
/// another site that has its name point here asks with that name. Only programs ask without any.
pub(crate) fn asks_by_a_known_name(api: &Api, headers: &HeaderMap) -> bool {
    let Some(host) = headers.get(HOST) else { return true };
    let Ok(host) = Authority::try_from(host.as_bytes()) else { return false };
    let name = host.host().trim_matches(['[', ']']).trim_end_matches('.');
    name.eq_ignore_ascii_case("localhost")
        || name.parse::<IpAddr>().is_ok_and(|ip| ip.to_canonical().is_loopback())
        || api.options.allowed_hosts.iter().any(|known| known.eq_ignore_ascii_case(name))
}

/// Whether the headers carry the admin token, or the cookie of a session that it started. A session
/// counts for nothing where another site made the browser ask.
///
/// # Errors
/// When the store fails.
pub(crate) async fn is_admin(api: &Api, headers: &HeaderMap) -> watchkeeper_store::Result<bool> {
    Ok(api.options.auth.is_admin(headers)
        || (!from_another_site(headers) && session::is_signed_in(api, headers).await?))
}

/// 401 for a program, which a browser answers with its own dialog.
pub(crate) fn unauthorized() -> Response {
    let message = "Send the admin token as `Authorization: Bearer <token>`, or as the password of Basic.";
    let mut response = ApiError::new(StatusCode::UNAUTHORIZED, message).into_response();
    challenge(&mut response);
    response
}

/// Makes a 401 one that a browser answers with its own dialog.
pub(crate) fn challenge(response: &mut Response) {
    let challenge = HeaderValue::from_static("Basic realm=\"Watchkeeper\", charset=\"UTF-8\"");
    response.headers_mut().insert(WWW_AUTHENTICATE, challenge);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_token_is_taken_from_bearer_and_basic_alone() {
        let auth = AuthConfig { admin_token: Secret::new("s3cret:x"), open_overview: false };
        let with = |value: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(AUTHORIZATION, HeaderValue::from_str(value).expect("header"));
            auth.is_admin(&headers)
        };
        assert!(with("Bearer s3cret:x"));
        assert!(with("bearer s3cret:x"));
        assert!(with(&format!("Basic {}", BASE64_STANDARD.encode("anyone:s3cret:x"))));
        assert!(!with("Bearer s3cret"));
        assert!(!with("s3cret:x"));
        assert!(!with("Basic !"));
        assert!(!auth.is_admin(&HeaderMap::new()));
    }
}
