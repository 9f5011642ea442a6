//! api-monitoring-system's interface: endpoints by number, their past, and its health pages, with its
//! paths, shapes and statuses.

mod access;
mod cors;
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
use utoipa::OpenApi;
use watchkeeper_runtime::http::not_found;
use watchkeeper_store::AlertSpec;

pub use access::MonitoringAccess;
pub use cors::Cors;
pub use definition::MonitoringEndpoint;
pub use problem::FieldProblem;
pub(super) use request_id::identify;
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
    match api.options.monitoring.cors.as_ref().map(Cors::layer) {
        // A preflight is of no method that a route has, and is answered where that is.
        Some(cors) => router.method_not_allowed_fallback(not_found).layer(cors),
        None => router,
    }
}
