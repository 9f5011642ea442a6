//! Watchkeeper's own interface: endpoints, their transitions, and projects.

pub(super) mod endpoints;
mod projects;
mod transitions;
mod view;

use axum::{
    Router,
    extract::DefaultBodyLimit,
    routing::{get, put},
};

use crate::Api;

/// Largest body of an administrator, bytes: a specification may have a body of 64 KiB and 64 headers of 8 KiB.
const BODY: usize = 1 << 20;

pub(super) fn router() -> Router<Api> {
    Router::new()
        .route("/api/v1/endpoints", get(endpoints::list))
        .route("/api/v1/endpoints/{uid}", put(endpoints::put).delete(endpoints::delete))
        .route("/api/v1/transitions", get(transitions::after))
        .route("/api/v1/projects/{name}", put(projects::put).delete(projects::delete))
        .layer(DefaultBodyLimit::max(BODY))
}

pub(super) use view::EndpointView;
