//! site-analytics' data interface, of each of its generations, with its parameters, shapes and error
//! texts. Its other half, `POST /api/v1/traffic`, is the logger's.

mod counting;
pub(super) mod document;
mod lists;
mod params;
mod query;
mod series;
mod statistics;

use std::time::Instant;

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
use crate::{
    Api,
    answers::{Text, TooLong},
    guesses,
    peer::Peer,
    rooms::Room,
};

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
        if let Some(right) = api.options.site.guess(presented) {
            let noted = api.site_guesses.note(Peer::of(parts).network(), presented, right, Instant::now());
            noted.map_err(|seconds| Refused::Error(guesses::refused(seconds)))?;
        }
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

impl From<TooLong> for Refused {
    fn from(error: TooLong) -> Self {
        Self::Error(ApiError::bad_request(error.to_string()))
    }
}

/// A place for a question, which is kept until it is answered.
async fn room(api: &Api, project: ProjectId) -> Result<Room, Refused> {
    api.rooms.enter(project).await.map_err(|error| Refused::Error(ApiError::internal(&error)))
}

/// A JSON answer as Flask writes it, with a line break at its end.
struct Lined(Vec<u8>);

impl Lined {
    fn new(value: &impl Serialize) -> Result<Self, Refused> {
        let mut bytes = Text::json(value)?.into_bytes();
        bytes.push(b'\n');
        Ok(Self(bytes))
    }

    async fn answer(self, api: &Api, project: ProjectId) -> Result<Response, Refused> {
        let body = api.answers.hold(project, self.0).await.map_err(Refused::Error)?;
        Ok(([(CONTENT_TYPE, HeaderValue::from_static("application/json"))], body).into_response())
    }
}
