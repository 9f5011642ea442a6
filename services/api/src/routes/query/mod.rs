//! `POST /api/v1/query`: any question about a project's hits, in the spirit of Plausible's Stats API.

mod answer;
pub(super) mod document;
pub(super) mod filter;
pub(super) mod node;
pub(super) mod request;

use std::collections::HashSet;

use axum::{
    Json, Router,
    extract::{DefaultBodyLimit, State},
    routing::post,
};
use http::{HeaderMap, StatusCode};
use serde_json::{Value as JsonValue, json};
use watchkeeper_analytics::{Answer, Condition, Dimension, Panel, Question, Test, Value};
use watchkeeper_runtime::error::ApiError;
use watchkeeper_store::{Project, now_ms};

use super::{ErrorView, aside, ask_error, payload::Payload, store_error};
use crate::{
    Api,
    auth::{self, Need},
    period::{Period, PeriodError, Range},
    times::rfc3339,
};
use answer::{Answered, ComparedTable};
use request::{LIMIT, Wanted, WantedPanel};

/// Largest body, bytes.
const BODY: usize = 256 << 10;

pub(super) fn router() -> Router<Api> {
    Router::new().route("/api/v1/query", post(query)).layer(DefaultBodyLimit::max(BODY))
}

/// Answers a question about a project's hits.
///
/// All panels are filled in one pass. Rows of one table come by the first metric, most first, or by
/// time where the first dimension is one, unless `order_by` says otherwise.
#[utoipa::path(
    post,
    path = "/api/v1/query",
    tag = "query",
    request_body(
        content = document::QueryRequest,
        examples(
            ("One table" = (value = json!(document::one_table()))),
            ("Several tables" = (value = json!(document::several_tables()))),
        ),
    ),
    responses(
        (status = 200, description = "The tables", body = document::QueryAnswer),
        (status = 400, description = "The body is not JSON", body = ErrorView),
        (status = 401, description = "No credential that counts", body = ErrorView),
        (status = 403, description = "The key is another project's", body = ErrorView),
        (status = 404, description = "There is no such project", body = ErrorView),
        (status = 422, description = "A field is at fault; it is named", body = ErrorView),
        (status = 503, description = "The store is away; try again", body = ErrorView),
    ),
    security((), ("admin" = []), ("project_key" = []), ("project_x_api_key" = [])),
)]
pub(crate) async fn query(
    State(api): State<Api>,
    headers: HeaderMap,
    Payload(body): Payload,
) -> Result<Json<JsonValue>, ApiError> {
    let body: JsonValue = serde_json::from_slice(&body)
        .map_err(|error| ApiError::bad_request(format!("The body must be JSON: {error}.")).field("body"))?;
    let project = request::project(&body)?;
    let project = auth::project(&api, &headers, project.as_deref(), Need::Read).await?;
    let wanted = aside(move || Wanted::read(&body)).await?;
    // Whoever goes away while waiting or being answered drops this future, and with it the work.
    let _permit = api.heavy.acquire().await.map_err(|e| ApiError::internal(&e))?;
    Ok(Json(answer(&api, &project, &wanted).await?))
}

