//! `/api/v1/overview`: what is stored and what is watched.

use axum::{
    Json, Router,
    extract::State,
    response::{IntoResponse, Response},
    routing::get,
};
use serde::Serialize;
use utoipa::OpenApi;
use watchkeeper_analytics::{Summary, summarize};
use watchkeeper_runtime::{VERSION, error::ApiError};
use watchkeeper_store::now_ms;

use super::{
    ErrorView, ask_error,
    dashboard::title,
    store_error,
    v1::{EndpointView, endpoints::views},
};
use crate::{Api, auth::Viewer, times::rfc3339};

/// Projects shown; the newest first.
const PROJECTS: i64 = 20;

/// Hours that the page looks back.
const HOURS: u16 = 24;

pub(super) fn router() -> Router<Api> {
    Router::new().route("/api/v1/overview", get(json))
}

/// The overview as JSON; its page is none.
#[derive(OpenApi)]
#[openapi(paths(json))]
pub(super) struct OverviewDoc;

/// All of it.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Overview {
    version: &'static str,
    now: String,
    hits: i64,
    bytes: i64,
    projects: i64,
    shown: Vec<ProjectView>,
    endpoints: Vec<EndpointView>,
}

/// One project, without what would let a reader into it.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ProjectView {
    name: String,
    hits: i64,
    recent: RecentView,
}

/// The last hours of a project.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct RecentView {
    hits: u64,
    errors: u64,
    bots: u64,
    hours: Vec<u64>,
}

impl From<Summary> for RecentView {
    fn from(Summary { hits, errors, bots, hours }: Summary) -> Self {
        Self { hits, errors, bots, hours }
    }
}

impl Overview {
    pub async fn load(api: &Api) -> Result<Self, ApiError> {
        let now = now_ms();
        let _permit = api.heavy.acquire().await.map_err(|e| ApiError::internal(&e))?;
        let stored = api.store.stored().await.map_err(|e| store_error(&e))?;
        let mut shown = Vec::new();
        for (project, hits) in api.store.projects(PROJECTS).await.map_err(|e| store_error(&e))? {
            let recent = summarize(&api.analytics, project.id, now, HOURS).await.map_err(ask_error)?;
            shown.push(ProjectView { name: title(&project), hits, recent: recent.into() });
        }
        Ok(Self {
            version: VERSION,
            now: rfc3339(now),
            hits: stored.hits,
            bytes: stored.bytes,
            projects: stored.projects,
            shown,
            endpoints: views(api, None).await?,
        })
    }
}

/// Tells what is stored and what is watched.
#[utoipa::path(
    get,
    path = "/api/v1/overview",
    tag = "projects",
    responses(
        (status = 200, description = "What is stored and watched", body = Object),
        (status = 401, description = "Not the administrator, and the overview is not open to all", body = ErrorView),
    ),
    security((), ("admin" = []), ("admin_basic" = [])),
)]
async fn json(_: Viewer, State(api): State<Api>) -> Result<Response, ApiError> {
    Ok(Json(Overview::load(&api).await?).into_response())
}
