//! Endpoints and checks as this interface shows them.

use serde::Serialize;
use serde_json::{Map, Value, json};
use utoipa::ToSchema;
use watchkeeper_store::{Endpoint, EndpointSpec, LastCheck, Origin};

use super::{
    definition::MonitoringEndpoint,
    past::{error_text, response_time},
};
use crate::times::rfc3339;

/// What stands for the value of a header that only its declaration tells.
const HIDDEN: &str = "***";

/// An endpoint.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct EndpointBody {
    /// Number in this installation.
    id: i64,
    /// Name; the manifest's for what a manifest declares.
    #[schema(example = "shop")]
    name: String,
    /// What is asked.
    #[schema(example = "https://shop.example/health")]
    url: String,
    /// Method, upper case; the kind of probe where it is not HTTP.
    #[schema(example = "GET")]
    method: String,
    /// Seconds from one check to the next.
    #[schema(example = 60)]
    interval: u32,
    /// Seconds that one attempt may take.
    #[schema(example = 5)]
    timeout: u32,
    /// The status that counts as success.
    #[schema(example = 200)]
    expected_status: u16,
    /// Headers to send. Values that a manifest declares are not told.
    #[schema(value_type = Option<Object>)]
    headers: Option<Map<String, Value>>,
    /// JSON to send with POST, PUT and PATCH. What a manifest declares is not told.
    #[schema(value_type = Option<Object>)]
    body: Option<Map<String, Value>>,
    /// Whether it is checked.
    is_active: bool,
    /// When it was made.
    created_at: String,
    /// When its definition last changed.
    updated_at: String,
}

impl EndpointBody {
    /// What is told of an endpoint; `trusted` callers also learn the headers and the body that came
    /// through this interface.
    pub fn new(endpoint: &Endpoint, trusted: bool) -> Self {
        let mut told = MonitoringEndpoint::of(&endpoint.name, &endpoint.spec);
        if endpoint.origin != Origin::Api || !trusted {
            told.body = None;
            for value in told.headers.iter_mut().flat_map(Map::values_mut) {
                *value = HIDDEN.into();
            }
        }
        Self {
            id: endpoint.id,
            name: told.name,
            url: told.url,
            method: told.method,
            interval: told.interval,
            timeout: told.timeout,
            expected_status: told.expected_status,
            headers: told.headers,
            body: told.body,
            is_active: told.is_active,
            created_at: rfc3339(endpoint.created_at),
            updated_at: rfc3339(endpoint.updated_at),
        }
    }
}

/// One check of a history. Its number is its moment: an endpoint has no two checks in one millisecond.
pub(super) fn check(endpoint: &Endpoint, check: &LastCheck) -> Value {
    json!({
        "id": check.at,
        "endpoint_id": endpoint.id,
        "status_code": check.status,
        "response_time": response_time(check),
        "success": check.ok,
        "error_message": error_text(check, &endpoint.spec),
        "checked_at": rfc3339(check.at),
    })
}

/// A check that was just made.
pub(super) fn outcome(endpoint: i64, spec: &EndpointSpec, check: &LastCheck) -> Value {
    json!({
        "endpoint_id": endpoint,
        "success": check.ok,
        "status_code": check.status,
        "response_time": response_time(check),
        "error_message": error_text(check, spec),
        "checked_at": rfc3339(check.at),
    })
}
