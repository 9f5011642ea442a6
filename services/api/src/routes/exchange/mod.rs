//! `/api/v1/export` and `/api/v1/import`: raw hits as files, streamed both ways.

pub(super) mod export;
pub(super) mod import;
mod pipe;

use axum::{Router, extract::DefaultBodyLimit, routing::post};

use utoipa::OpenApi;

use crate::Api;

/// Exports and imports.
#[derive(OpenApi)]
#[openapi(paths(export::get, export::post, import::import))]
pub(super) struct ExchangeDoc;

/// Largest body that asks for an export, bytes.
const BODY: usize = 256 << 10;

pub(super) fn router() -> Router<Api> {
    let export = Router::new()
        .route("/api/v1/export", post(export::post).get(export::get))
        .layer(DefaultBodyLimit::max(BODY));
    let import = Router::new()
        .route("/api/v1/import", post(import::import))
        // It has bounds of its own: on a row, on Parquet, and on time.
        .layer(DefaultBodyLimit::disable());
    export.merge(import)
}
