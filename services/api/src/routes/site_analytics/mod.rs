//! site-analytics' data interface, of each of its generations, with its parameters, shapes and error
//! texts. Its other half, `POST /api/v1/traffic`, is the logger's.

mod counting;
pub(super) mod document;
mod lists;
mod params;
mod query;
mod series;
mod statistics;

use axum::{
    Router,
    extract::FromRequestParts,
    response::{IntoResponse, Response},
    routing::get,
};
use http::{
    HeaderValue, StatusCode,
    header::{AUTHORIZATION, CONTENT_TYPE},
    request::Parts,
};
use serde::Serialize;
use watchkeeper_analytics::AskError;
use watchkeeper_runtime::{
    error::{ApiError, unauthorized_site},
    field_errors::FieldErrors,
};
use watchkeeper_store::ProjectId;

use super::store_error;
use crate::Api;

pub(super) fn router() -> Router<Api> {
    Router::new()
        .route("/api/v1/data/users", get(series::users))
        .route("/api/v1/data/views", get(series::views))
        .route("/api/v1/data/sessions", get(series::sessions))
        .route("/api/v1/data/countries", get(lists::countries))
        .route("/api/v1/data/cities", get(lists::cities))
        .route("/api/v1/data/urls", get(lists::urls))
        .route("/api/v1/data/hostnames", get(lists::hostnames))
        .route("/api/v1/data/statistics", get(statistics::statistics))
        .route("/api/v1/data/query", get(query::query))
}

/// The project of a website, by a bare `Authorization` header. It is decided before anything else
/// about a request.
pub(super) struct Site(ProjectId);

impl FromRequestParts<Api> for Site {
    type Rejection = Refused;

    async fn from_request_parts(parts: &mut Parts, api: &Api) -> Result<Self, Refused> {
        let presented = parts.headers.get(AUTHORIZATION).map_or(&b""[..], HeaderValue::as_bytes);
        let found = api.store.site_project(&api.options.site, presented).await;
        let found = found.map_err(|error| Refused::Error(store_error(&error)))?;
        found.map(Self).ok_or(Refused::Unauthorized)
    }
}

/// An answer that is an error.
#[derive(Debug)]
pub(super) enum Refused {
    /// No header, or one that opens nothing.
    Unauthorized,
    /// Parameters are missing, wrong or unknown.
    Parameters(FieldErrors),
    /// Anything else.
    Error(ApiError),
}

impl From<AskError> for Refused {
    fn from(error: AskError) -> Self {
        match error {
            AskError::Question(why) => Self::Error(ApiError::bad_request(why)),
            AskError::Store(error) => Self::Error(store_error(&error)),
        }
    }
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        match self {
            Self::Unauthorized => unauthorized_site(),
            Self::Parameters(errors) => {
                // As plain text: the original labels it HTML, and a parameter may hold some.
                (StatusCode::BAD_REQUEST, format!("Invalid parameters: {errors}")).into_response()
            }
            Self::Error(error) => error.into_response(),
        }
    }
}

/// A JSON answer as Flask writes it, with a line break at its end.
pub(super) struct Lined<T>(T);

impl<T: Serialize> IntoResponse for Lined<T> {
    fn into_response(self) -> Response {
        match serde_json::to_vec(&self.0) {
            Ok(mut body) => {
                body.push(b'\n');
                ([(CONTENT_TYPE, HeaderValue::from_static("application/json"))], body).into_response()
            }
            Err(error) => ApiError::internal(&error).into_response(),
        }
    }
}
