//! `/api/v1/notices`: the log of notices, those that wait, and the dead letters.

use std::collections::HashMap;

use axum::{
    Json,
    extract::{Path, Query, State},
    response::{IntoResponse, Response},
};
use http::StatusCode;
use serde::Serialize;
use serde_json::json;
use utoipa::ToSchema;
use watchkeeper_runtime::error::ApiError;
use watchkeeper_store::{
    State as EndpointState,
    alerts::{Hold, Kind, Notice, NoticeFilter, NoticeState},
};

use crate::{
    Api,
    auth::Admin,
    routes::{ErrorView, store_error},
    times::rfc3339,
};

/// Notices of one list, and at most.
const LIMITS: (i64, i64) = (100, 1_000);

/// A notice: one transition told to one channel.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct NoticeView {
    id: i64,
    /// Name of the channel.
    channel: String,
    /// down, degraded, recovery, reminder, escalation, flapping or test.
    #[schema(value_type = String)]
    kind: Kind,
    /// waiting, sending, sent, dead or dropped.
    #[schema(value_type = String)]
    state: NoticeState,
    /// Why it may not go out yet: flapping, cooldown, dependency, quiet, escalation, reminder or maintenance.
    #[schema(value_type = Option<String>)]
    hold: Option<Hold>,
    endpoint: NoticedEndpoint,
    /// When the transition was.
    at: String,
    /// When somebody looks at it next, while it waits.
    due_at: Option<String>,
    attempts: i64,
    /// Identity of the message it went out in, which it may share with others.
    delivery: Option<String>,
    /// What the last attempt said, or why it was dropped.
    error: Option<String>,
    created_at: String,
    /// When it was sent, given up or dropped.
    finished_at: Option<String>,
}

/// What a notice tells of its endpoint.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct NoticedEndpoint {
    uid: String,
    namespace: String,
    name: String,
    display_name: String,
    /// What is probed, without credentials and query.
    target: String,
    /// State before.
    #[schema(value_type = String)]
    from: EndpointState,
    /// State after.
    #[schema(value_type = String)]
    to: EndpointState,
    message: Option<String>,
}

/// Notices, newest first.
#[derive(Serialize, ToSchema)]
pub(crate) struct Notices {
    notices: Vec<NoticeView>,
    /// `before` of the next page, if there is one.
    next: Option<String>,
}

impl From<Notice> for NoticeView {
    fn from(notice: Notice) -> Self {
        let details = notice.details;
        let waits = matches!(notice.state, NoticeState::Waiting | NoticeState::Sending);
        Self {
            id: notice.id,
            channel: notice.channel,
            kind: notice.kind,
            state: notice.state,
            hold: notice.hold.filter(|_| waits),
            endpoint: NoticedEndpoint {
                uid: details.uid,
                namespace: details.namespace,
                name: details.name,
                display_name: details.display_name,
                target: details.target,
                from: details.from,
                to: details.to,
                message: details.message,
            },
            at: rfc3339(notice.at),
            due_at: waits.then(|| rfc3339(notice.due_at)),
            attempts: notice.attempts,
            delivery: notice.delivery,
            error: notice.error,
            created_at: rfc3339(notice.created_at),
            finished_at: notice.finished_at.map(rfc3339),
        }
    }
}

/// Lists notices, newest first.
#[utoipa::path(
    get,
    path = "/api/v1/notices",
    tag = "notices",
    params(
        ("state" = Option<String>, Query, description = "waiting, sending, sent, dead or dropped; all without it"),
        ("endpoint" = Option<String>, Query, description = "Uid of an endpoint"),
        ("channel" = Option<String>, Query, description = "Name of a channel"),
        ("before" = Option<i64>, Query, description = "`next` of the page before"),
        ("limit" = Option<i64>, Query, description = "Notices at most, 1 to 1,000; 100 without it"),
    ),
    responses(
        (status = 200, description = "The notices", body = Notices),
        (status = 401, description = "Not the administrator", body = ErrorView),
        (status = 422, description = "A parameter is at fault; it is named", body = ErrorView),
    ),
    security(("admin" = []), ("admin_basic" = [])),
)]
pub(crate) async fn list(
    _: Admin,
    State(api): State<Api>,
    Query(query): Query<HashMap<String, String>>,
) -> Result<Json<Notices>, ApiError> {
    let unprocessable =
        |field: &str, message: &str| ApiError::new(StatusCode::UNPROCESSABLE_ENTITY, message).field(field);
    let number = |field: &str| {
        let text = query.get(field);
        text.map(|text| text.parse::<i64>().map_err(|_| unprocessable(field, "It must be a number.")))
            .transpose()
    };
    let state = query.get("state").map(|text| {
        NoticeState::parse(text)
            .ok_or_else(|| unprocessable("state", "It must be waiting, sending, sent, dead or dropped."))
    });
    let limit = number("limit")?.unwrap_or(LIMITS.0);
    if !(1..=LIMITS.1).contains(&limit) {
        return Err(unprocessable("limit", "It must be 1 to 1000."));
    }
    let filter = NoticeFilter {
        state: state.transpose()?,
        endpoint: query.get("endpoint").cloned(),
        channel: query.get("channel").cloned(),
        before: number("before")?,
    };
    // One more tells whether there is another page.
    let mut notices = api.store.notices(&filter, limit + 1).await.map_err(|e| store_error(&e))?;
    let more = i64::try_from(notices.len()).unwrap_or(i64::MAX) > limit;
    notices.truncate(usize::try_from(limit).unwrap_or_default());
    let next = notices.last().filter(|_| more).map(|last| last.id.to_string());
    Ok(Json(Notices { notices: notices.into_iter().map(NoticeView::from).collect(), next }))
}

