//! `/api/v1/projects`: all projects, and those that an administrator names, gives a key and settings.

use std::collections::HashMap;

use axum::{
    Json,
    extract::{Path, Query, State},
    response::{IntoResponse, Response},
};
use http::{HeaderMap, StatusCode};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use utoipa::ToSchema;
use uuid::Uuid;
use watchkeeper_crds::durations;
use watchkeeper_runtime::error::ApiError;
use watchkeeper_store::{DAY_MS, ListedProject, ProjectSettings, StoreError};

use crate::{
    Api,
    auth::{self, Admin, Need},
    routes::{ErrorView, is_plain, payload::Payload, query::node::Node, store_error},
    times::rfc3339,
};

/// Projects of one list at most.
const PROJECTS: i64 = 10_000;

/// A project as the list shows it.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ProjectView {
    /// Number in this installation.
    id: i64,
    /// Name given by an administrator.
    name: Option<String>,
    /// Capability to read the project.
    #[schema(value_type = String)]
    user_id: Uuid,
    /// When it was made.
    created_at: String,
    /// Hits, sealed or not.
    hits: i64,
    /// When its last hit happened.
    last_seen: Option<String>,
    /// When its dashboard was last read.
    last_accessed: Option<String>,
    settings: SettingsView,
}

/// All projects.
#[derive(Serialize, ToSchema)]
pub(crate) struct Projects {
    projects: Vec<ProjectView>,
}

/// What a project wants beyond what the installation demands: the stricter of both holds.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct SettingsView {
    /// How long its hits are kept, in whole days, such as `90d`; without it as long as the installation says.
    #[schema(example = "90d")]
    retention_hits: Option<String>,
    /// Least privacy of its hits: 0 keeps address and country, 1 the country alone, 2 neither.
    #[schema(minimum = 0, maximum = 2, example = 1)]
    privacy_level: Option<u8>,
    /// Whether hits that say `gpc` or `dnt` lose address, user and visitor.
    #[schema(example = true)]
    honor_gpc: bool,
}

impl From<ProjectSettings> for SettingsView {
    fn from(settings: ProjectSettings) -> Self {
        Self {
            retention_hits: settings.retention_hits.map(|age| format!("{}d", age.as_secs() / 86_400)),
            privacy_level: settings.privacy_level,
            honor_gpc: settings.honor_gpc,
        }
    }
}

impl From<ListedProject> for ProjectView {
    fn from(ListedProject { project, hits, last_hit }: ListedProject) -> Self {
        Self {
            id: project.id.0,
            name: project.name,
            user_id: project.user_id,
            created_at: rfc3339(project.created_at),
            hits,
            last_seen: last_hit.map(rfc3339),
            last_accessed: project.last_accessed.map(rfc3339),
            settings: project.settings.into(),
        }
    }
}

/// Lists all projects, the newest first.
#[utoipa::path(
    get,
    path = "/api/v1/projects",
    tag = "projects",
    params(("limit" = Option<i64>, Query, description = "Projects at most, 1 to 10,000; 1,000 without it")),
    responses(
        (status = 200, description = "The projects", body = Projects),
        (status = 401, description = "Not the administrator", body = ErrorView),
        (status = 422, description = "A field is at fault; it is named", body = ErrorView),
    ),
    security(("admin" = []), ("admin_basic" = [])),
)]
pub(crate) async fn list(
    _: Admin,
    State(api): State<Api>,
    Query(query): Query<HashMap<String, String>>,
) -> Result<Json<Projects>, ApiError> {
    let limit = match query.get("limit").map(|text| text.parse()) {
        None => 1_000,
        Some(Ok(limit @ 1..=PROJECTS)) => limit,
        Some(_) => {
            let message = format!("Must be a whole number from 1 to {PROJECTS}.");
            return Err(ApiError::new(StatusCode::UNPROCESSABLE_ENTITY, message).field("limit"));
        }
    };
    let projects = api.store.list_projects(limit).await.map_err(|e| store_error(&e))?;
    let projects: Vec<_> = projects.into_iter().map(ProjectView::from).collect();
    Ok(Json(Projects { projects }))
}

/// Tells the settings of a project.
#[utoipa::path(
    get,
    path = "/api/v1/projects/{name}/settings",
    tag = "projects",
    params(("name" = String, Path, description = "Name, id or user id of the project")),
    responses(
        (status = 200, description = "The settings", body = SettingsView),
        (status = 401, description = "No credential that counts", body = ErrorView),
        (status = 403, description = "The key is another project's", body = ErrorView),
        (status = 404, description = "There is no such project", body = ErrorView),
    ),
    security(("admin" = []), ("project_key" = []), ("project_x_api_key" = [])),
)]
pub(crate) async fn settings(
    State(api): State<Api>,
    Path(name): Path<String>,
    headers: HeaderMap,
) -> Result<Json<SettingsView>, ApiError> {
    let project = auth::project(&api, &headers, Some(&name), Need::Write).await?;
    Ok(Json(project.settings.into()))
}

