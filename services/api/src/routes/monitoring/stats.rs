//! `/api/v1/stats`: what an endpoint's checks say about a span of time.

use axum::{Json, extract::State};
use serde_json::{Map, Value, json};
use watchkeeper_store::{Endpoint, LastCheck, now_ms};

use super::{
    access::Caller,
    endpoints::find,
    moment,
    past::{Incidents, Uptime},
    problem::Problem,
    query::{EndpointId, Params, Period},
    view,
};
use crate::{Api, routes::ErrorView, times::rfc3339};

/// Checks that are read from the store at once.
const PIECE: usize = 10_000;

/// Checks of one page of a history.
const PAGE: i64 = 1_000;

/// Takes every check from `from` up to, not including, `to`, the oldest first. Memory stays that of
/// one piece, however long the span is.
async fn each_check(
    api: &Api,
    endpoint: &Endpoint,
    from: i64,
    to: i64,
    mut take: impl FnMut(&LastCheck),
) -> Result<(), Problem> {
    let mut from = from;
    loop {
        let piece = api.store.checks_between(endpoint.project, endpoint.id, from, to, PIECE, false).await?;
        piece.iter().for_each(&mut take);
        match piece.last() {
            // One endpoint has one check in a millisecond at most.
            Some(last) if piece.len() == PIECE => from = last.at + 1,
            _ => return Ok(()),
        }
    }
}

/// Tells how often an endpoint's checks were good.
#[utoipa::path(
    get,
    path = "/api/v1/stats/uptime/{id}",
    tag = "monitoring",
    params(
        ("id" = i64, Path, description = "Number of the endpoint"),
        ("period" = Option<String>, Query, description = "24h, 7d or 30d; 24h without it"),
    ),
    responses(
        (status = 200, description = "Percent, counts, seconds to the answer, and when it was last good and bad", body = Object),
        (status = 401, description = "No credential that counts", body = ErrorView),
        (status = 404, description = "There is none of that number", body = Object),
        (status = 422, description = "A parameter is at fault; it is named", body = Object),
        (status = 429, description = "Too many requests of this address in a minute", body = Object),
    ),
    security((), ("monitoring_key" = []), ("admin" = []), ("admin_basic" = [])),
)]
pub(crate) async fn uptime(
    _: Caller<200>,
    State(api): State<Api>,
    id: EndpointId,
    mut params: Params,
) -> Result<Json<Value>, Problem> {
    let id = id.noted(&mut params);
    let period = params.period(Period::Day);
    params.done()?;
    let endpoint = find(&api, id).await?;
    let now = now_ms();
    let mut uptime = Uptime::default();
    each_check(&api, &endpoint, now - period.length(), now + 1, |check| uptime.take(check)).await?;
    let mut answer = head(&endpoint);
    answer.insert("period".into(), period.name().into());
    answer.extend(uptime.json().into_iter().map(|(name, value)| (name.to_owned(), value)));
    Ok(Json(Value::Object(answer)))
}

/// Whose figures they are.
fn head(endpoint: &Endpoint) -> Map<String, Value> {
    let head = [("endpoint_id", json!(endpoint.id)), ("endpoint_name", json!(endpoint.name))];
    head.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

/// Lists an endpoint's checks, the newest first.
#[utoipa::path(
    get,
    path = "/api/v1/stats/history/{id}",
    tag = "monitoring",
    params(
        ("id" = i64, Path, description = "Number of the endpoint"),
        ("limit" = Option<i64>, Query, description = "Checks at most, 1 to 1,000; 100 without it"),
        ("offset" = Option<i64>, Query, description = "Newer checks to leave out"),
        ("from_date" = Option<String>, Query, description = "The first moment, ISO 8601, in UTC without a zone; a day means its midnight"),
        ("to_date" = Option<String>, Query, description = "The last moment"),
    ),
    responses(
        (status = 200, description = "The checks, and how many there are in all", body = Object),
        (status = 400, description = "A date cannot be read", body = Object),
        (status = 401, description = "No credential that counts", body = ErrorView),
        (status = 404, description = "There is none of that number", body = Object),
        (status = 422, description = "A parameter is at fault; it is named", body = Object),
        (status = 429, description = "Too many requests of this address in a minute", body = Object),
    ),
    security((), ("monitoring_key" = []), ("admin" = []), ("admin_basic" = [])),
)]
pub(crate) async fn history(
    _: Caller<200>,
    State(api): State<Api>,
    id: EndpointId,
    mut params: Params,
) -> Result<Json<Value>, Problem> {
    let id = id.noted(&mut params);
    let limit = params.integer("limit", 100, 1..=PAGE);
    let offset = params.integer("offset", 0, 0..=i64::MAX);
    params.done()?;
    let endpoint = find(&api, id).await?;
    let bound = |name: &str| -> Result<Option<i64>, Problem> {
        let Some(text) = params.text(name) else { return Ok(None) };
        moment::parse(text).map(Some).ok_or_else(|| {
            Problem::refused(format!("Invalid {name} format. Use ISO format (YYYY-MM-DDTHH:MM:SS)"))
        })
    };
    let from = bound("from_date")?.unwrap_or(i64::MIN);
    let to = bound("to_date")?.map_or(i64::MAX, |last| last.saturating_add(1));
    let total = api.store.check_count(endpoint.project, endpoint.id, from, to).await?;
    // A page behind the last one would be looked for through everything that is kept.
    let checks = match offset < total {
        true => newest(&api, &endpoint, (from, to), offset, limit).await?,
        false => Vec::new(),
    };
    let checks: Vec<_> = checks.iter().map(|check| view::check(&endpoint, check)).collect();
    let mut answer = head(&endpoint);
    answer.insert("checks".into(), checks.into());
    answer.insert("total".into(), total.into());
    answer.insert("from_date".into(), params.text("from_date").into());
    answer.insert("to_date".into(), params.text("to_date").into());
    Ok(Json(Value::Object(answer)))
}

