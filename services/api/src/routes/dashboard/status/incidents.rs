//! Forms that post incidents and maintenance, tell how they go on, and take them back.

use askama::Template;
use axum::{
    extract::{Path, State},
    response::Response,
};
use http::HeaderMap;
use std::collections::HashMap;
use watchkeeper_store::{IncidentFacts, StatusIncident, StatusPage, StoreError, now_ms};

use super::{
    forms::{BASE, members, named, statuses},
    judge::{self, PostWish, UpdateWish, clock, end_after},
    view::{Post, by_the_clock},
};
use crate::{
    Api,
    routes::dashboard::{
        access::{Keeper, render},
        format,
        forms::{Fields, check, done, token, wrong},
        shell::{PageError, Section, Shell},
    },
};

#[derive(Template)]
#[template(path = "dashboard/status_incident.html")]
struct Page {
    shell: Shell,
    token: String,
    page: StatusPage,
    post: Post,
    members: Vec<(String, String)>,
    statuses: Vec<(&'static str, &'static str)>,
    starts: String,
    ends: String,
}

fn store(error: StoreError) -> PageError {
    PageError::store(&error)
}

/// A moment as the fields of forms write it, to the minute.
pub(super) fn minute(ms: i64) -> String {
    format::moment(ms, &jiff::tz::TimeZone::UTC, "%Y-%m-%dT%H:%M")
}

/// The post that a path names, with its page.
async fn find(
    api: &Api,
    params: &HashMap<String, String>,
) -> Result<(StatusPage, StatusIncident), PageError> {
    let page = named(api, params).await?;
    let id = params.get("id").and_then(|id| id.parse().ok()).ok_or_else(PageError::not_found)?;
    let post = api.store.incident(page.id, id).await.map_err(store)?.ok_or_else(PageError::not_found)?;
    Ok((page, post))
}

/// A post from its form.
fn wish(fields: &Fields, kind: &str) -> PostWish {
    let field = |name: &str| Some(fields.get(name).to_owned());
    PostWish {
        kind: Some(kind.to_owned()),
        title: fields.get("title").to_owned(),
        text: fields.raw("text").to_owned(),
        impact: field("impact"),
        status: field("status"),
        endpoints: fields.all("endpoint").into_iter().map(str::to_owned).collect(),
        starts_at: field("starts"),
        ends_at: field("ends"),
    }
}

/// `POST /status-pages/{slug}/incidents`
pub(in crate::routes::dashboard) async fn post(
    _: Keeper,
    State(api): State<Api>,
    Path(params): Path<HashMap<String, String>>,
    headers: HeaderMap,
    fields: Fields,
) -> Result<Response, PageError> {
    check(&api, &headers, BASE, &fields).await?;
    let page = named(&api, &params).await?;
    let back = format!("{BASE}/{}", page.slug);
    let board = api.dashboard.board.get(&api.store).await.map_err(store)?;
    let judged = wish(&fields, fields.get("kind")).judged(&board, now_ms(), clock);
    let (facts, first) = judged.map_err(|(field, message)| wrong(&back, &field, message))?;
    let id = api.store.post_incident(page.id, &facts, &first).await.map_err(store)?;
    Ok(done(&format!("{back}/incidents/{id}")))
}

/// `GET /status-pages/{slug}/incidents/{id}`
pub(in crate::routes::dashboard) async fn page(
    Keeper(watcher): Keeper,
    State(api): State<Api>,
    Path(params): Path<HashMap<String, String>>,
    headers: HeaderMap,
) -> Result<Response, PageError> {
    let (page, incident) = find(&api, &params).await?;
    let board = api.dashboard.board.get(&api.store).await.map_err(store)?;
    let shown = Page {
        shell: watcher.shell(Section::StatusPages, incident.facts.title.clone()),
        token: token(&api, &headers, BASE).await?,
        members: members(&page, &board),
        statuses: statuses(incident.facts.kind),
        starts: minute(incident.facts.starts_at),
        ends: incident.facts.ends_at.map(minute).unwrap_or_default(),
        post: Post::new(incident, now_ms(), &board),
        page,
    };
    render(&shown)
}

