//! `GET …/requests` and `…/requests.csv`: the hits that the page is about, its filters included. The
//! first shows them to every reader, a hundred at a time, the newest first; the file is its owner's.

use askama::Template;
use axum::extract::{RawQuery, State};
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use url::form_urlencoded;
use watchkeeper_analytics::{
    Bucket, Column, Dimension, Metric, Order, Panel, Question, Selection, Sieve, Table, newest,
};
use watchkeeper_store::Hit;
use watchkeeper_store::exchange::Format;

use super::access::{Look, Manager, render};
use super::format;
use super::hits::Glass;
use super::lists::Links;
use super::page::{Bar, ask, bar, scope};
use super::shell::{PageError, Shell};
use crate::Api;
use crate::routes::exchange::export::stream;

/// Requests of one page.
const PAGE: usize = 100;

/// Requests of one millisecond that pages can go through.
const SAME: usize = 10_000;

#[derive(Template)]
#[template(path = "dashboard/requests.html")]
struct Page {
    shell: Shell,
    bar: Bar,
    here: String,
    query: String,
    people: bool,
    rows: String,
    /// How many there are from here on, this page's among them.
    left: String,
    newest: Option<String>,
    older: Option<String>,
    csv: Option<String>,
}

/// Where a page begins: at the requests of a moment, some of which were shown already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Cursor {
    at: i64,
    shown: usize,
}

impl Cursor {
    /// Reads `before=<moment>.<requests of it that were shown>`, which is no filter: links elsewhere do
    /// not keep it. What it does not know it takes for the beginning.
    fn parse(query: &str) -> Option<Self> {
        let mut pairs = form_urlencoded::parse(query.as_bytes());
        let (_, value) = pairs.find(|(name, _)| name == "before")?;
        let (at, shown) = value.split_once('.')?;
        Some(Self { at: at.parse().ok()?, shown: shown.parse().ok().filter(|shown| *shown <= SAME)? })
    }

    /// Where the page after these hits, newest first, begins; their own page began at `page`.
    fn after(page: Option<Self>, hits: &[Hit]) -> Option<Self> {
        let at = hits.last()?.ts;
        let shown = hits.iter().rev().take_while(|hit| hit.ts == at).count();
        let before = page.filter(|it| it.at == at).map_or(0, |it| it.shown);
        Some(Self { at, shown: before + shown })
    }
}

/// `GET …/requests`
pub(super) async fn page(
    look: Look,
    State(api): State<Api>,
    RawQuery(query): RawQuery,
) -> Result<Response, PageError> {
    let query = query.unwrap_or_default();
    let filters = look.filters(Some(&query))?;
    let scope = scope(&api, &look, &filters).await?;
    let cursor = Cursor::parse(&query);
    let (period, zone) = (&scope.period, scope.period.zone.clone());
    let to = cursor.map_or(period.to, |cursor| cursor.at.saturating_add(1).clamp(period.from, period.to));
    let most = PAGE + 1 + cursor.map_or(0, |cursor| cursor.shown);

    // Where they are is counted first, so that only their days are read hit by hit.
    let by_day = Panel {
        order: vec![Order { by: Column::Dimension(0), descending: true }],
        ..Panel::by([Dimension::Time(Bucket::Day)], [Metric::Hits])
    };
    let counted = ask(&api, &look, &Question { to, ..scope.question() }.panel(by_day)).await?;
    let (from, left) = place(counted.tables.first(), most, period.from);
    let sieve = Sieve::new(&scope.condition(), &zone).map_err(|error| {
        PageError::new(StatusCode::UNPROCESSABLE_ENTITY, "That filter cannot be used", error.to_string())
    })?;
    let mut hits = {
        let _room = api.rooms.enter(look.project.id).await.map_err(|error| {
            PageError::new(StatusCode::SERVICE_UNAVAILABLE, "Not available right now", error.to_string())
        })?;
        newest(&api.store, look.project.id, from, to, sieve, most)
            .await
            .map_err(|error| PageError::store(&error))?
    };
    hits.reverse();
    let shown = cursor.map_or(0, |cursor| cursor.shown).min(hits.len());
    hits.drain(..shown);
    let more = hits.len() > PAGE;
    hits.truncate(PAGE);

    let here = format!("{}/requests", look.base);
    let links = Links { base: &here, scope: &scope };
    let chosen = filters.query();
    let at = |cursor: Cursor| {
        let joint = if chosen.is_empty() { '?' } else { '&' };
        format!("{here}{chosen}{joint}before={}.{}", cursor.at, cursor.shown)
    };
    let older = Cursor::after(cursor, &hits).filter(|older| more && older.shown <= SAME).map(at);
    let glass = Glass { zone, people: look.people, clock: "%-d %b %Y, %H:%M:%S" };
    #[allow(clippy::cast_precision_loss)] // a number of hits
    let left = format::count(left.saturating_sub(shown) as f64);
    render(&Page {
        shell: look.shell(format!("Requests · {}", look.title)),
        bar: bar(&look, &scope, &links),
        people: look.people,
        rows: glass.rows(&hits, &links)?,
        left,
        newest: cursor.map(|_| format!("{here}{chosen}")),
        older,
        csv: look.manages.then(|| format!("{here}.csv{chosen}")),
        here,
        query: chosen,
    })
}

