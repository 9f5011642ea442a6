//! `/api/v1/status-pages`: status pages and what is posted on them, and `/api/v1/badges`, for
//! programs of the administrator. Putting the same page again changes nothing.

use axum::{
    Json,
    extract::{Path, State},
    response::{IntoResponse, Response},
};
use http::StatusCode;
use serde::{Serialize, de::DeserializeOwned};
use utoipa::{OpenApi, ToSchema};
use watchkeeper_runtime::error::ApiError;
use watchkeeper_store::{StatusIncident, StatusPage, StoreError, now_ms};

use super::{
    judge::{self, Fault, PageWish, PostWish, UpdateWish, end_after},
    view::{POSTS, by_the_clock},
};
use crate::{
    Api,
    auth::Admin,
    routes::{ErrorView, payload::Payload, store_error},
    times::rfc3339,
};

/// Status pages, incidents and badges.
#[derive(OpenApi)]
#[openapi(paths(list, get, put, delete, posts, post, one, take_back, tell, show_badge, hide_badge))]
pub(in crate::routes) struct StatusPagesDoc;

/// A status page.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = StatusPage)]
struct PageView {
    /// Its name in addresses.
    slug: String,
    /// Path of the page.
    path: String,
    /// When it was made.
    created_at: String,
    /// When it was last changed.
    updated_at: String,
    spec: PageWish,
}

/// All status pages.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = StatusPages)]
pub(in crate::routes::dashboard) struct PageViews {
    status_pages: Vec<PageView>,
}

/// Something that was posted.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = StatusIncident)]
struct PostView {
    id: i64,
    /// `incident` or `maintenance`.
    kind: &'static str,
    title: String,
    /// `none`, `degraded`, `partial` or `major`.
    impact: &'static str,
    /// How far it has come by its last update.
    status: &'static str,
    /// Uids of the endpoints it is about.
    endpoints: Vec<String>,
    starts_at: String,
    ends_at: Option<String>,
    /// What was told, newest first.
    updates: Vec<UpdateView>,
}

/// One word about how it goes.
#[derive(Serialize, ToSchema)]
#[schema(as = StatusUpdate)]
struct UpdateView {
    time: String,
    status: &'static str,
    text: String,
}

/// What was posted on a page, the last to begin first.
#[derive(Serialize, ToSchema)]
#[schema(as = StatusIncidents)]
pub(in crate::routes::dashboard) struct PostViews {
    incidents: Vec<PostView>,
}

impl From<StatusPage> for PageView {
    fn from(page: StatusPage) -> Self {
        Self {
            path: format!("/status/{}", page.slug),
            created_at: rfc3339(page.created_at),
            updated_at: rfc3339(page.updated_at),
            spec: PageWish::from(&page.spec),
            slug: page.slug,
        }
    }
}

impl From<StatusIncident> for PostView {
    fn from(it: StatusIncident) -> Self {
        let updates = it.updates.into_iter().map(|update| UpdateView {
            time: rfc3339(update.at),
            status: update.status.as_str(),
            text: update.text,
        });
        Self {
            id: it.id,
            kind: it.facts.kind.as_str(),
            title: it.facts.title,
            impact: it.facts.impact.as_str(),
            status: it.status.as_str(),
            endpoints: it.facts.endpoints,
            starts_at: rfc3339(it.facts.starts_at),
            ends_at: it.facts.ends_at.map(rfc3339),
            updates: updates.collect(),
        }
    }
}

fn failed(error: StoreError) -> ApiError {
    store_error(&error)
}

fn faulty((field, message): Fault) -> ApiError {
    ApiError::new(StatusCode::UNPROCESSABLE_ENTITY, message).field(field)
}

fn refused(error: StoreError) -> ApiError {
    let taken = |field, message| ApiError::new(StatusCode::CONFLICT, message).field(field);
    match error {
        StoreError::SlugTaken => taken("slug", "Another status page has this slug."),
        StoreError::HostTaken => taken("host", "Another status page answers at this host."),
        other => store_error(&other),
    }
}

fn missing(message: &str) -> ApiError {
    ApiError::new(StatusCode::NOT_FOUND, message)
}

fn read<T: DeserializeOwned>(body: &[u8]) -> Result<T, ApiError> {
    serde_json::from_slice(body).map_err(|error| {
        let message = format!("The body is malformed: {error}.");
        ApiError::new(StatusCode::UNPROCESSABLE_ENTITY, message).field("body")
    })
}

