//! Who may administer, and who may look at the overview.

use axum::{
    extract::{FromRequestParts, State},
    response::{IntoResponse, Response},
};
use base64::{Engine, prelude::BASE64_STANDARD};
use http::{
    HeaderMap, HeaderValue, StatusCode,
    header::{AUTHORIZATION, WWW_AUTHENTICATE},
    request::Parts,
};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use watchkeeper_runtime::{error::ApiError, secret::Secret};

use crate::Api;

/// Who may do what beyond the capabilities that api-analytics gives by key and user id.
#[derive(Debug, Clone)]
pub struct AuthConfig {
    /// Token of the administrator: `Authorization: Bearer`, or the password of
    /// Basic with any user name, for browsers.
    pub admin_token: Secret,
    /// Whether the overview and the list of endpoints are open to everybody.
    pub open_overview: bool,
}

impl AuthConfig {
    fn is_admin(&self, headers: &HeaderMap) -> bool {
        presented(headers).is_some_and(|token| same(&token, self.admin_token.expose()))
    }
}

/// The token of an `Authorization` header: a bearer token or a Basic password.
fn presented(headers: &HeaderMap) -> Option<String> {
    let (scheme, value) = headers.get(AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    if scheme.eq_ignore_ascii_case("bearer") {
        return Some(value.trim().to_owned());
    }
    if scheme.eq_ignore_ascii_case("basic") {
        let decoded = String::from_utf8(BASE64_STANDARD.decode(value.trim()).ok()?).ok()?;
        return Some(decoded.split_once(':')?.1.to_owned());
    }
    None
}

/// Compares by digest and in constant time, so that neither content nor length leaks.
fn same(presented: &str, secret: &str) -> bool {
    Sha256::digest(presented).ct_eq(&Sha256::digest(secret)).into()
}

/// Lets only the administrator through.
pub(crate) struct Admin;

impl FromRequestParts<Api> for Admin {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, api: &Api) -> Result<Self, Response> {
        let State(api) =
            State::<Api>::from_request_parts(parts, api).await.map_err(IntoResponse::into_response)?;
        if api.options.auth.is_admin(&parts.headers) {
            return Ok(Self);
        }
        Err(unauthorized())
    }
}

/// Lets those through who may look at the overview.
pub(crate) struct Viewer;

impl FromRequestParts<Api> for Viewer {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, api: &Api) -> Result<Self, Response> {
        if api.options.auth.open_overview || api.options.auth.is_admin(&parts.headers) {
            return Ok(Self);
        }
        Err(unauthorized())
    }
}

fn unauthorized() -> Response {
    let message = "Send the admin token as `Authorization: Bearer <token>`, or as the password of Basic.";
    let mut response = ApiError::new(StatusCode::UNAUTHORIZED, message).into_response();
    let challenge = HeaderValue::from_static("Basic realm=\"Watchkeeper\", charset=\"UTF-8\"");
    response.headers_mut().insert(WWW_AUTHENTICATE, challenge);
    response
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
