//! What the OpenAPI document says of queries. The request is judged by hand, field by field, so its
//! schema stands here; a test holds the two together.
#![expect(dead_code, reason = "these types are their schemas")]

use serde::Serialize;
use serde_json::{Value, json};
use utoipa::{OpenApi, ToSchema};

/// Queries and what they share with exports.
#[derive(OpenApi)]
#[openapi(paths(super::query), components(schemas(Filter)))]
pub(crate) struct QueryDoc;

/// A question about a project's hits.
#[derive(ToSchema)]
pub(super) struct QueryRequest {
    /// Name, id or user id of the project; not needed with the project's API key.
    #[schema(example = "shop")]
    project: Option<String>,
    date_range: DateRange,
    /// IANA name of the zone whose days, hours and weekdays are meant.
    #[schema(default = "UTC", example = "Europe/Berlin")]
    timezone: Option<String>,
    /// Seconds without a hit of a visitor after which their next one begins another session.
    #[schema(minimum = 1, maximum = 86_400, default = 1_800)]
    session_idle: Option<i64>,
    /// Numbers of each row: hits, visitors, users, addresses, sessions, request_bytes,
    /// response_bytes, errors, error_rate, success_rate, duration_mean, duration_min, duration_max,
    /// p25, p50, p75, p90, p95, p99, p99.9 (milliseconds), first_seen, last_seen.
    #[schema(min_items = 1, max_items = 20)]
    metrics: Option<Vec<String>>,
    /// What rows are told apart by, such as `time:day`, `route` or `status_class`.
    #[schema(max_items = 5)]
    dimensions: Option<Vec<String>>,
    #[schema(value_type = Option<Vec<Filter>>)]
    filters: Option<Vec<Value>>,
    order_by: Option<Vec<OrderBy>>,
    include: Option<Include>,
    pagination: Option<Pagination>,
    /// Several tables over one range, filled in one pass; instead of metrics, dimensions, order_by
    /// and pagination.
    #[schema(max_items = 20)]
    panels: Option<Vec<PanelRequest>>,
}

/// One of several tables.
#[derive(ToSchema)]
pub(super) struct PanelRequest {
    /// Comes back with the answer.
    name: Option<String>,
    #[schema(min_items = 1, max_items = 20)]
    metrics: Vec<String>,
    #[schema(max_items = 5)]
    dimensions: Option<Vec<String>>,
    /// Filters of this table alone.
    #[schema(value_type = Option<Vec<Filter>>)]
    filters: Option<Vec<Value>>,
    order_by: Option<Vec<OrderBy>>,
    pagination: Option<Pagination>,
}

/// A named range (`day`, `24h`, `7d`, `28d`, `30d`, `91d`, `month`, `6mo`, `12mo`, `year`, `all`), or
/// a pair of ISO dates, both whole, or times, the last excluded.
#[derive(Serialize, ToSchema)]
#[serde(untagged)]
#[schema(examples(json!("7d"), json!(["2026-01-01", "2026-01-31"])))]
pub(super) enum DateRange {
    Name(String),
    Pair(Vec<String>),
}

/// `[operator, dimension, values, {"case_sensitive": false}]`, `["and", [filters]]`,
/// `["or", [filters]]` or `["not", filter]`. Operators are is, is_not, contains, contains_not,
/// matches, matches_not, like, like_not, glob, glob_not on dimensions, and <, <=, >, >= on status,
/// duration (ms), request_bytes and response_bytes. A request may have 50 values of matches, like and
/// glob together.
#[derive(ToSchema)]
#[schema(value_type = Vec<Value>, example = json!(["is", "status_class", ["5xx"]]))]
pub(super) struct Filter(Vec<Value>);

/// `[metric or dimension, "asc" or "desc"]`.
#[derive(ToSchema)]
#[schema(example = json!(["hits", "desc"]))]
pub(super) struct OrderBy(Vec<String>);