async fn page(api: &Api, slug: &str) -> Result<StatusPage, ApiError> {
    let found = api.store.status_page(slug).await.map_err(failed)?;
    found.ok_or_else(|| missing("There is no such status page."))
}

async fn incident(api: &Api, slug: &str, id: &str) -> Result<(StatusPage, StatusIncident), ApiError> {
    let page = page(api, slug).await?;
    let id = id.parse().map_err(|_| ApiError::bad_request("An id is a number.").field("id"))?;
    let found = api.store.incident(page.id, id).await.map_err(failed)?;
    Ok((page, found.ok_or_else(|| missing("There is no such incident."))?))
}

/// Lists all status pages.
#[utoipa::path(
    get,
    path = "/api/v1/status-pages",
    tag = "status pages",
    responses(
        (status = 200, description = "The pages", body = PageViews),
        (status = 401, description = "Not the administrator", body = ErrorView),
    ),
    security(("admin" = []), ("admin_basic" = [])),
)]
pub(in crate::routes::dashboard) async fn list(
    _: Admin,
    State(api): State<Api>,
) -> Result<Json<PageViews>, ApiError> {
    let pages = api.store.status_pages().await.map_err(failed)?;
    Ok(Json(PageViews { status_pages: pages.into_iter().map(PageView::from).collect() }))
}

/// Tells one status page.
#[utoipa::path(
    get,
    path = "/api/v1/status-pages/{slug}",
    tag = "status pages",
    params(("slug" = String, Path, description = "Name of the page in addresses")),
    responses(
        (status = 200, description = "The page", body = PageView),
        (status = 401, description = "Not the administrator", body = ErrorView),
        (status = 404, description = "There is no such page", body = ErrorView),
    ),
    security(("admin" = []), ("admin_basic" = [])),
)]
pub(in crate::routes::dashboard) async fn get(
    _: Admin,
    State(api): State<Api>,
    Path(slug): Path<String>,
) -> Result<Response, ApiError> {
    Ok(Json(PageView::from(page(&api, &slug).await?)).into_response())
}

/// Makes a status page, or makes it as given: what is left out is left out of the page.
#[utoipa::path(
    put,
    path = "/api/v1/status-pages/{slug}",
    tag = "status pages",
    params(("slug" = String, Path, description = "1 to 60 lower-case letters, digits and hyphens")),
    request_body = PageWish,
    responses(
        (status = 200, description = "It is so now", body = PageView),
        (status = 201, description = "It is new", body = PageView),
        (status = 401, description = "Not the administrator", body = ErrorView),
        (status = 409, description = "Another page has this slug or host", body = ErrorView),
        (status = 422, description = "A field is at fault; it is named", body = ErrorView),
    ),
    security(("admin" = []), ("admin_basic" = [])),
)]
pub(in crate::routes::dashboard) async fn put(
    _: Admin,
    State(api): State<Api>,
    Path(slug): Path<String>,
    Payload(body): Payload,
) -> Result<Response, ApiError> {
    let slug = judge::slug(&slug).map_err(faulty)?;
    let wish: PageWish = read(&body)?;
    let board = api.dashboard.board.get(&api.store).await.map_err(failed)?;
    let before = api.store.status_page(&slug).await.map_err(failed)?;
    let groups = before.as_ref().map(|page| page.spec.groups.as_slice()).unwrap_or_default();
    let spec = wish.judged(&board, groups).map_err(faulty)?;
    let status = match before {
        Some(page) if page.spec == spec => StatusCode::OK,
        Some(page) => {
            api.store.update_status_page(page.id, &slug, &spec).await.map_err(refused)?;
            StatusCode::OK
        }
        None => {
            api.store.create_status_page(&slug, &spec).await.map_err(refused)?;
            StatusCode::CREATED
        }
    };
    Ok((status, Json(PageView::from(page(&api, &slug).await?))).into_response())
}

