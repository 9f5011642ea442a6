//! A listing whole: as a page, and as CSV.

use askama::Template;
use axum::{
    extract::{Path, RawQuery, State},
    response::{IntoResponse, Response},
};
use http::{
    HeaderValue, StatusCode,
    header::{CONTENT_DISPOSITION, CONTENT_TYPE},
};
use std::collections::HashMap;
use watchkeeper_analytics::{Dimension, Metric, Panel, Question, Table, Value};

use super::{
    access::{Look, render},
    format,
    lists::{Key, Links, heading, readable},
    page::{Bar, ask, bar, scope},
    panels::{self, ACTIVITY, EDGES, Listing, Scope, listing},
    shell::{PageError, Shell},
};
use crate::{Api, times::rfc3339};

/// Rows of a page.
const PAGE: usize = 100;

/// Rows of a CSV at most, which is in memory whole.
const CSV: usize = 100_000;

#[derive(Template)]
#[template(path = "dashboard/table.html")]
struct Whole {
    shell: Shell,
    bar: Bar,
    here: String,
    title: &'static str,
    heads: Vec<&'static str>,
    numbers: Vec<&'static str>,
    rows: Vec<(Vec<Key>, Vec<String>)>,
    /// First and last row shown, and how many there are.
    span: (usize, usize, usize),
    earlier: Option<String>,
    later: Option<String>,
    csv: String,
}

/// What a table shows.
struct Shown {
    id: &'static str,
    title: &'static str,
    dimensions: Vec<Dimension>,
    metrics: &'static [Metric],
    panel: Panel,
}

/// `GET …/table/{listing}` and `GET …/table/{listing}.csv`.
pub(super) async fn table(
    look: Look,
    State(api): State<Api>,
    Path(params): Path<HashMap<String, String>>,
    RawQuery(query): RawQuery,
) -> Result<Response, PageError> {
    let query = query.unwrap_or_default();
    let filters = look.filters(Some(&query))?;
    let scope = scope(&api, &look, &filters).await?;
    let name = params.get("listing").map_or("", String::as_str);
    if name == "response-times.csv" {
        return spread(&api, &look, &scope).await;
    }
    let id = name.strip_suffix(".csv").unwrap_or(name);
    let shown =
        shown(id, &scope).filter(|shown| look.people || listing(shown.id).is_none_or(|it| !it.people));
    let shown = shown.ok_or_else(PageError::not_found)?;
    let whole = name.ends_with(".csv");
    let offset = if whole { 0 } else { offset(&query) };
    let panel = Panel { offset, ..shown.panel.clone().top(if whole { CSV } else { PAGE }) };
    let question = scope.question().panel(panel);
    let table = ask(&api, &look, &question).await?.tables.into_iter().next().unwrap_or_default();
    if whole {
        check(&table).map_err(|error| PageError { back: Some(look.base.clone()), ..error })?;
        return csv_of(&shown, &table);
    }
    page(&look, &scope, &shown, &table, offset)
}

fn shown(id: &str, scope: &Scope<'_>) -> Option<Shown> {
    if id == "activity" {
        let panel = scope.activity();
        let dimensions = panel.dimensions.clone();
        return Some(Shown { id: "activity", title: "Activity", dimensions, metrics: ACTIVITY, panel });
    }
    let listing: &'static Listing = listing(id)?;
    let dimensions = scope.dimensions(listing);
    let panel = scope.panel(listing);
    Some(Shown { id: listing.id, title: listing.title, dimensions, metrics: listing.metrics, panel })
}

/// Rows to pass over, which is no filter: links elsewhere do not keep it.
fn offset(query: &str) -> usize {
    let offsets = url::form_urlencoded::parse(query.as_bytes()).filter(|(name, _)| name == "offset");
    offsets.filter_map(|(_, value)| value.parse().ok()).last().unwrap_or_default()
}

fn page(
    look: &Look,
    scope: &Scope<'_>,
    shown: &Shown,
    table: &Table,
    offset: usize,
) -> Result<Response, PageError> {
    let links = Links { base: &look.base, scope };
    let here = format!("{}/table/{}", look.base, shown.id);
    let query = scope.filters.query();
    let starts = if shown.id == "activity" { scope.starts() } else { Vec::new() };
    let key = |dimension: Dimension, value: &Value| match (dimension, value) {
        (Dimension::Time(bucket), Value::Number(start)) => {
            let next = starts.iter().find(|it| *it > start).copied().unwrap_or(scope.period.to);
            Key {
                text: format::bucket(*start, &scope.period.zone, bucket),
                mark: None,
                class: "",
                href: Some(links.to(&scope.filters.between(&rfc3339(*start), &rfc3339(next)))),
                active: false,
            }
        }
        _ => links.key(dimension, value),
    };
    let rows = table.rows.iter().map(|row| {
        let keys = shown.dimensions.iter().zip(&row.key).map(|(dimension, value)| key(*dimension, value));
        let numbers = shown.metrics.iter().zip(&row.metrics);
        let numbers = numbers.map(|(metric, value)| format::told(table, *metric, *value, scope.now));
        (keys.collect(), numbers.collect())
    });
    let at = |offset: usize| {
        let joint = if query.is_empty() { '?' } else { '&' };
        format!("{here}{query}{joint}offset={offset}")
    };
    let end = offset + table.rows.len();
    render(&Whole {
        shell: look.shell(format!("{} · {}", shown.title, look.title)),
        bar: bar(look, scope, &Links { base: &here, scope }),
        title: shown.title,
        heads: shown.dimensions.iter().map(|dimension| heading(*dimension)).collect(),
        numbers: shown.metrics.iter().map(|metric| format::heading(*metric)).collect(),
        rows: rows.collect(),
        span: (if end > offset { offset + 1 } else { offset }, end, table.groups),
        earlier: (offset > 0).then(|| at(offset.saturating_sub(PAGE))),
        later: (end < table.groups).then(|| at(end)),
        csv: format!("{here}.csv{query}"),
        here,
    })
}

