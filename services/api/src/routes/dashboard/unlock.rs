//! A share with a password: its form, and the cookie that opens it afterwards.

use argon2::{
    Argon2,
    password_hash::{PasswordHasher, PasswordVerifier, phc::PasswordHash},
};
use askama::Template;
use axum::{
    extract::{Path, State},
    response::{IntoResponse, Response},
};
use http::{HeaderMap, StatusCode};
use watchkeeper_store::{Reach, Share};

use super::{
    access::{render, unlock_cookie},
    forms::{Fields, done},
    shell::{PageError, Shell, percent_encoded},
    sign_in::with_cookie,
};
use crate::{Api, peer::Peer, session};

/// How long a share stays open in a browser, seconds.
const OPEN: i64 = 30 * 86_400;

#[derive(Template)]
#[template(path = "dashboard/unlock.html")]
struct Unlock {
    shell: Shell,
    action: String,
    error: Option<&'static str>,
}

/// Asks for the password.
pub(super) fn ask(link: &str, error: Option<&'static str>) -> Response {
    let action = format!("/s/{}/unlock", percent_encoded(link));
    match render(&Unlock { shell: Shell::new("Password"), action, error }) {
        Ok(page) => (StatusCode::UNAUTHORIZED, page).into_response(),
        Err(error) => error.into_response(),
    }
}

/// `POST /s/{share}/unlock`
pub(super) async fn unlock(
    State(api): State<Api>,
    Path(link): Path<String>,
    peer: Peer,
    headers: HeaderMap,
    fields: Fields,
) -> Result<Response, PageError> {
    let failed = |error| PageError::store(&error);
    let share = api.store.share_by_link(&link).await.map_err(failed)?.ok_or_else(PageError::not_found)?;
    let page = format!("/s/{}", percent_encoded(&link));
    let Reach::Password { hash } = &share.reach else { return Ok(done(&page)) };
    if !api.dashboard.unlocks.take(share.id, peer) {
        let message = "Too many attempts at this share. Wait a minute.";
        return Err(PageError::new(StatusCode::TOO_MANY_REQUESTS, "Not so fast", message));
    }
    if !verify(&api, fields.raw("password"), hash).await? {
        return Ok(ask(&link, Some("That is not the password.")));
    }
    let key = api.dashboard.key(&api.store).await.map_err(failed)?;
    let cookie = session::set_cookie(
        &unlock_cookie(&share),
        &session::seal(&key, "unlock", hash),
        &page,
        OPEN,
        &headers,
    );
    Ok(with_cookie(done(&page), &cookie))
}

/// Whether this browser has opened a share.
pub(super) async fn is_open(
    api: &Api,
    headers: &HeaderMap,
    share: &Share,
    hash: &str,
) -> watchkeeper_store::Result<bool> {
    let Some(text) = session::cookie(headers, &unlock_cookie(share)) else { return Ok(false) };
    Ok(session::is_seal(&api.dashboard.key(&api.store).await?, "unlock", hash, text))
}

/// Hashes a password with argon2id, off the executor.
pub(super) async fn hash(api: &Api, password: &str) -> Result<String, PageError> {
    let password = password.to_owned();
    hashing(api, move || {
        Argon2::default()
            .hash_password(password.as_bytes())
            .map(|hash| hash.to_string())
            .map_err(|e| e.to_string())
    })
    .await
}

async fn verify(api: &Api, password: &str, hash: &str) -> Result<bool, PageError> {
    let (password, hash) = (password.to_owned(), hash.to_owned());
    hashing(api, move || {
        let hash = PasswordHash::new(&hash).map_err(|error| error.to_string())?;
        Ok(Argon2::default().verify_password(password.as_bytes(), &hash).is_ok())
    })
    .await
}

async fn hashing<T: Send + 'static>(
    api: &Api,
    work: impl FnOnce() -> Result<T, String> + Send + 'static,
) -> Result<T, PageError> {
    let broken = |error: String| {
        tracing::error!(%error, "a password could not be hashed");
        PageError::new(StatusCode::INTERNAL_SERVER_ERROR, "Something broke", "See the server's log.")
    };
    let _permit = api.dashboard.hashes.acquire().await.map_err(|error| broken(error.to_string()))?;
    tokio::task::spawn_blocking(work).await.map_err(|error| broken(error.to_string()))?.map_err(broken)
}
