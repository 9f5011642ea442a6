//! Errors as FastAPI writes them: `{"detail": …}`, and a list of what is wrong with each field.

use axum::{
    Json,
    response::{IntoResponse, Response},
};
use http::{HeaderValue, StatusCode, header::RETRY_AFTER};
use serde_json::{Map, Value, json};
use watchkeeper_runtime::error::ApiError;
use watchkeeper_store::StoreError;

use crate::{auth, routes::store_error};

/// What is wrong with one field, in the words of pydantic 2.
#[derive(Debug, Clone, PartialEq)]
pub struct FieldProblem {
    kind: &'static str,
    place: Vec<Value>,
    message: String,
    input: Value,
    context: Option<Value>,
}

impl FieldProblem {
    /// A problem of `kind` at `place`, such as `["body", "interval"]`.
    pub(super) fn new(kind: &'static str, place: &[&str], message: impl Into<String>, input: Value) -> Self {
        let place = place.iter().map(|part| (*part).into()).collect();
        Self { kind, place, message: message.into(), input, context: None }
    }

    /// Adds what the message was made of.
    pub(super) fn context(self, context: Value) -> Self {
        Self { context: Some(context), ..self }
    }

    /// A field that has to be there.
    pub(super) fn missing(place: &[&str], input: &Value) -> Self {
        Self::new("missing", place, "Field required", input.clone())
    }

    /// A value that the caller's own words say more about than a type could.
    pub(super) fn value(place: &[&str], message: impl std::fmt::Display, input: &Value) -> Self {
        let context = json!({ "error": {} });
        Self::new("value_error", place, format!("Value error, {message}"), input.clone()).context(context)
    }

    fn json(&self) -> Value {
        let mut object = Map::new();
        object.insert("type".into(), self.kind.into());
        object.insert("loc".into(), Value::Array(self.place.clone()));
        object.insert("msg".into(), self.message.clone().into());
        object.insert("input".into(), self.input.clone());
        if let Some(context) = &self.context {
            object.insert("ctx".into(), context.clone());
        }
        Value::Object(object)
    }
}

impl std::fmt::Display for FieldProblem {
    /// As a line for people: `interval: Input should be greater than or equal to 10`.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let parts: Vec<_> = self
            .place
            .iter()
            .filter(|part| *part != "body")
            .map(|part| part.as_str().map_or_else(|| part.to_string(), str::to_owned))
            .collect();
        write!(f, "{}: {}", parts.join("."), self.message)
    }
}

/// An error of this interface, as an answer.
#[derive(Debug, Clone)]
pub(crate) struct Problem {
    status: StatusCode,
    body: Map<String, Value>,
    retry_after: Option<u64>,
    challenge: bool,
}

impl Problem {
    fn new(status: StatusCode, detail: impl Into<Value>) -> Self {
        let body = Map::from_iter([("detail".to_owned(), detail.into())]);
        Self { status, body, retry_after: None, challenge: false }
    }

    /// 400 with a sentence.
    pub(super) fn refused(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, message.into())
    }

    /// 404 of an endpoint.
    pub(super) fn no_endpoint(id: i64) -> Self {
        Self::new(StatusCode::NOT_FOUND, format!("Endpoint {id} not found"))
    }

    /// 404 with more than a sentence.
    pub(super) fn not_found(message: String, key: &str, more: Value) -> Self {
        let mut problem = Self::new(StatusCode::NOT_FOUND, message);
        problem.body.insert(key.into(), more);
        problem
    }

    /// 409: what is asked for goes against what the endpoint is, or is somebody else's to change.
    pub(super) fn conflict(message: impl Into<String>) -> Self {
        Self::new(StatusCode::CONFLICT, message.into())
    }

    /// 401. Beside upstream's `detail` it is what every interface here answers.
    pub(super) fn unauthorized(detail: &str) -> Self {
        let mut problem = Self::new(StatusCode::UNAUTHORIZED, detail);
        problem.body.insert("message".into(), detail.into());
        problem.body.insert("status".into(), 401.into());
        Self { challenge: true, ..problem }
    }

    /// 421: the host that was asked for is none that this is open at.
    pub(super) fn misdirected(detail: &str) -> Self {
        Self::new(StatusCode::MISDIRECTED_REQUEST, detail)
    }

    /// 413.
    pub(super) fn too_large(status: StatusCode, message: String) -> Self {
        Self::new(status, message)
    }

    /// 422 with what is wrong with each field.
    pub(super) fn fields(problems: &[FieldProblem]) -> Self {
        let list: Vec<_> = problems.iter().map(FieldProblem::json).collect();
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, list)
    }

    /// 429, and when to come again, seconds.
    pub(super) fn too_many(seconds: u64) -> Self {
        let problem =
            Self::new(StatusCode::TOO_MANY_REQUESTS, "Rate limit exceeded. Please try again later.");
        Self { retry_after: Some(seconds), ..problem }
    }

    /// 503 with a sentence; the same may succeed in a moment.
    pub(super) fn unavailable(message: impl Into<String>) -> Self {
        Self { retry_after: Some(1), ..Self::new(StatusCode::SERVICE_UNAVAILABLE, message.into()) }
    }

    /// Whether upstream tells the request's id in the body, too.
    fn tells_request(&self) -> bool {
        self.status == StatusCode::TOO_MANY_REQUESTS || self.status.is_server_error()
    }

    /// The answer, with the request's id where upstream has it.
    pub(super) fn with_request(mut self, id: &str) -> Response {
        if self.tells_request() {
            self.body.insert("request_id".into(), id.into());
        }
        self.into_response()
    }
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        store_error(&error).into()
    }
}

impl From<ApiError> for Problem {
    fn from(error: ApiError) -> Self {
        let problem = Self::new(error.status, error.message);
        Self { retry_after: error.retry_after.map(u64::from), ..problem }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut response = (self.status, Json(&self.body)).into_response();
        if let Some(seconds) = self.retry_after {
            response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(seconds));
        }
        if self.challenge {
            auth::challenge(&mut response);
        }
        // The layer around every route adds the request's id.
        response.extensions_mut().insert(self);
        response
    }
}
