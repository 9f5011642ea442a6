//! Watchkeeper's own interface: endpoints, their transitions, and projects. The paths of endpoints
//! are in `monitoring`, which shares them.

pub(super) mod endpoints;
pub(super) mod heartbeats;
pub(super) mod notices;
pub(super) mod notifications;
pub(super) mod projects;
pub(super) mod transitions;
mod view;

use axum::{
    Router,
    extract::DefaultBodyLimit,
    routing::{get, post, put},
};

use utoipa::OpenApi;

use crate::Api;

/// Endpoints, transitions and projects.
#[derive(OpenApi)]
#[openapi(paths(
    heartbeats::push,
    transitions::after,
    notifications::get,
    notifications::put,
    notices::list,
    notices::get,
    notices::retry,
    notices::test,
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
        .route("/api/v1/heartbeats/{token}", get(heartbeats::push).post(heartbeats::push))
        .route("/api/v1/transitions", get(transitions::after))
        .route("/api/v1/notifications", get(notifications::get).put(notifications::put))
        .route("/api/v1/notices", get(notices::list))
        .route("/api/v1/notices/{id}", get(notices::get))
        .route("/api/v1/notices/{id}/retry", post(notices::retry))
        .route("/api/v1/channels/{name}/test", post(notices::test))
        .route("/api/v1/projects", get(projects::list))
        .route("/api/v1/projects/{name}", put(projects::put).delete(projects::delete))
        .route("/api/v1/projects/{name}/settings", get(projects::settings).put(projects::put_settings))
        .layer(DefaultBodyLimit::max(BODY))
}

pub(super) use view::EndpointView;
