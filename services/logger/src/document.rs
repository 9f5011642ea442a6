//! What the OpenAPI document of an installation says of the write path.
#![allow(dead_code)] // The functions stand for routes, the types for bodies; the handlers read bodies by hand.

use utoipa::{OpenApi, ToSchema};

/// The write path's part of the document; the API merges it into its own.
pub fn openapi() -> utoipa::openapi::OpenApi {
    LoggerDoc::openapi()
}

#[derive(OpenApi)]
#[openapi(paths(log_request, requests, traffic, health))]
struct LoggerDoc;

/// A batch of requests that an API has answered.
#[derive(ToSchema)]
struct LogRequest {
    /// UUID; a new one makes a project where sign-up is open.
    #[schema(example = "00000000-0000-4000-8000-000000000001")]
    api_key: String,
    /// Name of the framework, as the published clients have it.
    #[schema(example = "FastAPI")]
    framework: String,
    /// 0 keeps address and country, 1 the country alone, 2 neither; the strictest that anybody demands holds.
    #[schema(default = 0, minimum = 0, maximum = 2)]
    privacy_level: Option<i64>,
    requests: Vec<LoggedRequest>,
}

/// One request. What is missing is unknown.
#[derive(ToSchema)]
struct LoggedRequest {
    /// May have a query.
    #[schema(example = "/users/42?full=1")]
    path: String,
    #[schema(example = "GET")]
    method: Option<String>,
    #[schema(example = 200)]
    status: Option<i64>,
    /// Milliseconds.
    #[schema(example = 12.5)]
    response_time: Option<f64>,
    hostname: Option<String>,
    ip_address: Option<String>,
    user_agent: Option<String>,
    user_id: Option<String>,
    referrer: Option<String>,
    /// RFC 3339; the time of arrival without it.
    created_at: Option<String>,
    /// The request said `Sec-GPC: 1`.
    gpc: Option<bool>,
    /// The request said `DNT: 1`.
    dnt: Option<bool>,
}

/// Logs requests.
///
/// They survive the death of every process when this is answered. One bad row never costs the batch.
#[utoipa::path(
    post,
    path = "/api/log-request",
    tag = "api-analytics",
    request_body = LogRequest,
    responses(
        (status = 201, description = "They are stored", body = Object,
            example = json!({ "message": "API requests logged successfully.", "status": 201 })),
        (status = 400, description = "Refused; the message says why", body = Object),
        (status = 408, description = "It comes too slowly for its size; send it in parts", body = Object),
        (status = 413, description = "Too large; send it in parts", body = Object),
        (status = 429, description = "Too many posts of this key; see Retry-After", body = Object),
        (status = 503, description = "Too many wait, or the store is away; see Retry-After", body = Object),
    ),
)]
fn log_request() {}

/// The same under its other name.
#[utoipa::path(
    post,
    path = "/api/requests",
    tag = "api-analytics",
    request_body = LogRequest,
    responses(
        (status = 201, description = "They are stored", body = Object),
        (status = 400, description = "Refused; the message says why", body = Object),
        (status = 408, description = "It comes too slowly for its size; send it in parts", body = Object),
        (status = 413, description = "Too large; send it in parts", body = Object),
        (status = 429, description = "Too many posts of this key; see Retry-After", body = Object),
        (status = 503, description = "Too many wait, or the store is away; see Retry-After", body = Object),
    ),
)]
fn requests() {}

/// Tells whether the store answers.
#[utoipa::path(
    get,
    path = "/api/health",
    tag = "health",
    responses(
        (status = 200, description = "It does", body = Object, example = json!({ "status": "healthy" })),
        (status = 500, description = "It does not", body = Object),
    ),
)]
fn health() {}

/// Reports views of a website: one in the query string, one as JSON, or up to 200 as `{"traffic": […]}`.
#[utoipa::path(post, path = "/api/v1/traffic", tag = "site-analytics", security(("site_secret" = [])),
    params(
        ("url" = Option<String>, Query, description = "For a view in the query string, with the two below"),
        ("ip_addr" = Option<String>, Query),
        ("user_agent" = Option<String>, Query),
        ("timestamp" = Option<String>, Query, description = "ISO 8601; the time of arrival without it"),
        ("gpc" = Option<String>, Query, description = "1: the request said `Sec-GPC: 1`"),
        ("dnt" = Option<String>, Query, description = "1: the request said `DNT: 1`"),
        ("Idempotency-Key" = Option<String>, Header, description = "The same request again under it is stored once"),
    ),
    request_body(content = Option<Object>, description = "url, ip_address, user_agent, timestamp, gpc and dnt, or traffic"),
    responses((status = 200, description = "Stored; the body is empty"),
        (status = 400, description = "Nothing of it is stored; the text says why", content_type = "text/plain", body = String),
        (status = 401, description = "The bare Authorization header opens nothing"),
        (status = 408, description = "It comes too slowly for its size", body = Object),
        (status = 413, description = "Too large", body = Object),
        (status = 429, description = "Too many posts; see Retry-After", body = Object),
        (status = 503, description = "Too many wait, or the store is away; see Retry-After", body = Object)))]
fn traffic() {}
