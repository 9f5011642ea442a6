//! `POST /api/v1/query`: any question about a project's hits, in the spirit of Plausible's Stats API.

mod answer;
pub(super) mod document;
pub(super) mod filter;
pub(super) mod node;
pub(super) mod request;

use std::collections::HashSet;

use axum::{
    Router,
    extract::{DefaultBodyLimit, State},
    response::{IntoResponse, Response},
    routing::post,
};
use http::{HeaderMap, HeaderValue, StatusCode, header::CONTENT_TYPE};
use serde::Serialize;
use serde_json::{Value as JsonValue, json};
use watchkeeper_analytics::{Answer, Condition, Dimension, Panel, Question, Test, Value};
use watchkeeper_runtime::error::ApiError;
use watchkeeper_store::{Project, now_ms};

use super::{ErrorView, aside, ask_error, payload::Payload, store_error};
use crate::{
    Api,
    answers::Text,
    auth::{self, Need},
    period::{Period, PeriodError, Range},
    times::rfc3339,
};
use answer::{Answered, ComparedTable, TableView};
use request::{LIMIT, Wanted, WantedPanel};

/// Largest body, bytes.
const BODY: usize = 256 << 10;

/// Rows of another period that the tables of one request may look through for those that they tell.
const COMPARED: usize = 200_000;

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
) -> Result<Response, ApiError> {
    let body: JsonValue = serde_json::from_slice(&body)
        .map_err(|error| ApiError::bad_request(format!("The body must be JSON: {error}.")).field("body"))?;
    let project = request::project(&body)?;
    let project = auth::project(&api, &headers, project.as_deref(), Need::Read).await?;
    let wanted = aside(move || Wanted::read(&body)).await?;
    // Whoever goes away while waiting or being answered drops this future, and with it the work.
    let _room = api.rooms.enter(project.id).await.map_err(|e| ApiError::internal(&e))?;
    let found = find(&api, &project, wanted).await?;
    let text = aside(move || found.written()).await?;
    let body = api.answers.hold(project.id, text.into_bytes()).await?;
    Ok(([(CONTENT_TYPE, HeaderValue::from_static("application/json"))], body).into_response())
}

/// What was found, to be told.
struct Found {
    project: String,
    wanted: Wanted,
    period: Period,
    question: Question,
    answer: Answer,
    compared: Option<Compared>,
}

/// What was found in the period that is compared with.
struct Compared {
    period: Period,
    question: Question,
    answer: Answer,
}

async fn find(api: &Api, project: &Project, wanted: Wanted) -> Result<Found, ApiError> {
    let now = now_ms();
    let first = match wanted.range {
        Range::All => api.store.first_hit(project.id).await.map_err(|e| store_error(&e))?,
        _ => None,
    };
    let at_fault = |field: &str, error: PeriodError| unprocessable(error.to_string()).field(field);
    let period = wanted.range.at(now, &wanted.zone, first).map_err(|e| at_fault("date_range", e))?;
    let panels = wanted.panels.iter().map(|panel| panel.panel(&period));
    let question = question(&period, &wanted, panels);
    let answer = ask(api, project, &question).await?;
    let compared = match wanted.include.comparison {
        None => None,
        Some(compared) => {
            let other = compared.period(&period, now).map_err(|e| at_fault("include.comparison", e))?;
            Some(compare(api, project, &wanted, &period, other, &answer).await?)
        }
    };
    let project = project.name.clone().unwrap_or_else(|| project.id.0.to_string());
    Ok(Found { project, wanted, period, question, answer, compared })
}

/// Finds the rows of an answer in another period.
async fn compare(
    api: &Api,
    project: &Project,
    wanted: &Wanted,
    period: &Period,
    other: Period,
    answer: &Answer,
) -> Result<Compared, ApiError> {
    let most = COMPARED / wanted.panels.len().max(1);
    let panels = wanted.panels.iter().zip(&answer.tables).map(|(panel, table)| {
        let keys = table.rows.iter().map(|row| row.key.as_slice());
        same_rows(panel.panel(period), keys).top(most)
    });
    let question = question(&other, wanted, panels);
    let answer = ask(api, project, &question).await?;
    for (panel, table) in wanted.panels.iter().zip(&answer.tables) {
        if table.groups > most {
            return Err(unprocessable(format!(
                "The comparison would look through more than {most} rows of the other period; give a smaller \
                 pagination.limit, or fewer panels or dimensions."
            ))
            .field(panel.field("dimensions")));
        }
    }
    Ok(Compared { period: other, question, answer })
}

impl Found {
    /// The answer's text. This takes processor time.
    fn written(&self) -> Result<Text, ApiError> {
        let include = &self.wanted.include;
        let mut panels = Vec::with_capacity(self.wanted.panels.len());
        for (index, (panel, table)) in self.wanted.panels.iter().zip(&self.answer.tables).enumerate() {
            let compared = match &self.compared {
                None => None,
                Some(Compared { period, question, answer }) => Some(ComparedTable {
                    table: answer
                        .tables
                        .get(index)
                        .ok_or_else(|| ApiError::internal(&"a table is missing"))?,
                    period,
                    buckets: buckets(panel, &self.period, question)?,
                }),
            };
            let needed = include.time_labels || compared.is_some();
            let buckets = if needed { buckets(panel, &self.period, &self.question)? } else { None };
            panels.push(Answered { wanted: panel, period: &self.period, table, buckets, compared });
        }
        let mut panels: Vec<_> =
            panels.iter().map(|panel| panel.view(include.time_labels, include.total_rows)).collect();
        let mut query = json!({
            "project": self.project,
            "date_range": range(&self.period),
            "timezone": self.period.zone.iana_name().unwrap_or("UTC"),
        });
        if let Some(compared) = &self.compared {
            query["comparison_date_range"] = range(&compared.period);
        }
        let text = match panels.pop() {
            Some(table) if !self.wanted.several => Text::json(&OneView { table, query }),
            last => {
                panels.extend(last);
                Text::json(&SeveralView { panels, query })
            }
        };
        text.map_err(ApiError::from)
    }
}

/// The answer to a request of one table.
#[derive(Serialize)]
struct OneView<'a> {
    #[serde(flatten)]
    table: TableView<'a>,
    query: JsonValue,
}

/// The answer to a request of several.
#[derive(Serialize)]
struct SeveralView<'a> {
    panels: Vec<TableView<'a>>,
    query: JsonValue,
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
        unprocessable(format!("The range has more than {LIMIT} time buckets; use longer ones."))
            .field(panel.field(&format!("dimensions[{index}]")))
    })
}

fn range(period: &Period) -> JsonValue {
    json!([rfc3339(period.from), rfc3339(period.to)])
}

fn unprocessable(message: impl Into<String>) -> ApiError {
    ApiError::new(StatusCode::UNPROCESSABLE_ENTITY, message)
}
