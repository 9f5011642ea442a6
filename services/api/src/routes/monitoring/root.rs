//! `/` for a program: what this is.

use http::HeaderMap;
use serde_json::{Map, Value, json};
use watchkeeper_runtime::VERSION;

use super::access::{MonitoringAccess, Wish, judge};
use crate::Api;

/// What upstream tells at `/`, for who may use its interface.
pub(in crate::routes) async fn about(api: &Api, headers: &HeaderMap) -> Option<Map<String, Value>> {
    judge(api, headers, Wish::Read).await.ok()?;
    let protected = !matches!(api.options.monitoring.access, MonitoringAccess::Everybody);
    let about = json!({
        "name": "API Monitor",
        "version": VERSION,
        "status": "running",
        "docs": "/docs",
        "health": "/health",
        "auth_enabled": protected,
    });
    about.as_object().cloned()
}
