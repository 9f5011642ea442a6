//! `/login` and `/logout`: the admin token by a form, for a session.

use askama::Template;
use axum::{
    extract::{Query, State},
    response::{IntoResponse, Response},
};
use http::{HeaderMap, HeaderValue, StatusCode, header::SET_COOKIE};
use std::collections::HashMap;
use watchkeeper_store::{Reach, Share};

use super::{
    access::render,
    forms::{Fields, done},
    shell::{PageError, Shell, percent_encoded},
};
use crate::{Api, auth, peer::Peer, session};

/// The one secret that signs in, among those that attempts are counted of.
const ADMIN_TOKEN: i64 = 0;

#[derive(Template)]
#[template(path = "dashboard/sign_in.html")]
struct SignIn {
    shell: Shell,
    next: String,
    error: Option<&'static str>,
    /// Title and link of every public dashboard.
    public: Vec<(String, String)>,
}

/// `GET /login?next=…`
pub(super) async fn form(
    State(api): State<Api>,
    Query(query): Query<HashMap<String, String>>,
) -> Result<Response, PageError> {
    ask(&api, query.get("next").map_or("/", String::as_str), None).await
}

async fn ask(api: &Api, next: &str, error: Option<&'static str>) -> Result<Response, PageError> {
    let shares = api.store.public_shares().await.map_err(|error| PageError::store(&error))?;
    let link = |share: Share| match share.reach {
        Reach::Public { slug } => Some((share.title, format!("/s/{}", percent_encoded(&slug)))),
        _ => None,
    };
    let public = shares.into_iter().filter_map(link).collect();
    render(&SignIn { shell: Shell::new("Sign in"), next: local(next).to_owned(), error, public })
}

/// `POST /login`
pub(super) async fn sign_in(
    State(api): State<Api>,
    peer: Peer,
    headers: HeaderMap,
    fields: Fields,
) -> Result<Response, PageError> {
    if !api.dashboard.sign_ins.take(ADMIN_TOKEN, peer) {
        let message = "Too many attempts to sign in. Wait a minute.";
        return Err(PageError::new(StatusCode::TOO_MANY_REQUESTS, "Not so fast", message));
    }
    let next = local(fields.get("next"));
    if !auth::same(fields.get("password"), api.options.auth.admin_token.expose()) {
        let page = ask(&api, next, Some("That is not the admin token.")).await?;
        return Ok((StatusCode::UNAUTHORIZED, page).into_response());
    }
    let cookie = session::start(&api, &headers).await.map_err(|error| PageError::store(&error))?;
    Ok(with_cookie(done(next), &cookie))
}

/// `POST /logout`
pub(super) async fn sign_out(
    State(api): State<Api>,
    headers: HeaderMap,
    _: Fields,
) -> Result<Response, PageError> {
    let cookie = session::end(&api, &headers).await.map_err(|error| PageError::store(&error))?;
    Ok(with_cookie(done("/login"), &cookie))
}

pub(super) fn with_cookie(mut response: Response, cookie: &str) -> Response {
    if let Ok(value) = HeaderValue::from_str(cookie) {
        response.headers_mut().append(SET_COOKIE, value);
    }
    response
}

/// A path of this site; `/` for anything that could lead elsewhere.
fn local(next: &str) -> &str {
    let here = next.starts_with('/')
        && !next.starts_with("//")
        && !next.contains('\\')
        && next.bytes().all(|byte| byte > b' ' && byte < 0x7f);
    if here { next } else { "/" }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signing_in_leads_nowhere_else() {
        for elsewhere in
            ["", "//evil.example", "/\\evil.example", "https://evil.example", "/\n/evil.example", "evil"]
        {
            assert_eq!(local(elsewhere), "/");
        }
        assert_eq!(local("/p/shop?period=7d"), "/p/shop?period=7d");
    }
}
