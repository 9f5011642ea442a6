//! Watchkeeper's own dashboard: pages that the server draws whole, with a little script on top.

mod access;
mod annotations;
mod charts;
mod filters;
mod format;
mod forms;
mod lists;
mod live;
mod overview;
mod page;
mod panels;
mod settings;
mod shared;
mod shares;
mod shell;
mod sign_in;
mod table;
mod unlock;

use axum::{
    Router,
    extract::DefaultBodyLimit,
    middleware,
    routing::{delete, get, post},
};

use crate::Api;
pub(super) use annotations::AnnotationsDoc;
pub(super) use overview::title;
pub(crate) use shared::Shared;

/// Largest body of an annotation, bytes.
const NOTE: usize = 16 << 10;

pub(super) fn router() -> Router<Api> {
    let pages = Router::new()
        .route("/", get(overview::root))
        .route("/assets/{file}", get(shell::asset))
        .route("/login", get(sign_in::form).post(sign_in::sign_in))
        .route("/logout", post(sign_in::sign_out))
        .nest("/p/{project}", readable().merge(manageable()))
        .nest("/s/{share}", readable().route("/unlock", post(unlock::unlock)))
        .layer(middleware::from_fn(shell::guard));
    let notes = Router::new()
        .route("/api/v1/projects/{name}/annotations", get(annotations::list).post(annotations::post))
        .route("/api/v1/projects/{name}/annotations/{id}", delete(annotations::delete))
        .layer(DefaultBodyLimit::max(NOTE));
    pages.merge(notes)
}

/// What every reader of a project sees.
fn readable() -> Router<Api> {
    Router::new()
        .route("/", get(page::page))
        .route("/table/{listing}", get(table::table))
        .route("/live", get(live::page))
        .route("/live/events", get(live::events))
}

/// What only its owner and the administrator do.
fn manageable() -> Router<Api> {
    Router::new()
        .route("/settings", get(settings::page).post(settings::save))
        .route("/shares", post(shares::create))
        .route("/shares/{id}/revoke", post(shares::revoke))
        .route("/annotations", post(annotations::note))
        .route("/annotations/{id}/delete", post(annotations::forget))
}