/// Deletes a status page with all that was posted on it; also one that is not there.
#[utoipa::path(
    delete,
    path = "/api/v1/status-pages/{slug}",
    tag = "status pages",
    params(("slug" = String, Path, description = "Name of the page in addresses")),
    responses(
        (status = 204, description = "It is gone"),
        (status = 401, description = "Not the administrator", body = ErrorView),
    ),
    security(("admin" = []), ("admin_basic" = [])),
)]
pub(in crate::routes::dashboard) async fn delete(
    _: Admin,
    State(api): State<Api>,
    Path(slug): Path<String>,
) -> Result<StatusCode, ApiError> {
    if let Some(page) = api.store.status_page(&slug).await.map_err(failed)? {
        api.store.delete_status_page(page.id).await.map_err(failed)?;
    }
    Ok(StatusCode::NO_CONTENT)
}

/// Lists what was posted on a page, at most 200, the last to begin first.
#[utoipa::path(
    get,
    path = "/api/v1/status-pages/{slug}/incidents",
    tag = "status pages",
    params(("slug" = String, Path, description = "Name of the page in addresses")),
    responses(
        (status = 200, description = "Incidents and maintenance", body = PostViews),
        (status = 401, description = "Not the administrator", body = ErrorView),
        (status = 404, description = "There is no such page", body = ErrorView),
    ),
    security(("admin" = []), ("admin_basic" = [])),
)]
pub(in crate::routes::dashboard) async fn posts(
    _: Admin,
    State(api): State<Api>,
    Path(slug): Path<String>,
) -> Result<Json<PostViews>, ApiError> {
    let page = page(&api, &slug).await?;
    let posts = api.store.incidents(page.id, i64::MIN, i64::MAX, POSTS).await.map_err(failed)?;
    Ok(Json(PostViews { incidents: posts.into_iter().map(PostView::from).collect() }))
}

/// Posts an incident or a maintenance.
#[utoipa::path(
    post,
    path = "/api/v1/status-pages/{slug}/incidents",
    tag = "status pages",
    params(("slug" = String, Path, description = "Name of the page in addresses")),
    request_body = PostWish,
    responses(
        (status = 201, description = "It is posted", body = PostView),
        (status = 401, description = "Not the administrator", body = ErrorView),
        (status = 404, description = "There is no such page", body = ErrorView),
        (status = 422, description = "A field is at fault; it is named", body = ErrorView),
    ),
    security(("admin" = []), ("admin_basic" = [])),
)]
pub(in crate::routes::dashboard) async fn post(
    _: Admin,
    State(api): State<Api>,
    Path(slug): Path<String>,
    Payload(body): Payload,
) -> Result<Response, ApiError> {
    let page = page(&api, &slug).await?;
    let board = api.dashboard.board.get(&api.store).await.map_err(failed)?;
    let (facts, first) = read::<PostWish>(&body)?.judged(&board, now_ms(), judge::rfc3339).map_err(faulty)?;
    let id = api.store.post_incident(page.id, &facts, &first).await.map_err(failed)?;
    let posted = StatusIncident { id, status: first.status, facts, updates: vec![first] };
    Ok((StatusCode::CREATED, Json(PostView::from(posted))).into_response())
}

/// Tells one incident or maintenance.
#[utoipa::path(
    get,
    path = "/api/v1/status-pages/{slug}/incidents/{id}",
    tag = "status pages",
    params(
        ("slug" = String, Path, description = "Name of the page in addresses"),
        ("id" = i64, Path, description = "The incident"),
    ),
    responses(
        (status = 200, description = "The incident", body = PostView),
        (status = 400, description = "The id is no number", body = ErrorView),
        (status = 401, description = "Not the administrator", body = ErrorView),
        (status = 404, description = "There is no such page or incident", body = ErrorView),
    ),
    security(("admin" = []), ("admin_basic" = [])),
)]
pub(in crate::routes::dashboard) async fn one(
    _: Admin,
    State(api): State<Api>,
    Path((slug, id)): Path<(String, String)>,
) -> Result<Response, ApiError> {
    let (_, incident) = incident(&api, &slug, &id).await?;
    Ok(Json(PostView::from(incident)).into_response())
}