/// Refuses a table whose CSV would not have all its rows.
fn check(table: &Table) -> Result<(), PageError> {
    if table.groups <= CSV {
        return Ok(());
    }
    let message = format!(
        "It has {} rows, and a CSV has {CSV} at most. Choose fewer by a filter or a shorter period, or ask for \
         each request as CSV.",
        table.groups
    );
    Err(PageError::new(StatusCode::UNPROCESSABLE_ENTITY, "That is too much for one file", message))
}

/// A listing as CSV, with the names of the query interface above its columns.
fn csv_of(shown: &Shown, table: &Table) -> Result<Response, PageError> {
    let heads = shown.dimensions.iter().map(ToString::to_string);
    let heads: Vec<String> = heads.chain(shown.metrics.iter().map(ToString::to_string)).collect();
    let rows = table.rows.iter().map(|row| {
        let keys = shown.dimensions.iter().zip(&row.key).map(|(dimension, value)| match (dimension, value) {
            (Dimension::Time(_), Value::Number(start)) => rfc3339(*start),
            (_, Value::Unknown) => String::new(),
            (Dimension::Weekday, value) => readable(Dimension::Weekday, value),
            (_, value) => plain(&value.to_string()),
        });
        let numbers = shown.metrics.iter().zip(&row.metrics).map(|(metric, value)| match (metric, value) {
            (_, None) => String::new(),
            #[allow(clippy::cast_possible_truncation)] // milliseconds since 1970
            (Metric::FirstSeen | Metric::LastSeen, Some(value)) => rfc3339(*value as i64),
            (_, Some(value)) => value.to_string(),
        });
        keys.chain(numbers).collect()
    });
    csv(shown.id, heads, rows)
}

async fn spread(api: &Api, look: &Look, scope: &Scope<'_>) -> Result<Response, PageError> {
    let question = panels::classes().fold(scope.question(), Question::panel);
    let answer = ask(api, look, &question).await?;
    let rows = EDGES.iter().zip(&answer.tables).enumerate().map(|(index, (low, table))| {
        let high = EDGES.get(index + 1).map_or(String::new(), ToString::to_string);
        vec![low.to_string(), high, table.number().to_string()]
    });
    let heads = ["duration_from", "duration_below", "hits"].map(str::to_owned);
    csv("response-times", heads.into(), rows)
}

fn csv(id: &str, heads: Vec<String>, rows: impl Iterator<Item = Vec<String>>) -> Result<Response, PageError> {
    let broken = |error: &dyn std::fmt::Display| {
        tracing::error!(%error, "a CSV could not be written");
        PageError::new(StatusCode::INTERNAL_SERVER_ERROR, "Something broke", "See the server's log.")
    };
    let mut writer = csv::Writer::from_writer(Vec::new());
    for row in std::iter::once(heads).chain(rows) {
        writer.write_record(row).map_err(|error| broken(&error))?;
    }
    let body = writer.into_inner().map_err(|error| broken(&error))?;
    let name = HeaderValue::from_str(&format!("attachment; filename=\"{id}.csv\""))
        .map_err(|error| broken(&error))?;
    let label = HeaderValue::from_static("text/csv; charset=utf-8");
    Ok(([(CONTENT_TYPE, label), (CONTENT_DISPOSITION, name)], body).into_response())
}

/// A text that no spreadsheet takes for a formula: strangers choose paths and referrers.
fn plain(text: &str) -> String {
    if text.starts_with(['=', '+', '-', '@', '\t', '\r']) { format!("'{text}") } else { text.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cell_is_no_formula() {
        for hostile in ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1"] {
            assert_eq!(plain(hostile), format!("'{hostile}"));
        }
        assert_eq!(plain("/a=1"), "/a=1");
    }

    #[test]
    fn a_csv_has_all_rows_or_is_refused() {
        let of = |groups| check(&Table { groups, ..Table::default() });
        assert!(of(CSV).is_ok());
        let refused = of(CSV + 1).expect_err("too many");
        assert_eq!(refused.status, StatusCode::UNPROCESSABLE_ENTITY);
        assert!(refused.message.contains("100001 rows"), "{}", refused.message);
    }

    #[test]
    fn an_offset_is_the_last_that_is_a_number() {
        assert_eq!([offset(""), offset("offset=x"), offset("path=/a&offset=100")], [0, 0, 100]);
    }
}
