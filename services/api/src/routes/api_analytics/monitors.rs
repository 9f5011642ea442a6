//! The monitor: URLs that a user watches, at most three a key.

use std::collections::BTreeMap;

use axum::{
    Json,
    extract::{Path, State},
    response::{IntoResponse, Response},
};
use http::{HeaderValue, StatusCode, header::CONTENT_TYPE};
use serde::{Deserialize, Serialize, Serializer, de::DeserializeOwned, ser::SerializeMap};
use serde_json::{Map, Value, json};
use url::Url;
use watchkeeper_runtime::error::ApiError;
use watchkeeper_store::{
    AddOutcome, DAY_MS, EndpointSpec, HttpProbe, LastCheck, NewEndpoint, Origin, Probe, Project, now_ms,
};

use super::{by_user, refuse, store_error};
use crate::{
    Api,
    answers::Text,
    routes::{ErrorView, aside, is_plain, payload::Payload},
    times::rfc3339,
};

/// How long pings are shown: upstream deletes older ones.
const SHOWN: i64 = 60 * DAY_MS;
/// Longest URL, bytes.
const URL_LIMIT: usize = 255;

#[derive(Deserialize)]
struct Add {
    #[serde(default)]
    user_id: String,
    #[serde(default)]
    url: String,
    #[serde(default)]
    secure: bool,
    #[serde(default)]
    ping: bool,
}

#[derive(Deserialize)]
struct Delete {
    #[serde(default)]
    user_id: String,
    #[serde(default)]
    url: String,
}

/// `GET /api/monitor/pings/{user}`: for each URL its results, oldest first. One
/// without an answer has status 0, which the dashboard shows as "No response".
#[utoipa::path(
    get,
    path = "/api/monitor/pings/{user}",
    tag = "api-analytics",
    params(("user" = String, Path, description = "User id")),
    responses(
        (status = 200, description = "Results by URL", body = Object),
        (status = 400, description = "Refused; the message says why", body = ErrorView),
    ),
)]
pub(crate) async fn pings(State(api): State<Api>, Path(user): Path<String>) -> Result<Response, ApiError> {
    let Some(project) = by_user(&api, &user).await? else { return Ok(Json(json!({})).into_response()) };
    let _room = api.rooms.enter(project.id).await.map_err(|e| ApiError::internal(&e))?;
    let mut urls = BTreeMap::new();
    let endpoints = api.store.endpoints_of(project.id).await.map_err(|e| store_error(&e))?;
    for endpoint in endpoints.into_iter().filter(|endpoint| endpoint.origin == Origin::Monitor) {
        let checks = api.store.checks(project.id, endpoint.id, now_ms() - SHOWN).await;
        let checks = checks.map_err(|e| store_error(&e))?;
        urls.insert(endpoint.name, checks.iter().map(Ping::of).collect::<Vec<_>>());
    }
    let text = aside(move || Text::json(&urls).map_err(ApiError::from)).await?;
    let body = api.answers.hold(project.id, text.into_bytes()).await?;
    Ok(([(CONTENT_TYPE, HeaderValue::from_static("application/json"))], body).into_response())
}

/// One result. There may be a quarter of a million of them, and so their texts are made one at a time.
struct Ping {
    at: i64,
    milliseconds: i64,
    status: i32,
}

impl Ping {
    fn of(check: &LastCheck) -> Self {
        let status = check.status.unwrap_or_default();
        Self { at: check.at, milliseconds: check.duration_us / 1_000, status }
    }
}

impl Serialize for Ping {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(3))?;
        map.serialize_entry("response_time", &self.milliseconds)?;
        map.serialize_entry("status", &self.status)?;
        map.serialize_entry("created_at", &rfc3339(self.at))?;
        map.end()
    }
}

