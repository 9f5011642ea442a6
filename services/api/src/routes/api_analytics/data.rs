//! `GET /api/data`: raw hits for programs.

use std::collections::HashMap;

use axum::{
    extract::{Query, State},
    response::{IntoResponse, Response},
};
use http::{HeaderMap, HeaderValue, header::CONTENT_TYPE};
use watchkeeper_analytics::{Filter, Page, Reader, Rows};
use watchkeeper_runtime::error::ApiError;
use watchkeeper_store::{DAY_MS, ProjectId};

use super::{
    account::header_key,
    failure::{Failure, off_executor},
    rows::{FIELDS, Table},
    store_error,
};
use crate::{
    Api,
    answers::{LONGEST, TooLong},
    routes::ErrorView,
    times::midnight,
};

/// Rows of a page.
const PAGE: usize = 50_000;

/// Head of the compact form, whose rows follow its order.
const COMPACT_HEAD: [&str; 10] = [
    "ip_address",
    "path",
    "hostname",
    "user_agent",
    "method",
    "response_time",
    "status",
    "location",
    "user_id",
    "created_at",
];

/// Tells the raw hits of a key, 50,000 a page. A key that is not known has none.
#[utoipa::path(
    get,
    path = "/api/data",
    tag = "api-analytics",
    params(
        ("page" = Option<i64>, Query, description = "Counted from 1"),
        ("compact" = Option<bool>, Query, description = "Rows as lists below a head"),
        ("date" = Option<String>, Query, description = "One day, YYYY-MM-DD"),
        ("dateFrom" = Option<String>, Query, description = "First day"),
        ("dateTo" = Option<String>, Query, description = "Midnight of this day is the end"),
        ("hostname" = Option<String>, Query, description = "Exactly"),
        ("ip" = Option<String>, Query, description = "Address; also ipAddress, ip_address"),
        ("location" = Option<String>, Query, description = "Country code"),
        ("status" = Option<i64>, Query, description = "100 to 599"),
        ("userID" = Option<String>, Query, description = "Exactly; also userId, user_id"),
    ),
    responses(
        (status = 200, description = "The hits", body = Vec<Object>),
        (status = 400, description = "Refused; the message says why", body = ErrorView),
        (status = 422, description = "The page would have more than 64 MiB", body = ErrorView),
    ),
    security(("project_key" = [])),
)]
pub(crate) async fn data(
    State(api): State<Api>,
    Query(query): Query<HashMap<String, String>>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let key = header_key(&headers)?;
    let project = api.store.project_by_key(key).await.map_err(|e| store_error(&e))?;

    let compact = query.get("compact").is_some_and(|text| text == "true");
    let mut body = b"[".to_vec();
    if compact {
        body.extend(serde_json::to_vec(&COMPACT_HEAD).map_err(|e| ApiError::internal(&e))?);
    }
    let body = match project {
        Some(project) => {
            let _room = api.rooms.enter(project.id).await.map_err(|e| ApiError::internal(&e))?;
            let rows = read(&api, project.id, &query, body, compact).await;
            let mut body = rows.map_err(Failure::into_answer)?;
            body.push(b']');
            api.answers.hold(project.id, body).await?
        }
        None => {
            body.push(b']');
            body.into()
        }
    };
    let json = HeaderValue::from_static("application/json; charset=utf-8");
    Ok(([(CONTENT_TYPE, json)], body).into_response())
}

async fn read(
    api: &Api,
    project: ProjectId,
    query: &HashMap<String, String>,
    mut body: Vec<u8>,
    compact: bool,
) -> Result<Vec<u8>, Failure> {
    let mut reader = Reader::open(&api.store, project, filter(query), page(query), FIELDS).await?;
    while let Some(rows) = reader.next().await? {
        body = off_executor(move || write(body, &rows, compact)).await??;
    }
    Ok(body)
}

fn write(mut body: Vec<u8>, rows: &Rows, compact: bool) -> Result<Vec<u8>, TooLong> {
    let table = Table::new(rows);
    for row in (0..table.len()).map(|number| table.row(number)) {
        if body.len() > 1 {
            body.push(b',');
        }
        if compact {
            row.write_compact(&mut body);
        } else {
            row.write_object(&mut body);
        }
        if body.len() > LONGEST {
            return Err(TooLong);
        }
    }
    Ok(body)
}

/// Page 1 for none and for junk; nothing for 0 and below.
fn page(query: &HashMap<String, String>) -> Page {
    let number = query.get("page").and_then(|text| text.parse::<i64>().ok()).unwrap_or(1);
    Page::numbered(number, PAGE)
}

/// The filters in every spelling that is documented or coded upstream; values
/// that cannot be are ignored, as upstream does.
fn filter(query: &HashMap<String, String>) -> Filter {
    let get = |names: &[&str]| {
        names.iter().find_map(|name| query.get(*name)).filter(|value| !value.is_empty()).cloned()
    };
    let day = |names: &[&str]| get(names).and_then(|text| midnight(&text));
    let exact = day(&["date"]);
    Filter {
        from: exact.or_else(|| day(&["dateFrom", "date_from"])),
        // Up to midnight of that day, which itself still counts, as upstream compares.
        to: exact.map(|day| day + DAY_MS).or_else(|| day(&["dateTo", "date_to"]).map(|day| day + 1)),
        host: get(&["hostname"]),
        ip: get(&["ip", "ipAddress", "ip_address"])
            .and_then(|text| text.parse::<std::net::IpAddr>().ok())
            .map(|ip| ip.to_canonical().to_string()),
        country: get(&["location"]).filter(|code| code.chars().count() == 2),
        status: get(&["status"])
            .and_then(|text| text.parse().ok())
            .filter(|status| (100..=599).contains(status)),
        user: get(&["userID", "userId", "user_id"]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn from(pairs: &[(&str, &str)]) -> Filter {
        filter(&pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect())
    }

    #[test]
    fn every_spelling_of_a_filter_is_understood() {
        for name in ["ip", "ipAddress", "ip_address"] {
            assert_eq!(from(&[(name, "::ffff:1.2.3.4")]).ip.as_deref(), Some("1.2.3.4"), "{name}");
        }
        for name in ["userID", "userId", "user_id"] {
            assert_eq!(from(&[(name, "u")]).user.as_deref(), Some("u"), "{name}");
        }
    }

    #[test]
    fn a_value_that_cannot_be_is_ignored() {
        let junk = [
            ("ip", "x"),
            ("status", "42"),
            ("location", "DEU"),
            ("date", "x"),
            ("dateFrom", ""),
            ("hostname", ""),
        ];
        assert_eq!(from(&junk), Filter::default());
    }

    #[test]
    fn a_date_is_its_whole_day_and_a_range_ends_at_midnight() {
        let date = from(&[("date", "1970-01-02")]);
        assert_eq!((date.from, date.to), (Some(DAY_MS), Some(2 * DAY_MS)));
        let range = from(&[("dateFrom", "1970-01-02"), ("dateTo", "1970-01-03")]);
        assert_eq!((range.from, range.to), (Some(DAY_MS), Some(2 * DAY_MS + 1)));
    }
}
