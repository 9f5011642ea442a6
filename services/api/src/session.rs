//! Sessions of signed-in browsers, beside the headers that `auth` reads.

use hmac::{Hmac, Mac};
use http::{HeaderMap, HeaderValue, header::COOKIE};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use uuid::Uuid;
use watchkeeper_store::{Result, now_ms};

use crate::Api;

/// The session's cookie.
const NAME: &str = "watchkeeper_session";

/// How long a session goes on, milliseconds.
const LENGTH: i64 = 14 * watchkeeper_store::DAY_MS;

/// Starts a session; returns the value of its `Set-Cookie`.
///
/// # Errors
/// When the store fails.
pub(crate) async fn start(api: &Api, headers: &HeaderMap) -> Result<String> {
    // 244 random bits from the operating system.
    let token = format!("{}{}", Uuid::new_v4().simple(), Uuid::new_v4().simple());
    api.store.start_session(&hash(api, &token), now_ms() + LENGTH).await?;
    Ok(set_cookie(NAME, &token, "/", LENGTH / 1_000, headers))
}

/// Ends the session of these headers; returns the value of the `Set-Cookie` that forgets it.
///
/// # Errors
/// When the store fails.
pub(crate) async fn end(api: &Api, headers: &HeaderMap) -> Result<String> {
    if let Some(token) = cookie(headers, NAME) {
        api.store.end_session(&hash(api, token)).await?;
    }
    Ok(set_cookie(NAME, "", "/", 0, headers))
}

/// Whether a session of the administrator goes on.
///
/// # Errors
/// When the store fails.
pub(crate) async fn is_signed_in(api: &Api, headers: &HeaderMap) -> Result<bool> {
    match cookie(headers, NAME) {
        Some(token) => api.store.has_session(&hash(api, token)).await,
        None => Ok(false),
    }
}

/// The session's token, empty without one.
pub(crate) fn signed_in_by(headers: &HeaderMap) -> &str {
    cookie(headers, NAME).unwrap_or_default()
}

/// What the store keeps of a token. The admin token is part of it: changing that ends all sessions.
fn hash(api: &Api, token: &str) -> Vec<u8> {
    let admin = Sha256::digest(api.options.auth.admin_token.expose());
    Sha256::new().chain_update(admin).chain_update(token).finalize().to_vec()
}

/// The value of a cookie.
pub(crate) fn cookie<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let cookies = headers.get_all(COOKIE).into_iter().filter_map(|value| value.to_str().ok());
    let mut pairs = cookies.flat_map(|line| line.split(';')).filter_map(|pair| pair.trim().split_once('='));
    pairs.find(|(it, value)| *it == name && !value.is_empty()).map(|(_, value)| value)
}

/// A `Set-Cookie` that no script and no other site sees.
pub(crate) fn set_cookie(name: &str, value: &str, path: &str, seconds: i64, headers: &HeaderMap) -> String {
    let https = |value: &HeaderValue| value.as_bytes().eq_ignore_ascii_case(b"https");
    let secure = if headers.get("x-forwarded-proto").is_some_and(https) { "; Secure" } else { "" };
    format!("{name}={value}; Path={path}; Max-Age={seconds}; HttpOnly; SameSite=Strict{secure}")
}

/// A text that only this installation can make for a purpose and a subject.
pub(crate) fn seal(key: &[u8; 32], purpose: &str, subject: &str) -> String {
    // HMAC takes keys of every length, so there is no error to tell.
    let Ok(mac) = Hmac::<Sha256>::new_from_slice(key) else { return String::new() };
    let sealed = mac.chain_update(purpose).chain_update([0]).chain_update(subject).finalize();
    sealed.into_bytes().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Whether a text is the seal of a purpose and a subject, in constant time.
pub(crate) fn is_seal(key: &[u8; 32], purpose: &str, subject: &str, text: &str) -> bool {
    let seal = seal(key, purpose, subject);
    !seal.is_empty() && bool::from(seal.as_bytes().ct_eq(text.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cookie_is_found_among_others_and_hidden_from_scripts() {
        let mut headers = HeaderMap::new();
        headers.append(COOKIE, HeaderValue::from_static("a=b; watchkeeper_session=x"));
        headers.append(COOKIE, HeaderValue::from_static("c=; d=e"));
        assert_eq!(cookie(&headers, NAME), Some("x"));
        assert_eq!(
            (cookie(&headers, "d"), cookie(&headers, "c"), cookie(&headers, "session")),
            (Some("e"), None, None)
        );
        let set = set_cookie("n", "v", "/s/x", 60, &headers);
        assert_eq!(set, "n=v; Path=/s/x; Max-Age=60; HttpOnly; SameSite=Strict");
        headers.insert("x-forwarded-proto", HeaderValue::from_static("https"));
        assert!(set_cookie("n", "v", "/", 60, &headers).ends_with("; Secure"));
    }

    #[test]
    fn a_seal_is_for_one_purpose_and_subject() {
        let seal = seal(&[7; 32], "csrf", "a");
        assert!(is_seal(&[7; 32], "csrf", "a", &seal));
        for (key, purpose, subject) in
            [([8; 32], "csrf", "a"), ([7; 32], "other", "a"), ([7; 32], "csrf", "b")]
        {
            assert!(!is_seal(&key, purpose, subject, &seal));
        }
        assert!(!is_seal(&[7; 32], "csrf", "a", ""));
    }
}
