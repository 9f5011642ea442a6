//! `…/live`: the last requests, and those that come while somebody watches.

use askama::Template;
use axum::{
    extract::{RawQuery, State},
    response::{
        IntoResponse, Response,
        sse::{Event, KeepAlive, Sse},
    },
};
use futures::{Stream, stream};
use http::{HeaderMap, StatusCode};
use std::{
    convert::Infallible,
    time::{Duration, Instant},
};
use watchkeeper_analytics::{Sieve, newest};
use watchkeeper_store::{Arrivals, Hit, ProjectId, Store, StoreError, now_ms};

use super::{
    access::{Look, render},
    filters::{Chip, Filters},
    hits::Glass,
    lists::Links,
    page::{self},
    shared::Seat,
    shell::{PageError, Shell},
};
use crate::Api;

/// Requests that the page starts with.
const FIRST: usize = 50;

/// Requests that one look at the store sends at most.
const BURST: usize = 100;

/// How far back the page looks for them, milliseconds.
const BACK: i64 = 7 * watchkeeper_store::DAY_MS;

/// Time between looks at the store.
const LOOK: Duration = Duration::from_secs(1);

/// How long one connection is served: less than a shutdown waits, and the browser comes again.
const SERVED: Duration = Duration::from_secs(20);

#[derive(Template)]
#[template(path = "dashboard/live.html")]
struct Page {
    shell: Shell,
    chips: Vec<(Chip, String)>,
    locked: Vec<Chip>,
    zone: String,
    people: bool,
    rows: String,
    events: String,
    dashboard: String,
}

/// What both routes know of a reader.
async fn glass(api: &Api, look: &Look, query: Option<&str>) -> Result<(Glass, Filters, Sieve), PageError> {
    let filters = look.filters(query)?;
    let scope = page::scope(api, look, &filters).await?;
    let zone = scope.period.zone.clone();
    let sieve = Sieve::new(&scope.condition(), &zone).map_err(|error| {
        PageError::new(StatusCode::UNPROCESSABLE_ENTITY, "That filter cannot be used", error.to_string())
    })?;
    let glass = Glass { zone, people: look.people, clock: "%H:%M:%S" };
    Ok((glass, filters, sieve))
}

/// `GET …/live`
pub(super) async fn page(
    look: Look,
    State(api): State<Api>,
    RawQuery(query): RawQuery,
) -> Result<Response, PageError> {
    let (glass, filters, sieve) = glass(&api, &look, query.as_deref()).await?;
    let store = |error| PageError::store(&error);
    // Before the requests are read: what comes meanwhile is then told again rather than never.
    let cursor = api.store.arrival_cursor(look.project.id).await.map_err(store)?;
    let now = now_ms();
    let mut hits = {
        let _room = api.rooms.enter(look.project.id).await.map_err(|error| {
            PageError::new(StatusCode::SERVICE_UNAVAILABLE, "Not available right now", error.to_string())
        })?;
        newest(&api.store, look.project.id, now - BACK, now + watchkeeper_store::DAY_MS, sieve, FIRST)
            .await
            .map_err(store)?
    };
    let here = format!("{}/live", look.base);
    let scope = page::scope(&api, &look, &filters).await?;
    let links = Links { base: &here, scope: &scope };
    hits.reverse();
    let rows = glass.rows(&hits, &links)?;
    let query = filters.query();
    let joint = if query.is_empty() { '?' } else { '&' };
    render(&Page {
        shell: Shell { refresh: Some(5), ..look.shell(format!("Live · {}", look.title)) },
        chips: filters
            .chips()
            .into_iter()
            .map(|chip| {
                let without = links.to(&filters.without(&chip.name, &chip.raw));
                (chip, without)
            })
            .collect(),
        locked: look.locked.chips(),
        zone: glass.zone.iana_name().unwrap_or("UTC").to_owned(),
        people: look.people,
        rows,
        events: format!("{here}/events{query}{joint}after={cursor}"),
        dashboard: format!("{}{query}", look.base),
    })
}

/// A connection that is served.
struct Watch {
    store: Store,
    project: ProjectId,
    cursor: i64,
    until: Instant,
    glass: Glass,
    filters: Filters,
    sieve: Sieve,
    look: Look,
    first: bool,
    _seat: Seat,
}

/// `GET …/live/events?after=…`: events named `hits`, whose data is rows of the page's table.
pub(super) async fn events(
    look: Look,
    State(api): State<Api>,
    headers: HeaderMap,
    RawQuery(query): RawQuery,
) -> Result<Response, PageError> {
    let guest = !look.manages && !look.administers;
    let Some(seat) = api.dashboard.watchers.take(guest) else {
        let message = "Too many live pages are open. Close some, or try again in a moment.";
        return Err(PageError::new(StatusCode::SERVICE_UNAVAILABLE, "Not available right now", message));
    };
    let (glass, filters, sieve) = glass(&api, &look, query.as_deref()).await?;
    let given = headers.get("last-event-id").and_then(|value| value.to_str().ok()?.parse().ok());
    let after = || {
        let pairs = url::form_urlencoded::parse(query.as_deref().unwrap_or_default().as_bytes());
        pairs.filter(|(name, _)| name == "after").find_map(|(_, value)| value.parse().ok())
    };
    let cursor = match given.or_else(after) {
        Some(cursor) => cursor,
        None => api.store.arrival_cursor(look.project.id).await.map_err(|error| PageError::store(&error))?,
    };
    let watch = Watch {
        store: api.store.clone(),
        project: look.project.id,
        cursor,
        until: Instant::now() + SERVED,
        glass,
        filters,
        sieve,
        look,
        first: true,
        _seat: seat,
    };
    Ok(Sse::new(watching(watch)).keep_alive(KeepAlive::default()).into_response())
}

fn watching(watch: Watch) -> impl Stream<Item = Result<Event, Infallible>> {
    stream::unfold(watch, |mut watch| async move {
        if std::mem::take(&mut watch.first) {
            // The browser comes again as soon as a connection has been served.
            return Some((Ok(Event::default().retry(Duration::from_millis(500)).comment("watching")), watch));
        }
        while Instant::now() < watch.until {
            match watch.look().await {
                Ok(arrived) => {
                    watch.cursor = arrived.cursor;
                    if !arrived.hits.is_empty()
                        && let Some(rows) = watch.rows(&arrived.hits)
                    {
                        let event = Event::default().event("hits").id(watch.cursor.to_string()).data(rows);
                        return Some((Ok(event), watch));
                    }
                }
                Err(error) => tracing::warn!(%error, "a live page could not look at the store"),
            }
            tokio::time::sleep(LOOK).await;
        }
        None
    })
}

impl Watch {
    /// What has come since the last look.
    async fn look(&self) -> Result<Arrivals, StoreError> {
        let sieve = self.sieve.clone();
        self.store.arrivals(self.project, self.cursor, BURST, move |hit| sieve.keeps(hit)).await
    }

    fn rows(&self, hits: &[Hit]) -> Option<String> {
        let now = now_ms();
        let period = crate::period::Range::Hours(1).at(now, &self.glass.zone, None).ok()?;
        let scope = super::panels::Scope {
            filters: &self.filters,
            settings: &self.look.settings,
            locked: self.look.condition(),
            period,
            now,
        };
        let here = format!("{}/live", self.look.base);
        self.glass.rows(hits, &Links { base: &here, scope: &scope }).ok()
    }
}
