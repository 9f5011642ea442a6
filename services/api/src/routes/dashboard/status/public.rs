//! `/status/{slug}`: the page, its history, one post of it, its feeds, and the same as JSON.

use askama::Template;
use axum::{
    extract::{Path, RawQuery, State},
    response::Response,
};
use http::{HeaderMap, HeaderValue, StatusCode};
use jiff::civil::Date;
use serde_json::{Value, json};
use url::form_urlencoded;
use watchkeeper_store::{IncidentStatus, StatusPage, now_ms};

use super::{
    answers::cached,
    feeds,
    view::{self, POSTS, Post, View, spoken_status},
};
use crate::{
    Api,
    routes::dashboard::{
        format,
        monitors::{
            bars::{precise, unobserved},
            history::{DAYS, Share},
        },
        shares::absolute,
        shell::{PageError, Shell},
    },
    times::{percent, rfc3339},
};

const HTML: &str = "text/html; charset=utf-8";

/// What surrounds a public page.
struct Frame {
    shell: Shell,
    page: StatusPage,
}

impl Frame {
    fn new(page: &StatusPage, title: String) -> Self {
        Self { shell: Shell::new(title), page: page.clone() }
    }

    fn base(&self) -> String {
        format!("/status/{}", self.page.slug)
    }
}

#[derive(Template)]
#[template(path = "status/page.html")]
struct Page<'a> {
    frame: Frame,
    view: &'a View,
}

#[derive(Template)]
#[template(path = "status/history.html")]
struct Past {
    frame: Frame,
    month: String,
    posts: Vec<Post>,
    earlier: Option<String>,
    later: Option<String>,
}

#[derive(Template)]
#[template(path = "status/incident.html")]
struct One {
    frame: Frame,
    post: Post,
}

/// `GET /status/{slug}` and `/status/{slug}.json`.
pub(in crate::routes::dashboard) async fn page(
    State(api): State<Api>,
    Path(name): Path<String>,
    headers: HeaderMap,
) -> Result<Response, PageError> {
    match name.strip_suffix(".json") {
        Some(slug) => json_of(&api, &headers, find(&api, slug).await?).await,
        None => show(&api, &headers, find(&api, &name).await?).await,
    }
}