/// Sets the settings of a project: all of them; what is left out is not wanted any more.
#[utoipa::path(
    put,
    path = "/api/v1/projects/{name}/settings",
    tag = "projects",
    params(("name" = String, Path, description = "Name, id or user id of the project")),
    request_body = SettingsView,
    responses(
        (status = 200, description = "The settings as they are now", body = SettingsView),
        (status = 400, description = "The body is not JSON", body = ErrorView),
        (status = 401, description = "Not the administrator", body = ErrorView),
        (status = 404, description = "There is no such project", body = ErrorView),
        (status = 422, description = "A field is at fault; it is named", body = ErrorView),
    ),
    security(("admin" = []), ("admin_basic" = [])),
)]
pub(crate) async fn put_settings(
    _: Admin,
    State(api): State<Api>,
    Path(name): Path<String>,
    headers: HeaderMap,
    Payload(body): Payload,
) -> Result<Json<SettingsView>, ApiError> {
    let project = auth::project(&api, &headers, Some(&name), Need::Write).await?;
    let body: Value = serde_json::from_slice(&body)
        .map_err(|error| ApiError::bad_request(format!("The body must be JSON: {error}.")).field("body"))?;
    let body = Node::root(&body).object(&["retentionHits", "privacyLevel", "honorGpc"])?;
    let retention_hits = match body.get("retentionHits") {
        None => None,
        Some(node) => {
            let age = durations::parse(node.text()?).map_err(|error| node.fail(error.to_string()))?;
            let day = u128::from(DAY_MS.unsigned_abs());
            if age.is_zero() || !age.as_millis().is_multiple_of(day) {
                return Err(node.fail("Must be whole days, such as 90d: hits are dropped by the day."));
            }
            Some(age)
        }
    };
    let level = body.get("privacyLevel").map(|node| node.integer(0..=2)).transpose()?;
    let settings = ProjectSettings {
        retention_hits,
        privacy_level: level.and_then(|level| u8::try_from(level).ok()),
        honor_gpc: body.get("honorGpc").map_or(Ok(false), |node| node.flag())?,
    };
    api.store.set_project_settings(project.id, settings).await.map_err(|e| store_error(&e))?;
    Ok(Json(settings.into()))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Put {
    key: Uuid,
}

/// Gives the project of this name a key; the project is made if need be.
#[utoipa::path(
    put,
    path = "/api/v1/projects/{name}",
    tag = "projects",
    params(("name" = String, Path, description = "Name of the project")),
    request_body(content = Object, example = json!({ "key": "00000000-0000-4000-8000-000000000001" })),
    responses(
        (status = 200, description = "The project has this key already", body = Object, example = json!({ "changed": false })),
        (status = 201, description = "The project has this key now", body = Object, example = json!({ "changed": true })),
        (status = 401, description = "Not the administrator", body = ErrorView),
        (status = 409, description = "Another project has this key", body = ErrorView),
        (status = 422, description = "A field is at fault; it is named", body = ErrorView),
    ),
    security(("admin" = []), ("admin_basic" = [])),
)]
pub(crate) async fn put(
    _: Admin,
    State(api): State<Api>,
    Path(name): Path<String>,
    Payload(body): Payload,
) -> Result<Response, ApiError> {
    // The parser's own message could repeat the key.
    let put: Put = serde_json::from_slice(&body).map_err(|_| {
        ApiError::new(StatusCode::UNPROCESSABLE_ENTITY, "The body must be {\"key\": \"<uuid>\"}.")
            .field("key")
    })?;
    if name.is_empty() || name.len() > 255 {
        let message = "A name has 1 to 255 bytes.";
        return Err(ApiError::new(StatusCode::UNPROCESSABLE_ENTITY, message).field("name"));
    }
    if !is_plain(&name) {
        let message = "A name has no control characters.";
        return Err(ApiError::new(StatusCode::UNPROCESSABLE_ENTITY, message).field("name"));
    }
    let changed = match api.store.put_project(&name, put.key).await {
        Err(StoreError::KeyTaken) => {
            let message = "Another project has this key; give this one another.";
            return Err(ApiError::new(StatusCode::CONFLICT, message).field("key"));
        }
        put => put.map_err(|e| store_error(&e))?,
    };
    let status = if changed { StatusCode::CREATED } else { StatusCode::OK };
    Ok((status, Json(json!({ "changed": changed }))).into_response())
}

/// Forgets the name of a project; key and data stay.
#[utoipa::path(
    delete,
    path = "/api/v1/projects/{name}",
    tag = "projects",
    params(("name" = String, Path, description = "Name of the project")),
    responses((status = 204, description = "No project has this name"),
        (status = 401, description = "Not the administrator", body = ErrorView),
    ),
    security(("admin" = []), ("admin_basic" = [])),
)]
pub(crate) async fn delete(
    _: Admin,
    State(api): State<Api>,
    Path(name): Path<String>,
) -> Result<StatusCode, ApiError> {
    api.store.forget_project_name(&name).await.map_err(|e| store_error(&e))?;
    Ok(StatusCode::NO_CONTENT)
}