/// Takes an incident back, with all its updates.
#[utoipa::path(
    delete,
    path = "/api/v1/status-pages/{slug}/incidents/{id}",
    tag = "status pages",
    params(
        ("slug" = String, Path, description = "Name of the page in addresses"),
        ("id" = i64, Path, description = "The incident"),
    ),
    responses(
        (status = 204, description = "It is gone"),
        (status = 400, description = "The id is no number", body = ErrorView),
        (status = 401, description = "Not the administrator", body = ErrorView),
        (status = 404, description = "There is no such page or incident", body = ErrorView),
    ),
    security(("admin" = []), ("admin_basic" = [])),
)]
pub(in crate::routes::dashboard) async fn take_back(
    _: Admin,
    State(api): State<Api>,
    Path((slug, id)): Path<(String, String)>,
) -> Result<StatusCode, ApiError> {
    let (page, incident) = incident(&api, &slug, &id).await?;
    api.store.delete_incident(page.id, incident.id).await.map_err(failed)?;
    Ok(StatusCode::NO_CONTENT)
}

/// Tells how an incident or a maintenance goes on.
#[utoipa::path(
    post,
    path = "/api/v1/status-pages/{slug}/incidents/{id}/updates",
    tag = "status pages",
    params(
        ("slug" = String, Path, description = "Name of the page in addresses"),
        ("id" = i64, Path, description = "The incident"),
    ),
    request_body = UpdateWish,
    responses(
        (status = 201, description = "It is told; the whole incident", body = PostView),
        (status = 400, description = "The id is no number", body = ErrorView),
        (status = 401, description = "Not the administrator", body = ErrorView),
        (status = 404, description = "There is no such page or incident", body = ErrorView),
        (status = 422, description = "A field is at fault; it is named", body = ErrorView),
    ),
    security(("admin" = []), ("admin_basic" = [])),
)]
pub(in crate::routes::dashboard) async fn tell(
    _: Admin,
    State(api): State<Api>,
    Path((slug, id)): Path<(String, String)>,
    Payload(body): Payload,
) -> Result<Response, ApiError> {
    let (page, before) = incident(&api, &slug, &id).await?;
    let wish: UpdateWish = read(&body)?;
    let now = now_ms();
    let update = wish.judged(before.facts.kind, by_the_clock(&before, now), now).map_err(faulty)?;
    let end = end_after(&before.facts, &update);
    api.store.update_incident(page.id, before.id, &update, end).await.map_err(failed)?;
    let (_, after) = incident(&api, &slug, &id).await?;
    Ok((StatusCode::CREATED, Json(PostView::from(after))).into_response())
}

async fn set_badge(api: &Api, id: &str, public: bool) -> Result<StatusCode, ApiError> {
    let id: i64 = id.parse().map_err(|_| ApiError::bad_request("An id is a number.").field("id"))?;
    let board = api.dashboard.board.get(&api.store).await.map_err(failed)?;
    let endpoint = board.by_id(id).ok_or_else(|| missing("There is no such endpoint."))?;
    api.store.set_badge(&endpoint.uid, public).await.map_err(failed)?;
    Ok(StatusCode::NO_CONTENT)
}

/// Makes the badges of an endpoint public, whether or not a status page shows it.
#[utoipa::path(
    put,
    path = "/api/v1/badges/{id}",
    tag = "status pages",
    params(("id" = i64, Path, description = "Number of the endpoint, as in the address of its page")),
    responses(
        (status = 204, description = "They are public"),
        (status = 400, description = "The id is no number", body = ErrorView),
        (status = 401, description = "Not the administrator", body = ErrorView),
        (status = 404, description = "There is no such endpoint", body = ErrorView),
    ),
    security(("admin" = []), ("admin_basic" = [])),
)]
pub(in crate::routes::dashboard) async fn show_badge(
    _: Admin,
    State(api): State<Api>,
    Path(id): Path<String>,
) -> Result<StatusCode, ApiError> {
    set_badge(&api, &id, true).await
}

/// Hides the badges of an endpoint, unless a status page shows it.
#[utoipa::path(
    delete,
    path = "/api/v1/badges/{id}",
    tag = "status pages",
    params(("id" = i64, Path, description = "Number of the endpoint, as in the address of its page")),
    responses(
        (status = 204, description = "They are hidden"),
        (status = 400, description = "The id is no number", body = ErrorView),
        (status = 401, description = "Not the administrator", body = ErrorView),
        (status = 404, description = "There is no such endpoint", body = ErrorView),
    ),
    security(("admin" = []), ("admin_basic" = [])),
)]
pub(in crate::routes::dashboard) async fn hide_badge(
    _: Admin,
    State(api): State<Api>,
    Path(id): Path<String>,
) -> Result<StatusCode, ApiError> {
    set_badge(&api, &id, false).await
}
