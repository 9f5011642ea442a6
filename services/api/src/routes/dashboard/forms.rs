//! Forms that change something: they come from a page of ours, or count for nothing.

use axum::{
    extract::{FromRequest, Request},
    response::{IntoResponse, Redirect, Response},
};
use http::{HeaderMap, StatusCode, header::AUTHORIZATION};
use url::form_urlencoded;

use super::shell::PageError;
use crate::{Api, auth, routes::is_plain, session};

/// Largest form, bytes.
const FORM: usize = 64 << 10;

/// The fields of a form.
pub(super) struct Fields(Vec<(String, String)>);

impl Fields {
    /// A field without the blanks around it; empty where there is none.
    pub fn get(&self, name: &str) -> &str {
        self.0.iter().find(|(it, _)| it == name).map_or("", |(_, value)| value.trim())
    }

    /// A field as it was sent.
    pub fn raw(&self, name: &str) -> &str {
        self.0.iter().find(|(it, _)| it == name).map_or("", |(_, value)| value)
    }

    /// Every value of a field, in the order of the form.
    pub fn all(&self, name: &str) -> Vec<&str> {
        self.0.iter().filter(|(it, _)| it == name).map(|(_, value)| value.as_str()).collect()
    }

    /// Whether a box was checked.
    pub fn checked(&self, name: &str) -> bool {
        !self.get(name).is_empty()
    }
}

impl FromRequest<Api> for Fields {
    type Rejection = PageError;

    async fn from_request(request: Request, _: &Api) -> Result<Self, PageError> {
        if auth::from_another_site(request.headers()) {
            return Err(foreign());
        }
        let body = axum::body::to_bytes(request.into_body(), FORM).await.map_err(|error| {
            PageError::new(StatusCode::PAYLOAD_TOO_LARGE, "That form cannot be read", error.to_string())
        })?;
        let fields: Vec<(String, String)> = form_urlencoded::parse(&body).into_owned().collect();
        match fields.iter().find(|(_, value)| !is_plain(value)) {
            Some((name, _)) => {
                let message = format!("`{name}` must have no control characters.");
                Err(PageError::new(StatusCode::UNPROCESSABLE_ENTITY, "That form has a mistake", message))
            }
            None => Ok(Self(fields)),
        }
    }
}

/// What a page puts into its forms: only whoever sees the page knows it.
pub(super) async fn token(api: &Api, headers: &HeaderMap, base: &str) -> Result<String, PageError> {
    let key = api.dashboard.key(&api.store).await.map_err(|error| PageError::store(&error))?;
    Ok(session::seal(&key, "form", &subject(headers, base)))
}

/// Refuses a form that comes from elsewhere.
pub(super) async fn check(
    api: &Api,
    headers: &HeaderMap,
    base: &str,
    fields: &Fields,
) -> Result<(), PageError> {
    let key = api.dashboard.key(&api.store).await.map_err(|error| PageError::store(&error))?;
    if session::is_seal(&key, "form", &subject(headers, base), fields.get("token")) {
        return Ok(());
    }
    Err(foreign())
}

fn subject(headers: &HeaderMap, base: &str) -> String {
    let basic = headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok()).unwrap_or_default();
    format!("{}\n{basic}\n{base}", session::signed_in_by(headers))
}

fn foreign() -> PageError {
    let message = "The form did not come from a page of this site, or is from before you signed in. Open the page again.";
    PageError::new(StatusCode::FORBIDDEN, "That form is not ours", message)
}

/// Goes back to a page after a form did its work.
pub(super) fn done(to: &str) -> Response {
    Redirect::to(to).into_response()
}

/// A field that a form has wrong.
pub(super) fn wrong(back: &str, field: &str, message: impl Into<String>) -> PageError {
    let mut error = PageError::new(StatusCode::UNPROCESSABLE_ENTITY, "That form has a mistake", message);
    error.field = Some(field.to_owned());
    error.back = Some(back.to_owned());
    error
}
