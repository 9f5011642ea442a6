//! `GET /api/v1/transitions`: who asks waits until something has changed.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use axum::{
    Json,
    extract::{Query, State},
};
use serde_json::{Value, json};
use watchkeeper_crds::durations;
use watchkeeper_runtime::error::ApiError;
use watchkeeper_store::now_ms;

use super::EndpointView;
use crate::{
    Api,
    auth::Admin,
    routes::{ErrorView, store_error},
};

/// Longest wait: less than the time that any answer may take.
const LONGEST: Duration = Duration::from_secs(30);

/// Time between looks at the store, which other processes write to.
const LOOK: Duration = Duration::from_millis(500);

/// Tells the endpoints whose state changed after `after`, waiting up to `wait` for the first.
#[utoipa::path(
    get,
    path = "/api/v1/transitions",
    tag = "endpoints",
    params(
        ("after" = Option<String>, Query, description = "Cursor of an earlier answer; everything without one"),
        ("wait" = Option<String>, Query, description = "Longest wait, such as 30s, which is the longest"),
    ),
    responses(
        (status = 200, description = "The endpoints, and the cursor to go on from", body = Object),
        (status = 400, description = "A parameter is at fault; it is named", body = ErrorView),
        (status = 401, description = "Not the administrator", body = ErrorView),
    ),
    security(("admin" = []), ("admin_basic" = [])),
)]
pub(crate) async fn after(
    _: Admin,
    State(api): State<Api>,
    Query(query): Query<HashMap<String, String>>,
) -> Result<Json<Value>, ApiError> {
    let mut after: i64 = match query.get("after") {
        None => 0,
        Some(text) => text.parse().map_err(|_| {
            ApiError::bad_request("after must be a cursor of an earlier answer.").field("after")
        })?,
    };
    let wait = match query.get("wait") {
        None => Duration::ZERO,
        Some(text) => durations::parse(text)
            .map_err(|e| ApiError::bad_request(e.to_string()).field("wait"))?
            .min(LONGEST),
    };
    let deadline = Instant::now() + wait;
    let changed = loop {
        let notified = api.transitions.notified();
        let last = api.store.last_transition().await.map_err(|e| store_error(&e))?;
        if last != after {
            // A cursor ahead of the store is from before the store was restored: tell everything again.
            let from = if after > last { 0 } else { after };
            let changed = api.store.transitions_after(from).await.map_err(|e| store_error(&e))?;
            // Also past what is told of nobody, because its endpoint has gone.
            after = changed.last().map_or(last, |endpoint| endpoint.transition.max(last));
            if !changed.is_empty() {
                break changed;
            }
        }
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            break Vec::new();
        }
        tokio::select! {
            () = notified => {}
            () = tokio::time::sleep(left.min(LOOK)) => {}
        }
    };
    let now = now_ms();
    let mut transitions = Vec::with_capacity(changed.len());
    for endpoint in changed {
        let uptime = api.store.uptime(endpoint.project, endpoint.id, now).await;
        transitions.push(EndpointView::new(endpoint, uptime.map_err(|e| store_error(&e))?, now));
    }
    Ok(Json(json!({ "transitions": transitions, "cursor": after.to_string() })))
}