/// What is told beside the rows.
#[derive(ToSchema)]
pub(super) struct Include {
    /// The start of every time bucket, also of those without hits.
    #[schema(default = false)]
    time_labels: Option<bool>,
    /// Rows before offset and limit.
    #[schema(default = false)]
    total_rows: Option<bool>,
    /// `previous_period`, `year_over_year` or a pair of ISO dates or times: each row's numbers then, and the
    /// change in percent.
    comparison: Option<DateRange>,
}

/// Which of the rows are answered.
#[derive(ToSchema)]
pub(super) struct Pagination {
    #[schema(minimum = 1, maximum = 10_000, default = 10_000)]
    limit: Option<i64>,
    #[schema(minimum = 0, maximum = 1_000_000, default = 0)]
    offset: Option<i64>,
}

/// A table; with `panels` in the request, `{"panels": [tables], "query"}`.
#[derive(ToSchema)]
pub(super) struct QueryAnswer {
    results: Option<Vec<QueryRow>>,
    meta: Option<Meta>,
    /// Names of the dimensions; `time` is told with the length that it took.
    dimensions: Option<Vec<String>>,
    metrics: Option<Vec<String>>,
    pagination: Option<Pagination>,
    panels: Option<Vec<PanelAnswer>>,
    query: Resolved,
}

/// One of several tables.
#[derive(ToSchema)]
pub(super) struct PanelAnswer {
    name: Option<String>,
    results: Vec<QueryRow>,
    meta: Meta,
    dimensions: Vec<String>,
    metrics: Vec<String>,
    pagination: Pagination,
}

/// Values in the order of the dimensions, numbers in that of the metrics; null is unknown.
#[derive(ToSchema)]
pub(super) struct QueryRow {
    dimensions: Vec<Value>,
    metrics: Vec<Value>,
    comparison: Option<RowComparison>,
}

/// The same row in the period that was compared with.
#[derive(ToSchema)]
pub(super) struct RowComparison {
    metrics: Vec<Value>,
    /// Percent, one digit; null where there was nothing.
    change: Vec<Option<f64>>,
}

/// What was asked for by `include`, and how exact the numbers are.
#[derive(ToSchema)]
pub(super) struct Meta {
    total_rows: Option<u64>,
    time_labels: Option<Vec<String>>,
    /// Relative standard error of visitors, users, addresses and sessions, where they are estimated:
    /// that of the smallest of these rows; the others are nearer.
    distinct_error: Option<f64>,
    /// Relative error of the quantiles at most, where they are not exact.
    quantile_error: Option<f64>,
}

/// The request as it was understood.
#[derive(ToSchema)]
pub(super) struct Resolved {
    project: String,
    /// Start and end; the end is excluded.
    date_range: Vec<String>,
    timezone: String,
    comparison_date_range: Option<Vec<String>>,
}

/// A question of one table.
pub(super) fn one_table() -> Value {
    json!({
        "project": "shop",
        "date_range": "7d",
        "timezone": "Europe/Berlin",
        "metrics": ["hits", "visitors", "p95"],
        "dimensions": ["route"],
        "filters": [["is_not", "status", [404]], [">", "duration", 100]],
        "order_by": [["p95", "desc"]],
        "include": { "total_rows": true, "comparison": "previous_period" },
        "pagination": { "limit": 20, "offset": 0 },
    })
}

/// A whole page in one request.
pub(super) fn several_tables() -> Value {
    json!({
        "project": "shop",
        "date_range": ["2026-01-01", "2026-01-31"],
        "filters": [["is", "bot", [false]]],
        "include": { "time_labels": true },
        "panels": [
            { "name": "series", "metrics": ["hits", "error_rate"], "dimensions": ["time:day"] },
            { "name": "countries", "metrics": ["visitors"], "dimensions": ["country"], "pagination": { "limit": 10 } },
            {
                "name": "failing",
                "metrics": ["hits"],
                "dimensions": ["route", "status"],
                "filters": [["or", [[">=", "status", 500], ["contains", "path", ["/checkout"], { "case_sensitive": false }]]]],
            },
        ],
    })
}
