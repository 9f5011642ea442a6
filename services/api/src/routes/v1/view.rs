//! An endpoint as JSON shows it.

use serde::Serialize;
use watchkeeper_store::{Endpoint, LastCheck, State, Uptime};

use crate::times::{percent, rfc3339};

/// State of an endpoint.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct EndpointView {
    /// Its number, as in the address of its page.
    #[serde(skip)]
    pub id: i64,
    pub uid: String,
    pub namespace: String,
    pub name: String,
    pub display_name: String,
    pub generation: i64,
    pub state: State,
    pub since: String,
    #[serde(skip)]
    pub since_ms: i64,
    /// Whether checks come; its state is `Unknown` otherwise.
    pub observed: bool,
    pub last_check: Option<CheckView>,
    pub uptime: UptimeView,
    /// The certificate that the last check was shown.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub certificate: Option<CertificateView>,
}

/// A certificate that a check was shown.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct CertificateView {
    pub not_after: String,
}

/// One check.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct CheckView {
    pub time: String,
    #[serde(skip)]
    pub time_ms: i64,
    pub ok: bool,
    pub status: Option<i32>,
    pub duration_ms: i64,
    pub message: Option<String>,
}

/// Percent of checks that were good.
#[derive(Debug, Serialize)]
pub(crate) struct UptimeView {
    #[serde(rename = "24h")]
    pub day: Option<String>,
    #[serde(rename = "7d")]
    pub week: Option<String>,
    #[serde(rename = "30d")]
    pub month: Option<String>,
}

impl EndpointView {
    /// The endpoint as it is to be told at `now`.
    pub fn new(endpoint: Endpoint, uptime: Uptime, now: i64) -> Self {
        let endpoint = endpoint.as_observed(now);
        Self {
            observed: endpoint.unobserved_since(now).is_none(),
            id: endpoint.id,
            uid: endpoint.uid,
            namespace: endpoint.namespace,
            name: endpoint.name,
            display_name: endpoint.spec.display_name,
            generation: endpoint.generation,
            state: endpoint.status.state,
            since: rfc3339(endpoint.status.since),
            since_ms: endpoint.status.since,
            certificate: endpoint
                .status
                .last_check
                .as_ref()
                .and_then(|check| check.certificate_expires_at)
                .map(|at| CertificateView { not_after: rfc3339(at) }),
            last_check: endpoint.status.last_check.map(CheckView::from),
            uptime: UptimeView {
                day: uptime.day.map(percent),
                week: uptime.week.map(percent),
                month: uptime.month.map(percent),
            },
        }
    }
}

impl From<LastCheck> for CheckView {
    fn from(check: LastCheck) -> Self {
        Self {
            time: rfc3339(check.at),
            time_ms: check.at,
            ok: check.ok,
            status: check.status,
            duration_ms: check.duration_us / 1_000,
            message: check.message,
        }
    }
}
