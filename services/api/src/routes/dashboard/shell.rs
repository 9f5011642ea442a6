//! What surrounds every page: its head, its bar, its headers, and what it says when something is wrong.

use std::sync::LazyLock;

use askama::Template;
use axum::{
    extract::{Path, Request},
    middleware::Next,
    response::{Html, IntoResponse, Response},
};
use http::{
    HeaderValue, StatusCode,
    header::{
        CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, REFERRER_POLICY, RETRY_AFTER, VARY,
        X_CONTENT_TYPE_OPTIONS,
    },
};
use sha2::{Digest, Sha256};
use url::form_urlencoded;
use watchkeeper_runtime::VERSION;
use watchkeeper_store::StoreError;

use crate::routes::NO_NUL;

const STYLE: &str = include_str!("../../../assets/dashboard.css");
const WATCH: &str = include_str!("../../../assets/watch.css");
const SCRIPT: &str = include_str!("../../../assets/dashboard.js");
const ICON: &str = include_str!("../../../assets/icon.svg");

/// The files that pages refer to: name, type, content. Names change with their content, so that
/// browsers keep them for ever.
static ASSETS: LazyLock<[(String, &str, &str); 4]> = LazyLock::new(|| {
    [
        ("css", "text/css", STYLE),
        ("js", "text/javascript", SCRIPT),
        ("svg", "image/svg+xml", ICON),
        ("css", "text/css", WATCH),
    ]
    .map(|(ending, label, content)| {
        let digest = Sha256::digest(content);
        let hash: String = digest.iter().take(8).map(|byte| format!("{byte:02x}")).collect();
        (format!("{hash}.{ending}"), label, content)
    })
});

/// Where in the bar at the top a page stands.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Section {
    #[default]
    None,
    Projects,
    Monitors,
    StatusPages,
}

/// What surrounds a page.
#[derive(Debug, Clone, Default)]
pub(super) struct Shell {
    pub title: String,
    /// Path of the project whose page it is.
    pub base: Option<String>,
    /// What that project is called.
    pub project: Option<String>,
    pub manages: bool,
    pub administers: bool,
    pub here: Section,
    /// Whether a session goes on that can be ended.
    pub signed_in: bool,
    pub version: &'static str,
    /// Seconds after which the page is asked for again.
    pub refresh: Option<u32>,
}

/// Where to sign in on the way to a page: a path, as it stands in its address.
pub(super) fn sign_in_for(page: &str) -> String {
    let next: String = form_urlencoded::byte_serialize(page.as_bytes()).collect();
    format!("/login?next={next}")
}

impl Shell {
    pub fn new(title: impl Into<String>) -> Self {
        Self { title: title.into(), version: VERSION, ..Self::default() }
    }

    pub fn style(&self) -> &'static str {
        &ASSETS[0].0
    }

    pub fn script(&self) -> &'static str {
        &ASSETS[1].0
    }

    pub fn icon(&self) -> &'static str {
        &ASSETS[2].0
    }

    /// The style of pages about what is watched.
    pub fn watch(&self) -> &'static str {
        &ASSETS[3].0
    }

    /// Where to sign in for the settings of the project.
    pub fn sign_in(&self) -> String {
        let settings = format!("{}/settings", self.base.as_deref().unwrap_or_default());
        sign_in_for(&settings)
    }

    pub fn is_projects(&self) -> bool {
        self.here == Section::Projects
    }

    pub fn is_monitors(&self) -> bool {
        self.here == Section::Monitors
    }

    pub fn is_status_pages(&self) -> bool {
        self.here == Section::StatusPages
    }
}

/// `GET /assets/{file}`.
pub(super) async fn asset(Path(file): Path<String>) -> Response {
    match ASSETS.iter().find(|(name, ..)| *name == file) {
        Some((_, label, content)) => {
            let label = HeaderValue::from_str(&format!("{label}; charset=utf-8"));
            let forever = HeaderValue::from_static("public, max-age=31536000, immutable");
            let mut response = (*content).into_response();
            response.headers_mut().insert(CACHE_CONTROL, forever);
            if let Ok(label) = label {
                response.headers_mut().insert(CONTENT_TYPE, label);
            }
            response
        }
        None => PageError::not_found().into_response(),
    }
}