/// Tells one notice.
#[utoipa::path(
    get,
    path = "/api/v1/notices/{id}",
    tag = "notices",
    params(("id" = i64, Path, description = "Its number")),
    responses(
        (status = 200, description = "The notice", body = NoticeView),
        (status = 401, description = "Not the administrator", body = ErrorView),
        (status = 404, description = "There is no such notice", body = ErrorView),
    ),
    security(("admin" = []), ("admin_basic" = [])),
)]
pub(crate) async fn get(
    _: Admin,
    State(api): State<Api>,
    Path(id): Path<String>,
) -> Result<Json<NoticeView>, ApiError> {
    found(&api, &id).await.map(|notice| Json(notice.into()))
}

/// Lets a dead notice be tried again.
#[utoipa::path(
    post,
    path = "/api/v1/notices/{id}/retry",
    tag = "notices",
    params(("id" = i64, Path, description = "Its number")),
    responses(
        (status = 202, description = "It waits again", body = NoticeView),
        (status = 401, description = "Not the administrator", body = ErrorView),
        (status = 404, description = "There is no such notice", body = ErrorView),
        (status = 409, description = "It is not dead", body = ErrorView),
    ),
    security(("admin" = []), ("admin_basic" = [])),
)]
pub(crate) async fn retry(
    _: Admin,
    State(api): State<Api>,
    Path(id): Path<String>,
) -> Result<Response, ApiError> {
    let notice = found(&api, &id).await?;
    if !api.store.retry_notice(notice.id).await.map_err(|e| store_error(&e))? {
        let message = format!("The notice is {}; only a dead one can be tried again.", notice.state.as_str());
        return Err(ApiError::new(StatusCode::CONFLICT, message));
    }
    let notice = found(&api, &id).await?;
    Ok((StatusCode::ACCEPTED, Json(NoticeView::from(notice))).into_response())
}

/// Puts a test into the outbox; its notice tells what became of it.
#[utoipa::path(
    post,
    path = "/api/v1/channels/{name}/test",
    tag = "notices",
    params(("name" = String, Path, description = "Name of the channel")),
    responses(
        (status = 202, description = "It waits to be sent; ask for its notice", body = Object, example = json!({ "id": 7 })),
        (status = 401, description = "Not the administrator", body = ErrorView),
        (status = 404, description = "There is no such channel", body = ErrorView),
    ),
    security(("admin" = []), ("admin_basic" = [])),
)]
pub(crate) async fn test(
    _: Admin,
    State(api): State<Api>,
    Path(name): Path<String>,
) -> Result<Response, ApiError> {
    let channels = api.store.channels().await.map_err(|e| store_error(&e))?;
    if !channels.iter().any(|channel| channel.name == name) {
        return Err(ApiError::new(StatusCode::NOT_FOUND, "There is no such channel.").field("name"));
    }
    let id = api.store.enqueue_test(&name).await.map_err(|e| store_error(&e))?;
    Ok((StatusCode::ACCEPTED, Json(json!({ "id": id }))).into_response())
}

async fn found(api: &Api, id: &str) -> Result<Notice, ApiError> {
    let missing = || ApiError::new(StatusCode::NOT_FOUND, "There is no such notice.").field("id");
    let id = id.parse().map_err(|_| missing())?;
    api.store.notice(id).await.map_err(|e| store_error(&e))?.ok_or_else(missing)
}