/// Adds a monitor, whatever the content type says.
#[utoipa::path(
    post,
    path = "/api/monitor/add",
    tag = "api-analytics",
    request_body(content = Object, example = json!({
        "user_id": "00000000-0000-4000-8000-000000000002", "url": "shop.example", "secure": true, "ping": false,
    })),
    responses(
        (status = 201, description = "It is watched from now on", body = Object),
        (status = 400, description = "Refused; the message says why", body = ErrorView),
        (status = 409, description = "It is watched already", body = ErrorView),
    ),
)]
pub(crate) async fn add(State(api): State<Api>, Payload(body): Payload) -> Result<Response, ApiError> {
    let add: Add = parse(&body)?;
    let project = owner(&api, &add.user_id).await?;
    let target =
        target(&add.url, add.secure).filter(|_| is_plain(&add.url)).ok_or_else(|| refuse("Invalid data."))?;
    let endpoint = NewEndpoint {
        uid: uid(&project, &add.url),
        origin: Origin::Monitor,
        project: project.id,
        namespace: String::new(),
        name: add.url.clone(),
        generation: 1,
        // The probe's 2xx is what the dashboard paints green.
        spec: EndpointSpec::new(
            add.url,
            Probe::Http(HttpProbe {
                method: if add.ping { "HEAD" } else { "GET" }.into(),
                head_falls_back_to_get: add.ping,
                ..HttpProbe::new(target)
            }),
        ),
    };
    let limit = api.options.monitors_per_project;
    match api.store.add_endpoint(&endpoint, limit).await.map_err(|e| store_error(&e))? {
        AddOutcome::Exists => Err(ApiError::new(StatusCode::CONFLICT, "Monitor already exists.")),
        AddOutcome::Full => Err(refuse("Monitor limit reached.")),
        AddOutcome::Added => {
            api.endpoints_changed();
            Ok(created("New monitor created successfully."))
        }
    }
}

/// Deletes a monitor; also one that is not there.
#[utoipa::path(
    post,
    path = "/api/monitor/delete",
    tag = "api-analytics",
    request_body(content = Object, example = json!({
        "user_id": "00000000-0000-4000-8000-000000000002", "url": "shop.example",
    })),
    responses(
        (status = 201, description = "It is not watched any more", body = Object),
        (status = 400, description = "Refused; the message says why", body = ErrorView),
    ),
)]
pub(crate) async fn delete(State(api): State<Api>, Payload(body): Payload) -> Result<Response, ApiError> {
    let delete: Delete = parse(&body)?;
    let project = owner(&api, &delete.user_id).await?;
    // By its URL, not by a uid made of it: a monitor may have come from another project with its key.
    let own = api.store.endpoints_of(project.id).await.map_err(|e| store_error(&e))?;
    for monitor in own.iter().filter(|own| own.origin == Origin::Monitor && own.name == delete.url) {
        api.store.delete_endpoint(&monitor.uid).await.map_err(|e| store_error(&e))?;
    }
    api.endpoints_changed();
    Ok(created("Monitor deleted successfully."))
}

fn created(message: &str) -> Response {
    (StatusCode::CREATED, Json(json!({ "message": message, "status": 201 }))).into_response()
}

fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T, ApiError> {
    // By way of an object: a list of the right values is none.
    serde_json::from_slice::<Map<String, Value>>(body)
        .and_then(|object| serde_json::from_value(Value::Object(object)))
        .map_err(|_| refuse("Invalid request body."))
}

async fn owner(api: &Api, user: &str) -> Result<Project, ApiError> {
    if user.is_empty() {
        return Err(refuse("User ID required."));
    }
    match by_user(api, user).await {
        Ok(Some(project)) => Ok(project),
        Ok(None) => Err(refuse("Invalid data.")),
        Err(error) if error.status == StatusCode::BAD_REQUEST => Err(refuse("Invalid data.")),
        Err(error) => Err(error),
    }
}

fn uid(project: &Project, url: &str) -> String {
    format!("monitor/{}/{url}", project.id.0)
}

/// What to ask for a URL as people type it: without a scheme, `secure` decides.
fn target(text: &str, secure: bool) -> Option<Url> {
    if text.len() > URL_LIMIT {
        return None;
    }
    let full = if text.contains("://") {
        text.to_owned()
    } else {
        format!("{}://{text}", if secure { "https" } else { "http" })
    };
    let url = Url::parse(&full).ok()?;
    (matches!(url.scheme(), "http" | "https") && url.has_host()).then_some(url)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_gets_its_scheme_from_secure_unless_it_has_one() {
        let text = |url, secure| target(url, secure).map(String::from);
        assert_eq!(text("example.com/a", true).as_deref(), Some("https://example.com/a"));
        assert_eq!(text("example.com", false).as_deref(), Some("http://example.com/"));
        assert_eq!(text("http://example.com", true).as_deref(), Some("http://example.com/"));
        for bad in ["", "ftp://a", "http://", "file:///etc/passwd", &"a".repeat(256)] {
            assert_eq!(text(bad, true), None, "{bad}");
        }
    }
}
