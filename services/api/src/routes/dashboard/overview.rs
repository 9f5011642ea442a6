//! `/`: every project on one page, and everything that is watched.

use askama::Template;
use axum::{
    Json,
    extract::State,
    response::{IntoResponse, Response},
};
use http::{HeaderMap, header::ACCEPT, request::Parts};
use url::form_urlencoded;
use watchkeeper_analytics::{Bucket, Dimension, Metric, Panel, Question};
use watchkeeper_store::{Project, now_ms};

use super::{
    access::{is_open, may_not, render},
    charts,
    format::{self, Change, Rise},
    page::answer,
    shell::{PageError, Section, Shell, percent_encoded},
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

/// Projects of one page.
const PROJECTS: usize = 20;

/// Characters of a search that are looked at.
const SEARCH: usize = 200;

/// Endpoints shown; what is not up comes first.
const ENDPOINTS: usize = 20;

/// What is told of a project.
const NUMBERS: &[Metric] = &[Metric::Hits, Metric::Users, Metric::Errors, Metric::Duration(950)];

#[derive(Template)]
#[template(path = "dashboard/overview.html")]
struct Page {
    shell: Shell,
    hits: String,
    size: String,
    projects: i64,
    up: usize,
    wish: Wish,
    shown: Vec<Row>,
    /// First and last project shown, and how many the search finds.
    span: (usize, usize, usize),
    earlier: Option<String>,
    later: Option<String>,
    watched: usize,
    endpoints: Vec<EndpointView>,
    now: i64,
}

/// Which projects an address asks for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Wish {
    search: String,
    offset: usize,
}

impl Wish {
    /// Reads an address; what it does not know it leaves out.
    fn parse(query: &str) -> Self {
        let mut wish = Self::default();
        for (name, value) in form_urlencoded::parse(query.as_bytes()) {
            match &*name {
                "q" => wish.search = value.trim().chars().take(SEARCH).collect(),
                "offset" => {
                    wish.offset =
                        value.parse::<u32>().ok().and_then(|it| it.try_into().ok()).unwrap_or_default()
                }
                _ => {}
            }
        }
        wish
    }

    /// The address of the same search from another project on.
    fn at(&self, offset: usize) -> String {
        let mut query = form_urlencoded::Serializer::new(String::new());
        if !self.search.is_empty() {
            query.append_pair("q", &self.search);
        }
        if offset > 0 {
            query.append_pair("offset", &offset.to_string());
        }
        let query = query.finish();
        if query.is_empty() { "/".into() } else { format!("/?{query}") }
    }
}

/// A project's last day.
struct Row {
    name: String,
    href: String,
    numbers: Vec<String>,
    change: Option<Change>,
    /// Bars of all requests and of errors, an hour each.
    bars: String,
    errors: String,
    summary: String,
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
    if !administers && !is_open(&api, headers) {
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
    let wish = Wish::parse(parts.uri.query().unwrap_or_default());
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
    let number = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
    let found = api.store.find_projects(&wish.search, number(wish.offset), number(PROJECTS)).await;
    let (projects, found) = found.map_err(store)?;
    let found = usize::try_from(found).unwrap_or_default();
    let mut shown = Vec::new();
    for project in &projects {
        shown.push(row(api, project, now).await?);
    }
    let end = wish.offset + shown.len();
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
        span: (if shown.is_empty() { wish.offset } else { wish.offset + 1 }, end, found),
        earlier: (wish.offset > 0).then(|| wish.at(wish.offset.saturating_sub(PROJECTS))),
        later: (end < found && !shown.is_empty()).then(|| wish.at(end)),
        wish,
        shown,
        endpoints,
        now,
    })
}

async fn row(api: &Api, project: &Project, now: i64) -> Result<Row, PageError> {
    const HOUR: i64 = 3_600_000;
    let hourly = Panel::by([Dimension::Time(Bucket::Seconds(3_600))], [Metric::Hits, Metric::Errors]);
    let day = Question::new(now + 1 - 24 * HOUR, now + 1).panel(Panel::by([], NUMBERS)).panel(hourly);
    let before = Question { panels: vec![Panel::by([], [Metric::Hits])], ..day.before() };
    let before = answer(api, project.id, &before).await?.tables.first().map(|table| table.number());
    let tables = answer(api, project.id, &day).await?.tables;
    let table = tables.first().cloned().unwrap_or_default();
    let totals = table.rows.first().map(|row| row.metrics.clone());
    let totals = totals.unwrap_or_else(|| vec![None; NUMBERS.len()]);
    let number = |(it, value): (&Metric, &Option<f64>)| format::told(&table, *it, *value, now);
    let mut bars = [vec![0.0; 24], vec![0.0; 24]];
    for row in tables.get(1).map(|table| table.rows.as_slice()).unwrap_or_default() {
        let start = row.key.first().and_then(watchkeeper_analytics::Value::as_number).unwrap_or_default();
        let hour = usize::try_from((start - day.from) / HOUR).unwrap_or(usize::MAX);
        for (bar, value) in bars.iter_mut().zip(&row.metrics) {
            if let Some(bar) = bar.get_mut(hour) {
                *bar = value.unwrap_or_default();
            }
        }
    }
    let top = bars[0].iter().copied().fold(1.0, f64::max);
    let name = title(project);
    let named = project.name.clone().unwrap_or_else(|| project.id.0.to_string());
    Ok(Row {
        href: format!("/p/{}", percent_encoded(&named)),
        numbers: NUMBERS.iter().zip(&totals).map(number).collect(),
        change: Change::between(before, totals.first().copied().flatten(), Rise::Neither),
        bars: charts::stack(&[bars[0].clone()], top).remove(0),
        errors: charts::stack(&[bars[1].clone()], top).remove(0),
        summary: format!("Requests of {name} by hour, at most {}", format::count(top)),
        name,
    })
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_address_says_which_projects_are_shown() {
        let wish = Wish::parse("q=+a%26b+&offset=40&x=y");
        assert_eq!(wish, Wish { search: "a&b".into(), offset: 40 });
        assert_eq!([wish.at(20), wish.at(0)], ["/?q=a%26b&offset=20", "/?q=a%26b"]);
        assert_eq!(Wish::parse("offset=-1"), Wish::default());
        assert_eq!(Wish::default().at(0), "/");
    }
}