/// The start of the days that have so many hits, the last days first, and how many hits all days have.
fn place(days: Option<&Table>, most: usize, first: i64) -> (i64, usize) {
    let rows = days.map(|table| table.rows.as_slice()).unwrap_or_default();
    let (mut from, mut all) = (first, 0);
    for row in rows {
        let start = row.key.first().and_then(watchkeeper_analytics::Value::as_number).unwrap_or(first);
        if all < most {
            from = start.max(first);
        }
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // a number of hits
        let hits = row.metrics.first().copied().flatten().unwrap_or_default() as usize;
        all += hits;
    }
    (from, all)
}

/// `GET …/requests.csv`: streams the file.
pub(super) async fn csv(
    Manager(look): Manager,
    State(api): State<Api>,
    RawQuery(query): RawQuery,
) -> Result<Response, PageError> {
    let filters = look.filters(query.as_deref())?;
    let question = scope(&api, &look, &filters).await?.question();
    let selection = Selection {
        from: question.from,
        to: question.to,
        zone: question.zone,
        condition: question.condition,
    };
    Ok(stream(&api, &look.project, Format::Csv, selection).await.into_response())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hits(moments: &[i64]) -> Vec<Hit> {
        moments.iter().map(|ts| Hit { ts: *ts, ..Hit::default() }).collect()
    }

    #[test]
    fn a_page_begins_behind_the_last_that_was_shown() {
        assert_eq!(Cursor::after(None, &[]), None);
        assert_eq!(Cursor::after(None, &hits(&[9, 8, 7, 7])), Some(Cursor { at: 7, shown: 2 }));
        let within = Some(Cursor { at: 7, shown: 2 });
        assert_eq!(Cursor::after(within, &hits(&[7, 7])), Some(Cursor { at: 7, shown: 4 }));
        assert_eq!(Cursor::after(within, &hits(&[7, 6])), Some(Cursor { at: 6, shown: 1 }));
        assert_eq!(Cursor::parse("path=/a&before=7.2"), within);
        for odd in ["", "before=7", "before=x.2", "before=7.-1", "before=7.10001"] {
            assert_eq!(Cursor::parse(odd), None, "{odd}");
        }
    }

    #[test]
    fn only_days_with_what_is_shown_are_read() {
        let row = |start: i64, hits: f64| watchkeeper_analytics::Row {
            key: vec![watchkeeper_analytics::Value::Number(start)],
            metrics: vec![Some(hits)],
        };
        let table = Table { rows: vec![row(300, 60.0), row(200, 50.0), row(100, 7.0)], ..Table::default() };
        assert_eq!(place(Some(&table), 60, 120), (300, 117));
        assert_eq!(place(Some(&table), 61, 120), (200, 117));
        assert_eq!(place(Some(&table), 111, 120), (120, 117));
        assert_eq!(place(None, 10, 120), (120, 0));
    }
}
