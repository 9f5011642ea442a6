//! `/`: what is stored and what is watched, on one plain page.

use askama::Template;
use axum::{
    Json, Router,
    extract::State,
    response::{Html, IntoResponse, Response},
    routing::get,
};
use http::{
    HeaderValue,
    header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, X_CONTENT_TYPE_OPTIONS},
};
use serde::Serialize;
use watchkeeper_analytics::{Summary, summarize};
use watchkeeper_runtime::{VERSION, error::ApiError};
use watchkeeper_store::{Project, now_ms};

use super::{
    store_error,
    v1::{EndpointView, endpoints::views},
};
use crate::{
    Api,
    auth::Viewer,
    times::{grouped, rfc3339, spoken},
};

/// Projects shown; the newest first.
const PROJECTS: i64 = 20;

/// Hours that the page looks back.
const HOURS: u16 = 24;

pub(super) fn router() -> Router<Api> {
    Router::new().route("/", get(page)).route("/api/v1/overview", get(json))
}

/// Everything on the page.
#[derive(Serialize, Template)]
#[serde(rename_all = "camelCase")]
#[template(path = "overview.html")]
struct Overview {
    version: &'static str,
    now: String,
    #[serde(skip)]
    now_ms: i64,
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

impl RecentView {
    /// Bars of a chart 24 wide and 20 high: for each hour its left edge, height and count.
    fn bars(&self) -> Vec<(usize, u64, u64)> {
        let most = self.hours.iter().copied().max().unwrap_or_default().max(1);
        self.hours
            .iter()
            .enumerate()
            .filter(|(_, count)| **count > 0)
            .map(|(hour, count)| (hour, (count * 20).div_ceil(most), *count))
            .collect()
    }
}

impl Overview {
    async fn load(api: &Api) -> Result<Self, ApiError> {
        let now = now_ms();
        let _permit = api.heavy.acquire().await.map_err(|e| ApiError::internal(&e))?;
        let stored = api.store.stored().await.map_err(|e| store_error(&e))?;
        let mut shown = Vec::new();
        for (project, hits) in api.store.projects(PROJECTS).await.map_err(|e| store_error(&e))? {
            let recent = summarize(&api.store, project.id, now, HOURS).await.map_err(|e| store_error(&e))?;
            shown.push(ProjectView { name: title(&project), hits, recent: recent.into() });
        }
        Ok(Self {
            version: VERSION,
            now: rfc3339(now),
            now_ms: now,
            hits: stored.hits,
            bytes: stored.bytes,
            projects: stored.projects,
            shown,
            endpoints: views(api, None).await?,
        })
    }

    /// How long ago a moment was, for people.
    fn ago(&self, ms: &i64) -> String {
        spoken(self.now_ms - ms)
    }

    /// A number for people.
    fn grouped(&self, number: impl std::fmt::Display) -> String {
        grouped(number)
    }

    /// A size as people read it.
    fn size(&self) -> String {
        #[allow(clippy::cast_precision_loss)] // shown with one digit
        let mut size = self.bytes as f64;
        for unit in ["B", "kB", "MB", "GB"] {
            if size < 1_000.0 {
                return if unit == "B" { format!("{size:.0} B") } else { format!("{size:.1} {unit}") };
            }
            size /= 1_000.0;
        }
        format!("{size:.1} TB")
    }
}

/// A project's name; without one, the start of its user id, which is too short to read it by.
fn title(project: &Project) -> String {
    project.name.clone().unwrap_or_else(|| {
        let id = project.user_id.simple().to_string();
        format!("unnamed {}…", &id[..8])
    })
}

async fn page(_: Viewer, State(api): State<Api>) -> Result<Response, ApiError> {
    let overview = Overview::load(&api).await?;
    let html = overview.render().map_err(|e| ApiError::internal(&e))?;
    let policy = "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'; base-uri 'none'";
    let headers = [
        (CONTENT_SECURITY_POLICY, HeaderValue::from_static(policy)),
        (X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
        (CACHE_CONTROL, HeaderValue::from_static("no-store")),
    ];
    Ok((headers, Html(html)).into_response())
}

async fn json(_: Viewer, State(api): State<Api>) -> Result<Response, ApiError> {
    Ok(Json(Overview::load(&api).await?).into_response())
}
