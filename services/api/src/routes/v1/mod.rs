//! Watchkeeper's own interface: endpoints, their transitions, and projects.

pub(super) mod endpoints;
pub(super) mod projects;
pub(super) mod transitions;
mod view;

use axum::{
    Router,
    extract::DefaultBodyLimit,
    routing::{get, put},
};

use utoipa::OpenApi;

use crate::Api;

/// Endpoints, transitions and projects.
#[derive(OpenApi)]
#[openapi(paths(
    endpoints::list,
    endpoints::put,
    endpoints::delete,
    transitions::after,
    projects::list,
    projects::put,
    projects::delete,
    projects::settings,
    projects::put_settings,
))]
pub(super) struct V1Doc;

/// Largest body of an administrator, bytes: a specification may have a body of 64 KiB and 64 headers of 8 KiB.
const BODY: usize = 1 << 20;

pub(super) fn router() -> Router<Api> {
    Router::new()
        .route("/api/v1/endpoints", get(endpoints::list))
        .route("/api/v1/endpoints/{uid}", put(endpoints::put).delete(endpoints::delete))
        .route("/api/v1/transitions", get(transitions::after))
        .route("/api/v1/projects", get(projects::list))
        .route("/api/v1/projects/{name}", put(projects::put).delete(projects::delete))
        .route("/api/v1/projects/{name}/settings", get(projects::settings).put(projects::put_settings))
        .layer(DefaultBodyLimit::max(BODY))
}

pub(super) use view::EndpointView;