/// The page that answers at the host of these headers, if one does.
pub(in crate::routes::dashboard) async fn at_host(
    api: &Api,
    headers: &HeaderMap,
) -> Result<Option<Response>, PageError> {
    let host = headers.get(http::header::HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    let host = host.rsplit_once(':').map_or(host, |(name, _)| name).to_ascii_lowercase();
    // A page's host is a full domain name.
    if !host.contains('.') || host.parse::<std::net::IpAddr>().is_ok() {
        return Ok(None);
    }
    let found = api.store.status_page_at(&host).await.map_err(|error| PageError::store(&error))?;
    match found {
        Some(page) => {
            let mut response = show(api, headers, page).await?;
            response.headers_mut().insert("x-robots-tag", HeaderValue::from_static("all"));
            Ok(Some(response))
        }
        None => Ok(None),
    }
}

/// `GET /status/{slug}/{part}`: history, rss, atom, json.
pub(in crate::routes::dashboard) async fn part(
    State(api): State<Api>,
    Path((slug, part)): Path<(String, String)>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Response, PageError> {
    let page = find(&api, &slug).await?;
    match part.as_str() {
        "json" => json_of(&api, &headers, page).await,
        "history" => history(&api, &headers, page, query.as_deref().unwrap_or_default()).await,
        "rss" | "atom" => {
            let board = api.dashboard.board.get(&api.store).await.map_err(store)?;
            let now = now_ms();
            let posts =
                api.store.incidents(page.id, i64::MIN, i64::MAX, feeds::ENTRIES).await.map_err(store)?;
            let posts: Vec<_> = posts.into_iter().map(|incident| Post::new(incident, now, &board)).collect();
            let base = absolute(&headers, &format!("/status/{}", page.slug));
            let (label, body) = if part == "rss" {
                ("application/rss+xml; charset=utf-8", feeds::rss(&page, &base, &posts))
            } else {
                ("application/atom+xml; charset=utf-8", feeds::atom(&page, &base, &posts))
            };
            Ok(cached(&headers, label, body.map_err(|error| undrawn(&error))?))
        }
        _ => Err(PageError::not_found()),
    }
}

/// `GET /status/{slug}/incidents/{id}`
pub(in crate::routes::dashboard) async fn incident(
    State(api): State<Api>,
    Path((slug, id)): Path<(String, String)>,
    headers: HeaderMap,
) -> Result<Response, PageError> {
    let page = find(&api, &slug).await?;
    let id = id.parse().map_err(|_| PageError::not_found())?;
    let found = api.store.incident(page.id, id).await.map_err(store)?.ok_or_else(PageError::not_found)?;
    let board = api.dashboard.board.get(&api.store).await.map_err(store)?;
    let post = Post::new(found, now_ms(), &board);
    let title = format!("{} · {}", post.incident.facts.title, page.spec.title);
    draw(&headers, &One { frame: Frame::new(&page, title), post })
}

async fn show(api: &Api, headers: &HeaderMap, page: StatusPage) -> Result<Response, PageError> {
    let view = view::load(api, page).await.map_err(store)?;
    let title = format!("{} · {}", view.headline, view.page.spec.title);
    draw(headers, &Page { frame: Frame::new(&view.page, title), view: &view })
}

async fn history(
    api: &Api,
    headers: &HeaderMap,
    page: StatusPage,
    query: &str,
) -> Result<Response, PageError> {
    let now = now_ms();
    let asked = form_urlencoded::parse(query.as_bytes()).find(|(name, _)| name == "month");
    let first = match &asked {
        Some((_, text)) => format!("{text}-01").parse::<Date>().map_err(|_| {
            let message = format!("`{text}` is no month such as 2026-01.");
            let mut error = PageError::new(StatusCode::BAD_REQUEST, "That address has a mistake", message);
            error.field = Some("month".into());
            error
        })?,
        None => day(now).first_of_month(),
    };
    let month =
        |months: i64| jiff::Span::new().try_months(months).and_then(|span| first.checked_add(span)).ok();
    let start = |date: Date| {
        let zoned = date.to_zoned(jiff::tz::TimeZone::UTC);
        zoned.map(|zoned| zoned.timestamp().as_millisecond()).unwrap_or_default()
    };
    let (from, to) = (start(first), month(1).map_or(i64::MAX, start));
    let board = api.dashboard.board.get(&api.store).await.map_err(store)?;
    let posts = api.store.incidents(page.id, from, to, POSTS).await.map_err(store)?;
    let link = |date: Date| format!("/status/{}/history?month={}", page.slug, date.strftime("%Y-%m"));
    let made = day(page.created_at).first_of_month();
    let oldest = posts.iter().map(|post| post.facts.starts_at).min().unwrap_or(page.created_at);
    let earlier = month(-1).filter(|date| *date >= made || oldest < from || first > day(now));
    let later = month(1).filter(|date| *date <= day(now));
    let past = Past {
        frame: Frame::new(&page, format!("History · {}", page.spec.title)),
        month: first.strftime("%B %Y").to_string(),
        earlier: earlier.map(link),
        later: later.map(link),
        posts: posts.into_iter().map(|incident| Post::new(incident, now, &board)).collect(),
    };
    draw(headers, &past)
}

/// The day of a moment, UTC.
fn day(ms: i64) -> Date {
    let moment = jiff::Timestamp::from_millisecond(ms).unwrap_or(jiff::Timestamp::UNIX_EPOCH);
    moment.to_zoned(jiff::tz::TimeZone::UTC).date()
}

async fn json_of(api: &Api, headers: &HeaderMap, page: StatusPage) -> Result<Response, PageError> {
    let view = view::load(api, page).await.map_err(store)?;
    let link = absolute(headers, &format!("/status/{}", view.page.slug));
    Ok(cached(headers, "application/json; charset=utf-8", as_json(&view, &link).to_string()))
}

/// A page as data: what a program makes of the banner, the endpoints and the posts.
fn as_json(view: &View, link: &str) -> Value {
    let spec = &view.page.spec;
    let groups: Vec<_> = view.groups.iter().map(|group| {
        let endpoints = group.components.iter().map(|it| {
            let mut endpoint = json!({
                "id": it.id,
                "name": it.name,
                "state": it.condition.word(),
                "since": rfc3339(it.since),
                "uptime90d": it.whole.uptime().map(percent),
                "unobserved90d": it.whole.unobserved().map(percent),
            });
            if spec.latency {
                endpoint["latencyMs"] = it.latency.map(|us| us / 1_000).into();
            }
            endpoint
        });
        json!({ "name": group.name, "state": group.condition.word(), "endpoints": endpoints.collect::<Vec<_>>() })
    }).collect();
    let posts = |posts: &[Post]| posts.iter().map(|it| post_json(it, link)).collect::<Vec<_>>();
    json!({
        "page": {
            "slug": view.page.slug,
            "title": spec.title,
            "description": spec.description,
            "url": link,
            "link": spec.link,
        },
        "state": { "is": view.condition.word(), "text": view.headline, "unknown": view.unknown },
        "groups": groups,
        "active": posts(&view.active),
        "planned": posts(&view.planned),
        "past": posts(&view.past),
    })
}

fn post_json(post: &Post, link: &str) -> Value {
    let facts = &post.incident.facts;
    let updates = post.incident.updates.iter().map(
        |update| json!({ "time": rfc3339(update.at), "status": update.status.as_str(), "text": update.text }),
    );
    json!({
        "id": post.incident.id,
        "url": format!("{link}/incidents/{}", post.incident.id),
        "kind": facts.kind.as_str(),
        "title": facts.title,
        "impact": facts.impact.as_str(),
        "status": post.status.as_str(),
        "startsAt": rfc3339(facts.starts_at),
        "endsAt": facts.ends_at.map(rfc3339),
        "endpoints": post.about,
        "updates": updates.collect::<Vec<_>>(),
    })
}

async fn find(api: &Api, slug: &str) -> Result<StatusPage, PageError> {
    api.store.status_page(slug).await.map_err(store)?.ok_or_else(PageError::not_found)
}

fn store(error: watchkeeper_store::StoreError) -> PageError {
    PageError::store(&error)
}

fn undrawn(error: &askama::Error) -> PageError {
    tracing::error!(%error, "a status page could not be drawn");
    PageError::new(StatusCode::INTERNAL_SERVER_ERROR, "Something broke", "See the server's log.")
}

fn draw(headers: &HeaderMap, template: &impl Template) -> Result<Response, PageError> {
    Ok(cached(headers, HTML, template.render().map_err(|error| undrawn(&error))?))
}

impl Page<'_> {
    fn moment(&self, ms: &i64) -> String {
        format::utc(*ms)
    }

    fn uptime(&self, share: &Share) -> String {
        share.uptime().map_or_else(|| "not known".into(), precise)
    }

    fn unobserved(&self, share: &Share) -> String {
        unobserved(share)
    }

    fn latency(&self, us: &i64) -> String {
        #[allow(clippy::cast_precision_loss)] // microseconds of one check
        format::duration(*us as f64 / 1_000.0)
    }

    /// Days that the bars show, and half of them, which is what a phone shows.
    fn days(&self) -> (i64, i64) {
        (DAYS, DAYS / 2)
    }

    fn shown(&self) -> usize {
        self.view.groups.iter().map(|group| group.components.len()).sum()
    }
}

impl Post {
    pub fn moment(&self, ms: &i64) -> String {
        format::utc(*ms)
    }

    pub fn rfc3339(&self, ms: &i64) -> String {
        rfc3339(*ms)
    }

    pub fn spoken(&self) -> &'static str {
        spoken_status(self.status)
    }

    pub fn spoken_of(&self, status: &IncidentStatus) -> &'static str {
        spoken_status(*status)
    }

    /// The class of its mark in the style sheet.
    pub fn css(&self) -> &'static str {
        use watchkeeper_store::Impact;
        match (self.is_maintenance(), self.status.is_over(), self.incident.facts.impact) {
            (true, ..) => "maintenance",
            (_, true, _) => "operational",
            (_, _, Impact::None) => "unknown",
            (_, _, Impact::Degraded) => "degraded",
            (_, _, Impact::Partial) => "partial",
            (_, _, Impact::Major) => "down",
        }
    }

    /// How far readers are touched, in words; nothing where they are not.
    pub fn impact(&self) -> &'static str {
        use watchkeeper_store::Impact;
        match self.incident.facts.impact {
            Impact::None => "",
            Impact::Degraded => "Degraded performance",
            Impact::Partial => "Partial outage",
            Impact::Major => "Major outage",
        }
    }
}
