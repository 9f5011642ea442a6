//! Watchkeeper's own dashboard: pages that the server draws whole, with a little script on top.

mod access;
mod activity;
mod annotations;
mod charts;
mod filters;
mod format;
mod forms;
mod hits;
mod lists;
mod live;
mod monitors;
mod notices;
mod overview;
mod page;
mod panels;
mod projects;
mod requests;
mod settings;
mod shared;
mod shares;
mod shell;
mod sign_in;
mod status;
mod table;
mod unlock;

use axum::{
    Router,
    extract::DefaultBodyLimit,
    middleware,
    routing::{delete, get, post, put},
};

use crate::Api;
pub(super) use annotations::AnnotationsDoc;
pub(super) use overview::title;
pub(crate) use shared::Shared;
pub(super) use status::api::StatusPagesDoc;

/// Largest body of an annotation, bytes.
const NOTE: usize = 16 << 10;

/// Largest body about a status page, bytes: it may name 2,000 endpoints.
const STATUS: usize = 512 << 10;

pub(super) fn router() -> Router<Api> {
    let pages = Router::new()
        .route("/", get(overview::root))
        .route("/assets/{file}", get(shell::asset))
        .route("/login", get(sign_in::form).post(sign_in::sign_in))
        .route("/logout", post(sign_in::sign_out))
        .route("/monitors", get(monitors::list::page))
        .route("/monitors/{id}", get(monitors::detail::page))
        .route("/monitors/{id}/badge", post(monitors::detail::switch_badge))
        .route("/notices", get(notices::page))
        .route("/notices/retry", post(notices::retry_all))
        .route("/notices/{id}/retry", post(notices::retry))
        .nest("/status-pages", status_pages())
        .nest("/p/{project}", readable().merge(manageable()))
        .nest("/s/{share}", readable().route("/unlock", post(unlock::unlock)))
        .layer(middleware::from_fn(shell::guard));
    let notes = Router::new()
        .route("/api/v1/projects/{name}/annotations", get(annotations::list).post(annotations::post))
        .route("/api/v1/projects/{name}/annotations/{id}", delete(annotations::delete))
        .layer(DefaultBodyLimit::max(NOTE));
    pages.merge(notes).merge(public()).merge(status_api())
}

/// What everybody sees: status pages and badges.
fn public() -> Router<Api> {
    Router::new()
        .route("/status/{slug}", get(status::public::page))
        .route("/status/{slug}/{part}", get(status::public::part))
        .route("/status/{slug}/incidents/{id}", get(status::public::incident))
        .route("/badges/{id}/{file}", get(monitors::badges::badge))
        .layer(middleware::from_fn(shell::public_guard))
}

/// The forms of status pages.
fn status_pages() -> Router<Api> {
    use status::{forms, incidents};
    Router::new()
        .route("/", get(forms::list).post(forms::create))
        .route("/{slug}", get(forms::edit).post(forms::save))
        .route("/{slug}/delete", post(forms::delete))
        .route("/{slug}/incidents", post(incidents::post))
        .route("/{slug}/incidents/{id}", get(incidents::page).post(incidents::save))
        .route("/{slug}/incidents/{id}/updates", post(incidents::tell))
        .route("/{slug}/incidents/{id}/delete", post(incidents::delete))
}

/// The same as JSON.
fn status_api() -> Router<Api> {
    use status::api;
    Router::new()
        .route("/api/v1/status-pages", get(api::list))
        .route("/api/v1/status-pages/{slug}", get(api::get).put(api::put).delete(api::delete))
        .route("/api/v1/status-pages/{slug}/incidents", get(api::posts).post(api::post))
        .route("/api/v1/status-pages/{slug}/incidents/{id}", get(api::one).delete(api::take_back))
        .route("/api/v1/status-pages/{slug}/incidents/{id}/updates", post(api::tell))
        .route("/api/v1/badges/{id}", put(api::show_badge).delete(api::hide_badge))
        .layer(DefaultBodyLimit::max(STATUS))
}

/// What every reader of a project sees.
fn readable() -> Router<Api> {
    Router::new()
        .route("/", get(page::page))
        .route("/table/{listing}", get(table::table))
        .route("/requests", get(requests::page))
        .route("/live", get(live::page))
        .route("/live/events", get(live::events))
}

/// What only its owner and the administrator do.
fn manageable() -> Router<Api> {
    Router::new()
        .route("/requests.csv", get(requests::csv))
        .route("/settings", get(settings::page).post(settings::save))
        .route("/shares", post(shares::create))
        .route("/shares/{id}/revoke", post(shares::revoke))
        .route("/annotations", post(annotations::note))
        .route("/annotations/{id}/delete", post(annotations::forget))
}