/// A page of checks, the newest first. What comes before it is read piece by piece, and forgotten.
async fn newest(
    api: &Api,
    endpoint: &Endpoint,
    (from, mut to): (i64, i64),
    offset: i64,
    limit: i64,
) -> Result<Vec<LastCheck>, Problem> {
    let mut skip = usize::try_from(offset).unwrap_or(usize::MAX);
    let limit = usize::try_from(limit).unwrap_or_default();
    loop {
        let wanted = skip.saturating_add(limit).min(PIECE);
        let mut piece =
            api.store.checks_between(endpoint.project, endpoint.id, from, to, wanted, true).await?;
        let (length, last) = (piece.len(), piece.last().map(|check| check.at));
        if skip < length && (skip + limit <= length || length < wanted) {
            piece.drain(..skip);
            piece.truncate(limit);
            return Ok(piece);
        }
        match last {
            Some(last) if length == wanted => {
                // A page across the end of a piece starts with the next one.
                let passed = length.min(skip);
                skip -= passed;
                to = piece.get(passed).map_or(last, |first| first.at + 1);
            }
            _ => return Ok(Vec::new()),
        }
    }
}

/// Lists an endpoint's incidents: failures in a row.
#[utoipa::path(
    get,
    path = "/api/v1/stats/incidents/{id}",
    tag = "monitoring",
    params(
        ("id" = i64, Path, description = "Number of the endpoint"),
        ("period" = Option<String>, Query, description = "24h, 7d or 30d; 7d without it"),
        ("min_duration" = Option<i64>, Query, description = "Least minutes from the first to the last failure; 1 without it"),
    ),
    responses(
        (status = 200, description = "The incidents, the first first", body = Object),
        (status = 401, description = "No credential that counts", body = ErrorView),
        (status = 404, description = "There is none of that number", body = Object),
        (status = 422, description = "A parameter is at fault; it is named", body = Object),
        (status = 429, description = "Too many requests of this address in a minute", body = Object),
    ),
    security((), ("monitoring_key" = []), ("admin" = []), ("admin_basic" = [])),
)]
pub(crate) async fn incidents(
    _: Caller<100>,
    State(api): State<Api>,
    id: EndpointId,
    mut params: Params,
) -> Result<Json<Value>, Problem> {
    let id = id.noted(&mut params);
    let period = params.period(Period::Week);
    let least = params.integer("min_duration", 1, 1..=i64::MAX);
    params.done()?;
    let endpoint = find(&api, id).await?;
    let now = now_ms();
    let mut incidents = Incidents::lasting(least);
    let spec = &endpoint.spec;
    each_check(&api, &endpoint, now - period.length(), now + 1, |check| incidents.take(check, spec)).await?;
    let incidents = incidents.json();
    let mut answer = head(&endpoint);
    answer.insert("period".into(), period.name().into());
    answer.insert("total_incidents".into(), incidents.len().into());
    answer.insert("incidents".into(), incidents.into());
    Ok(Json(Value::Object(answer)))
}

/// Tells how many endpoints there are, and how many of them are well.
#[utoipa::path(
    get,
    path = "/api/v1/stats/summary",
    tag = "monitoring",
    responses(
        (status = 200, description = "Counts; what is active and was never checked is unhealthy", body = Object),
        (status = 401, description = "No credential that counts", body = ErrorView),
        (status = 429, description = "Too many requests of this address in a minute", body = Object),
    ),
    security((), ("monitoring_key" = []), ("admin" = []), ("admin_basic" = [])),
)]
pub(crate) async fn summary(_: Caller<100>, State(api): State<Api>) -> Result<Json<Value>, Problem> {
    let endpoints = api.store.endpoints().await?;
    let active = endpoints.iter().filter(|endpoint| !endpoint.spec.suspended);
    let healthy = active.clone().filter(|endpoint| is_healthy(endpoint)).count();
    let active = active.count();
    Ok(Json(json!({
        "total_endpoints": endpoints.len(),
        "active_endpoints": active,
        "inactive_endpoints": endpoints.len() - active,
        "healthy_endpoints": healthy,
        "unhealthy_endpoints": active - healthy,
        "timestamp": rfc3339(now_ms()),
    })))
}

/// Whether the newest check was good.
fn is_healthy(endpoint: &Endpoint) -> bool {
    endpoint.status.last_check.as_ref().is_some_and(|check| check.ok)
}
