//! api-monitoring-system's interface: endpoints by number, their past, and its health pages, with its
//! paths, shapes and statuses.

mod access;
mod definition;
mod endpoints;
mod fields;
mod health;
mod moment;
mod past;
mod problem;
mod query;
mod request_id;
mod root;
mod stats;
mod view;

use axum::{
    Router,
    extract::DefaultBodyLimit,
    middleware,
    routing::{get, post, put},
};
use http::{HeaderName, HeaderValue, Method};
use tower_http::cors::{AllowHeaders, AllowMethods, AllowOrigin, CorsLayer};
use utoipa::OpenApi;
use watchkeeper_store::AlertSpec;

pub use access::MonitoringAccess;
pub use definition::MonitoringEndpoint;
pub use problem::FieldProblem;
pub(super) use root::about;

use crate::Api;

/// How the monitoring interface behaves.
#[derive(Debug, Clone, Default)]
pub struct MonitoringOptions {
    /// Who may use it.
    pub access: MonitoringAccess,
    /// Who is told of endpoints that are made through it.
    pub alerts: AlertSpec,
    /// Which pages of other sites may use it; none without.
    pub cors: Option<Cors>,
}

/// What browsers let pages of other sites do; `*` in a list means everything.
#[derive(Debug, Clone)]
pub struct Cors {
    /// Origins, such as `https://status.example`.
    pub origins: Vec<String>,
    /// Whether they may send cookies.
    pub credentials: bool,
    /// Methods that they may use.
    pub methods: Vec<String>,
    /// Headers that they may send.
    pub headers: Vec<String>,
}

/// What the interface remembers while the process lives.
#[derive(Debug, Default)]
pub(crate) struct Shared {
    pub requests: crate::limits::Requests,
}

/// api-monitoring-system's routes.
#[derive(OpenApi)]
#[openapi(
    paths(
        endpoints::list,
        endpoints::create,
        endpoints::get,
        endpoints::put,
        endpoints::delete,
        endpoints::check,
        stats::uptime,
        stats::history,
        stats::incidents,
        stats::summary,
        health::health,
        health::breakers,
        health::reset,
        health::reset_all,
        health::certificates,
    ),
    components(schemas(view::EndpointBody))
)]
pub(super) struct MonitoringDoc;

/// Largest body: a specification of the operator's may have a body of 64 KiB and 64 headers of 8 KiB.
const BODY: usize = 1 << 20;

pub(super) fn router(api: &Api) -> Router<Api> {
    let router = Router::new()
        .route("/api/v1/endpoints", get(endpoints::list).post(endpoints::create))
        .route("/api/v1/endpoints/{id}", put(endpoints::put).get(endpoints::get).delete(endpoints::delete))
        .route("/api/v1/endpoints/{id}/check", post(endpoints::check))
        .route("/api/v1/stats/uptime/{id}", get(stats::uptime))
        .route("/api/v1/stats/history/{id}", get(stats::history))
        .route("/api/v1/stats/incidents/{id}", get(stats::incidents))
        .route("/api/v1/stats/summary", get(stats::summary))
        .route("/health", get(health::health))
        .route("/health/circuit-breakers", get(health::breakers))
        .route("/health/circuit-breakers/{name}/reset", post(health::reset))
        .route("/health/circuit-breakers/reset-all", post(health::reset_all))
        .route("/health/ssl", get(health::certificates))
        .layer(DefaultBodyLimit::max(BODY))
        .layer(middleware::from_fn(request_id::tell));
    match api.options.monitoring.cors.as_ref().map(layer) {
        Some(cors) => router.layer(cors),
        None => router,
    }
}

fn layer(cors: &Cors) -> CorsLayer {
    let every = |list: &[String]| list.iter().any(|one| one == "*");
    let origins = if every(&cors.origins) {
        // Browsers take no `*` together with cookies, so the origin that asks is named.
        if cors.credentials { AllowOrigin::mirror_request() } else { AllowOrigin::any() }
    } else {
        AllowOrigin::list(cors.origins.iter().filter_map(|origin| origin.parse::<HeaderValue>().ok()))
    };
    let methods = if every(&cors.methods) {
        AllowMethods::mirror_request()
    } else {
        AllowMethods::list(cors.methods.iter().filter_map(|method| method.parse::<Method>().ok()))
    };
    let headers = if every(&cors.headers) {
        AllowHeaders::mirror_request()
    } else {
        AllowHeaders::list(cors.headers.iter().filter_map(|header| header.parse::<HeaderName>().ok()))
    };
    CorsLayer::new()
        .allow_origin(origins)
        .allow_credentials(cors.credentials)
        .allow_methods(methods)
        .allow_headers(headers)
}