async fn answer(api: &Api, project: &Project, wanted: &Wanted) -> Result<JsonValue, ApiError> {
    let now = now_ms();
    let first = match wanted.range {
        Range::All => api.store.first_hit(project.id).await.map_err(|e| store_error(&e))?,
        _ => None,
    };
    let at_fault = |field: &str, error: PeriodError| unprocessable(error.to_string()).field(field);
    let period = wanted.range.at(now, &wanted.zone, first).map_err(|e| at_fault("date_range", e))?;
    let panels = wanted.panels.iter().map(|panel| panel.panel(&period));
    let question = question(&period, wanted, panels);
    let found = ask(api, project, &question).await?;

    let other = match wanted.include.comparison {
        None => None,
        Some(compared) => {
            let other = compared.period(&period, now).map_err(|e| at_fault("include.comparison", e))?;
            let panels = wanted.panels.iter().zip(&found.tables).map(|(panel, table)| {
                let keys = table.rows.iter().map(|row| row.key.as_slice());
                same_rows(panel.panel(&period), keys)
            });
            let question = self::question(&other, wanted, panels);
            Some((ask(api, project, &question).await?, other, question))
        }
    };

    let mut panels = Vec::with_capacity(wanted.panels.len());
    for (index, (panel, table)) in wanted.panels.iter().zip(&found.tables).enumerate() {
        let compared = match &other {
            None => None,
            Some((answer, _, question)) => Some(ComparedTable {
                table: answer.tables.get(index).ok_or_else(|| ApiError::internal(&"a table is missing"))?,
                buckets: buckets(panel, &period, question)?,
            }),
        };
        let needed = wanted.include.time_labels || compared.is_some();
        let buckets = if needed { buckets(panel, &period, &question)? } else { None };
        let answered = Answered { wanted: panel, period: &period, table, buckets, compared };
        panels.push(answered.json(wanted.include.time_labels, wanted.include.total_rows));
    }
    let mut query = json!({
        "project": project.name.clone().unwrap_or_else(|| project.id.0.to_string()),
        "date_range": range(&period),
        "timezone": period.zone.iana_name().unwrap_or("UTC"),
    });
    if let Some((_, other, _)) = &other {
        query["comparison_date_range"] = range(other);
    }
    if wanted.several {
        return Ok(json!({ "panels": panels, "query": query }));
    }
    let mut answer = panels.pop().unwrap_or_default();
    answer["query"] = query;
    Ok(answer)
}

fn question(period: &Period, wanted: &Wanted, panels: impl Iterator<Item = Panel>) -> Question {
    Question {
        zone: period.zone.clone(),
        session_idle: wanted.session_idle,
        condition: wanted.condition.clone(),
        panels: panels.collect(),
        ..Question::new(period.from, period.to)
    }
}

async fn ask(api: &Api, project: &Project, question: &Question) -> Result<Answer, ApiError> {
    api.analytics.ask(project.id, question).await.map_err(ask_error)
}

/// The panel over the other period for just the rows that the answer shows: a superset of their
/// keys, a test for each dimension that is not time.
fn same_rows<'a>(panel: Panel, keys: impl Iterator<Item = &'a [Value]>) -> Panel {
    let mut values: Vec<HashSet<Option<String>>> = vec![HashSet::new(); panel.dimensions.len()];
    for key in keys {
        for (seen, value) in values.iter_mut().zip(key) {
            let value = (*value != Value::Unknown).then(|| value.to_string());
            seen.insert(value);
        }
    }
    let mut condition = panel.condition.clone();
    for (dimension, seen) in panel.dimensions.iter().zip(values) {
        if !matches!(dimension, Dimension::Time(_)) {
            let test = Test::Is(seen.into_iter().collect());
            condition = condition.and(Condition::Text { dimension: *dimension, test, ignore_case: false });
        }
    }
    Panel { condition, offset: 0, limit: None, order: Vec::new(), ..panel }
}

/// Starts of a panel's time buckets over a question's range.
fn buckets(panel: &WantedPanel, period: &Period, question: &Question) -> Result<Option<Vec<i64>>, ApiError> {
    let Some((index, bucket)) = panel.time(period) else { return Ok(None) };
    let most = usize::try_from(LIMIT).unwrap_or_default();
    question.buckets(bucket, most).map(Some).ok_or_else(|| {
        let joint = if panel.path.is_empty() { "" } else { "." };
        unprocessable(format!("The range has more than {LIMIT} time buckets; use longer ones."))
            .field(format!("{}{joint}dimensions[{index}]", panel.path))
    })
}

fn range(period: &Period) -> JsonValue {
    json!([rfc3339(period.from), rfc3339(period.to)])
}

fn unprocessable(message: impl Into<String>) -> ApiError {
    ApiError::new(StatusCode::UNPROCESSABLE_ENTITY, message)
}
