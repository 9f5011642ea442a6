//! `/`: every project on one page, or some beside each other, and everything that is watched.

use askama::Template;
use axum::{
    Json,
    extract::State,
    response::{IntoResponse, Response},
};
use http::{HeaderMap, header::ACCEPT, request::Parts};
use watchkeeper_store::{Project, now_ms};

use super::{
    access::{may_not, render},
    format,
    lists::Tab,
    projects::{Compared, Found, PROJECTS, Row, Wish, compare, mistake},
    shell::{PageError, Section, Shell},
    status::public::at_host,
};
use crate::{
    Api, auth,
    routes::{
        monitoring,
        overview::Overview,
        v1::{EndpointView, endpoints::views},
    },
    session,
};

/// Endpoints shown; what is not up comes first.
const ENDPOINTS: usize = 20;

/// Periods that the page offers, beside any range: the value in the address, and what people read.
const PERIODS: [(&str, &str); 3] = [("24h", "24 hours"), ("7d", "7 days"), ("30d", "30 days")];

#[derive(Template)]
#[template(path = "dashboard/overview.html")]
struct Page {
    shell: Shell,
    hits: String,
    size: String,
    projects: i64,
    up: usize,
    wish: Wish,
    when: When,
    /// Projects that are asked for and that there are not.
    missing: Vec<String>,
    shown: Vec<Row>,
    total: Option<Row>,
    /// Bars of each trend.
    width: usize,
    /// First and last project shown, and how many the search finds.
    span: (usize, usize, usize),
    earlier: Option<String>,
    later: Option<String>,
    watched: usize,
    endpoints: Vec<EndpointView>,
    now: i64,
}

/// What chooses the period.
struct When {
    periods: Vec<Tab>,
    /// The period in words, and its first and last day.
    range: String,
    from: String,
    to: String,
    zone: String,
    is_custom: bool,
    kept_by_range: Vec<(String, String)>,
}

/// `GET /`: for a browser the page; a program that wants JSON alone gets the same as data.
pub(super) async fn root(State(api): State<Api>, parts: Parts) -> Result<Response, Response> {
    let headers = &parts.headers;
    if let Some(page) = at_host(&api, headers).await.map_err(IntoResponse::into_response)? {
        return Ok(page);
    }
    let json = wants_json(headers);
    let about = if json { monitoring::about(&api, headers).await } else { None };
    let administers =
        auth::is_admin(&api, headers).await.map_err(|error| PageError::store(&error).into_response())?;
    if !administers && !auth::is_open(&api, headers) {
        // A client of the monitoring interface may have no more than its key.
        return about.map(|about| Json(about).into_response()).ok_or_else(|| may_not(&parts));
    }
    if json {
        let overview = Overview::load(&api).await.map_err(IntoResponse::into_response)?;
        let mut told = about.unwrap_or_default();
        if let Ok(serde_json::Value::Object(overview)) = serde_json::to_value(overview) {
            told.extend(overview);
        }
        return Ok(Json(told).into_response());
    }
    let wish = Wish::parse(parts.uri.query().unwrap_or_default())
        .map_err(|bad| mistake(&bad.field, bad.message).into_response())?;
    page(&api, headers, wish).await.map_err(IntoResponse::into_response)
}

fn wants_json(headers: &HeaderMap) -> bool {
    let accept = headers.get(ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or_default();
    accept.contains("application/json") && !accept.contains("text/html")
}

async fn page(api: &Api, headers: &HeaderMap, wish: Wish) -> Result<Response, PageError> {
    let store = |error| PageError::store(&error);
    let now = now_ms();
    let stored = api.store.stored().await.map_err(store)?;
    let Found { projects, all, missing } = Found::load(api, &wish).await?;
    let compared = compare(api, &projects, &wish, now).await?;
    let end = wish.offset + projects.len();
    let turns = wish.chosen.is_empty();
    let mut endpoints = views(api, None)
        .await
        .map_err(|error| PageError::new(error.status, "Not available right now", error.message))?;
    let is_up = |endpoint: &EndpointView| endpoint.state == watchkeeper_store::State::Up;
    let (watched, up) = (endpoints.len(), endpoints.iter().filter(|endpoint| is_up(endpoint)).count());
    // The page of monitors has them all; here are those to look at first.
    endpoints.sort_by_key(is_up);
    endpoints.truncate(ENDPOINTS);
    #[allow(clippy::cast_precision_loss)] // shown with three digits
    let (hits, bytes) = (stored.hits as f64, stored.bytes as f64);
    let shell = Shell {
        administers: true,
        here: Section::Projects,
        signed_in: session::is_signed_in(api, headers).await.map_err(store)?,
        refresh: Some(30),
        ..Shell::new("Overview")
    };
    render(&Page {
        shell,
        hits: format::compact(hits),
        size: format::size(bytes),
        projects: stored.projects,
        up,
        watched,
        when: When::new(&wish, &compared, now),
        missing,
        span: (if projects.is_empty() { wish.offset } else { wish.offset + 1 }, end, all),
        earlier: (turns && wish.offset > 0).then(|| wish.at(wish.offset.saturating_sub(PROJECTS))),
        later: (turns && end < all && !projects.is_empty()).then(|| wish.at(end)),
        wish,
        shown: compared.rows,
        total: compared.total,
        width: compared.width,
        endpoints,
        now,
    })
}

impl When {
    fn new(wish: &Wish, compared: &Compared, now: i64) -> Self {
        let (asked, period) = (wish.period(), &compared.period);
        let is_custom = asked.get("from").is_some();
        let current = asked.get("period").filter(|_| !is_custom);
        let tab = |(id, text): (&str, &'static str)| Tab {
            text,
            href: wish.in_period(id),
            current: current == Some(id),
        };
        let day = |ms| format::moment(ms, &period.zone, "%Y-%m-%d");
        Self {
            periods: PERIODS.into_iter().map(tab).collect(),
            range: format::range(period.from, period.to, &period.zone),
            from: day(period.from),
            to: day((period.to.min(now) - 1).max(period.from)),
            zone: period.zone.iana_name().unwrap_or("UTC").to_owned(),
            is_custom,
            kept_by_range: wish
                .kept()
                .into_iter()
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .collect(),
        }
    }
}

impl Page {
    /// How long ago a moment was.
    fn ago(&self, ms: &i64) -> String {
        format::ago(self.now, *ms)
    }

    /// How long a state has lasted.
    fn since(&self, ms: &i64) -> String {
        crate::times::spoken(self.now - ms)
    }
}

/// A project's name; without one, the start of its user id, which is too short to read it by.
pub(in crate::routes) fn title(project: &Project) -> String {
    project.name.clone().unwrap_or_else(|| {
        let id = project.user_id.simple().to_string();
        format!("unnamed {}…", &id[..8])
    })
}
