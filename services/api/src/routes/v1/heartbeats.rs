//! `/api/v1/heartbeats/{token}`: calls of endpoints that report by themselves.

use std::collections::HashMap;

use axum::{
    Json,
    extract::{Path, Query, State},
};
use http::StatusCode;
use serde_json::{Value, json};
use watchkeeper_runtime::error::ApiError;
use watchkeeper_store::LastCheck;

use crate::{
    Api,
    routes::{ErrorView, store_error},
};

/// Longest message kept, bytes.
const MAX_MESSAGE: usize = 1_024;

/// Longest token looked at, bytes.
const MAX_TOKEN: usize = 256;

/// Takes a call: the endpoint is well, or says why it is not. An answer of 200 means that the call is stored.
#[utoipa::path(
    method(get, post),
    path = "/api/v1/heartbeats/{token}",
    tag = "endpoints",
    params(
        ("token" = String, Path, description = "The endpoint's secret; knowing it is all that a caller needs"),
        ("status" = Option<String>, Query, description = "ok (or up), which it is when left out, or fail (or down)"),
        ("message" = Option<String>, Query, description = "What to show, at most 1,024 bytes; also as msg"),
        ("duration" = Option<f64>, Query, description = "How long the work took, milliseconds; also as ping"),
    ),
    responses(
        (status = 200, description = "Stored", body = Object, example = json!({ "ok": true })),
        (status = 400, description = "A parameter is at fault; it is named", body = ErrorView),
        (status = 404, description = "No endpoint has this token", body = ErrorView),
        (status = 503, description = "Not stored; call again", body = ErrorView),
    ),
)]
pub(crate) async fn push(
    State(api): State<Api>,
    Path(token): Path<String>,
    Query(query): Query<HashMap<String, String>>,
) -> Result<Json<Value>, ApiError> {
    let unknown = || ApiError::new(StatusCode::NOT_FOUND, "No endpoint has this token.");
    if token.len() > MAX_TOKEN {
        return Err(unknown());
    }
    let result = result(&query).map_err(|(field, message)| ApiError::bad_request(message).field(field))?;
    if api.store.push_heartbeat(&token, &result).await.map_err(|e| store_error(&e))? == 0 {
        return Err(unknown());
    }
    api.transitions.notify_waiters();
    Ok(Json(json!({ "ok": true })))
}

/// The check that a call is, but for its time, which the store knows.
fn result(query: &HashMap<String, String>) -> Result<LastCheck, (&'static str, String)> {
    let any =
        |names: [&str; 2]| names.iter().find_map(|name| query.get(*name)).filter(|text| !text.is_empty());
    let ok = match query.get("status").map(String::as_str) {
        None | Some("" | "ok" | "up") => true,
        Some("fail" | "down") => false,
        Some(other) => {
            let shown: String = other.chars().take(32).collect();
            return Err(("status", format!("`{shown}` is no status: write ok or fail")));
        }
    };
    let duration_us = match any(["duration", "ping"]) {
        None => 0,
        Some(text) => match text.parse::<f64>() {
            #[allow(clippy::cast_possible_truncation)] // bounded, and whole microseconds are meant
            Ok(ms) if (0.0..=1e12).contains(&ms) => (ms * 1_000.0) as i64,
            _ => return Err(("duration", "A duration is a number of milliseconds, such as 250.".into())),
        },
    };
    let message = any(["message", "msg"]).map(|text| {
        let end = text.floor_char_boundary(MAX_MESSAGE);
        text[..end].chars().map(|c| if c.is_control() { ' ' } else { c }).collect::<String>()
    });
    let message = message.or_else(|| (!ok).then(|| "the heartbeat says that it failed".to_owned()));
    Ok(LastCheck { ok, duration_us, message, ..LastCheck::default() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(pairs: &[(&str, &str)]) -> Result<LastCheck, (&'static str, String)> {
        result(&pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect())
    }

    #[test]
    fn a_call_says_how_it_went() {
        let good = read(&[]).expect("good");
        assert!(good.ok && good.message.is_none() && good.duration_us == 0);
        let bad = read(&[("status", "fail"), ("message", "disk\nfull"), ("duration", "1.5")]).expect("bad");
        assert_eq!((bad.ok, bad.message.as_deref(), bad.duration_us), (false, Some("disk full"), 1_500));
        let kuma = read(&[("status", "up"), ("msg", "OK"), ("ping", "")]).expect("as Uptime Kuma has it");
        assert_eq!((kuma.ok, kuma.message.as_deref()), (true, Some("OK")));
        let long = read(&[("message", &"é".repeat(2_000))]).expect("cut");
        assert!(long.message.expect("a message").len() <= MAX_MESSAGE);
    }

    #[test]
    fn what_is_wrong_is_named() {
        assert_eq!(read(&[("status", "fine")]).expect_err("unknown").0, "status");
        for bad in ["x", "-1", "NaN", "inf"] {
            assert_eq!(read(&[("duration", bad)]).expect_err(bad).0, "duration");
        }
    }
}