impl Page {
    /// Path of the public page.
    fn base(&self) -> String {
        format!("/status/{}", self.page.slug)
    }

    fn is_about(&self, uid: &str) -> bool {
        self.post.incident.facts.endpoints.iter().any(|it| it == uid)
    }

    fn impacts(&self) -> Vec<(&'static str, bool)> {
        let impact = self.post.incident.facts.impact;
        watchkeeper_store::Impact::ALL.iter().map(|it| (it.as_str(), *it == impact)).collect()
    }
}

/// `POST /status-pages/{slug}/incidents/{id}/updates`
pub(in crate::routes::dashboard) async fn tell(
    _: Keeper,
    State(api): State<Api>,
    Path(params): Path<HashMap<String, String>>,
    headers: HeaderMap,
    fields: Fields,
) -> Result<Response, PageError> {
    check(&api, &headers, BASE, &fields).await?;
    let (page, incident) = find(&api, &params).await?;
    let back = format!("{BASE}/{}/incidents/{}", page.slug, incident.id);
    let wish =
        UpdateWish { status: Some(fields.get("status").to_owned()), text: fields.raw("text").to_owned() };
    let now = now_ms();
    let update = wish
        .judged(incident.facts.kind, by_the_clock(&incident, now), now)
        .map_err(|(field, message)| wrong(&back, &field, message))?;
    let end = end_after(&incident.facts, &update);
    api.store.update_incident(page.id, incident.id, &update, end).await.map_err(store)?;
    Ok(done(&back))
}

/// `POST /status-pages/{slug}/incidents/{id}`
pub(in crate::routes::dashboard) async fn save(
    _: Keeper,
    State(api): State<Api>,
    Path(params): Path<HashMap<String, String>>,
    headers: HeaderMap,
    fields: Fields,
) -> Result<Response, PageError> {
    check(&api, &headers, BASE, &fields).await?;
    let (page, incident) = find(&api, &params).await?;
    let back = format!("{BASE}/{}/incidents/{}", page.slug, incident.id);
    let faulty = |(field, message): judge::Fault| wrong(&back, &field, message);
    let board = api.dashboard.board.get(&api.store).await.map_err(store)?;
    let mut wish = wish(&fields, incident.facts.kind.as_str());
    // Not of this form: how far it has come, and what was told.
    wish.status = Some(incident.status.as_str().to_owned());
    wish.text = "-".into();
    // A field that was left alone keeps its seconds.
    let kept = |text: Option<String>, at: Option<i64>| match at {
        Some(at) if text == Some(minute(at)) => {
            Some(format::moment(at, &jiff::tz::TimeZone::UTC, "%Y-%m-%dT%H:%M:%S%.3f"))
        }
        _ => text,
    };
    wish.starts_at = kept(wish.starts_at, Some(incident.facts.starts_at));
    wish.ends_at = kept(wish.ends_at, incident.facts.ends_at);
    let before = &incident.facts.endpoints;
    let endpoints = judge::endpoints(std::mem::take(&mut wish.endpoints), &board, before).map_err(faulty)?;
    let (facts, _) = wish.judged(&board, now_ms(), clock).map_err(faulty)?;
    let facts = IncidentFacts { endpoints, ..facts };
    api.store.edit_incident(page.id, incident.id, &facts).await.map_err(store)?;
    Ok(done(&back))
}

/// `POST /status-pages/{slug}/incidents/{id}/delete`
pub(in crate::routes::dashboard) async fn delete(
    _: Keeper,
    State(api): State<Api>,
    Path(params): Path<HashMap<String, String>>,
    headers: HeaderMap,
    fields: Fields,
) -> Result<Response, PageError> {
    check(&api, &headers, BASE, &fields).await?;
    let (page, incident) = find(&api, &params).await?;
    api.store.delete_incident(page.id, incident.id).await.map_err(store)?;
    Ok(done(&format!("{BASE}/{}", page.slug)))
}