/// Nothing from elsewhere, nothing inline, no frame around; no address of a page leaves it, since
/// some are capabilities; nothing is kept that does not say so itself.
pub(super) async fn guard(request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    let policy = "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; connect-src 'self'; \
                  form-action 'self'; frame-ancestors 'none'; base-uri 'none'";
    harden(&mut response, policy);
    let headers = response.headers_mut();
    headers.entry(CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    headers.append(VARY, HeaderValue::from_static("Accept, Cookie"));
    // A status page at a host of its own comes by here too, and is public.
    headers.entry("x-robots-tag").or_insert(HeaderValue::from_static("noindex"));
    response
}

/// The same for what is public: nothing on it is a secret, so that caches and search engines may
/// have it, and it has neither a script nor a form. Badges are shown on pages of others.
pub(super) async fn public_guard(request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    let policy =
        "default-src 'none'; style-src 'self'; img-src 'self'; frame-ancestors 'none'; base-uri 'none'";
    harden(&mut response, policy);
    let headers = response.headers_mut();
    headers.entry(CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    headers.insert("access-control-allow-origin", HeaderValue::from_static("*"));
    headers.insert("cross-origin-resource-policy", HeaderValue::from_static("cross-origin"));
    response
}

fn harden(response: &mut Response, policy: &'static str) {
    let headers = response.headers_mut();
    headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(policy));
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
}

/// A page that says what is wrong.
#[derive(Debug, Clone)]
pub(super) struct PageError {
    pub status: StatusCode,
    pub title: &'static str,
    pub message: String,
    /// The parameter at fault.
    pub field: Option<String>,
    /// Where to go on.
    pub back: Option<String>,
}

#[derive(Template)]
#[template(path = "dashboard/error.html")]
struct ErrorPage {
    shell: Shell,
    error: PageError,
}

impl PageError {
    pub fn new(status: StatusCode, title: &'static str, message: impl Into<String>) -> Self {
        Self { status, title, message: message.into(), field: None, back: None }
    }

    pub fn not_found() -> Self {
        let message = "The link may have been revoked, or the address has a typing error.";
        Self::new(StatusCode::NOT_FOUND, "There is no such page", message)
    }

    /// A failing store: nobody's fault but ours, and worth another try. A text that no store keeps is not.
    pub fn store(error: &StoreError) -> Self {
        if error.is_of_text() {
            return Self::new(StatusCode::UNPROCESSABLE_ENTITY, "That address has a mistake", NO_NUL);
        }
        tracing::error!(%error, "the store failed");
        let message = "The database does not answer. Try again in a moment.";
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "Not available right now", message)
    }
}

impl IntoResponse for PageError {
    fn into_response(self) -> Response {
        let status = self.status;
        let page = ErrorPage { shell: Shell::new(self.title), error: self };
        let mut response = match page.render() {
            Ok(html) => (status, Html(html)).into_response(),
            Err(error) => {
                tracing::error!(%error, "an error's page could not be drawn");
                status.into_response()
            }
        };
        if status == StatusCode::SERVICE_UNAVAILABLE || status == StatusCode::TOO_MANY_REQUESTS {
            response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("10"));
        }
        response
    }
}

/// A text as one segment of a path.
pub(super) fn percent_encoded(text: &str) -> String {
    let mut encoded = String::new();
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                encoded.push(char::from(byte))
            }
            other => encoded.push_str(&format!("%{other:02X}")),
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_named_after_their_content() {
        let shell = Shell::new("t");
        assert!(shell.style().ends_with(".css") && shell.style().len() == 20);
        assert_ne!(shell.style().split('.').next(), shell.script().split('.').next());
    }

    #[test]
    fn a_name_is_one_segment() {
        assert_eq!(percent_encoded("a b/ü?#"), "a%20b%2F%C3%BC%3F%23");
    }
}
