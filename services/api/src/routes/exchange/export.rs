//! `GET|POST /api/v1/export`: a project's hits as CSV, newline-delimited JSON or Parquet.

use std::collections::HashMap;

use axum::{
    body::Body,
    extract::{Query, State},
    response::{IntoResponse, Response},
};
use http::{
    HeaderMap, HeaderValue,
    header::{CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_TYPE},
};
use jiff::tz::TimeZone;
use serde_json::{Value, json};
use watchkeeper_analytics::{AskError, Condition, Selection, select};
use watchkeeper_runtime::error::ApiError;
use watchkeeper_store::{
    Project, StoreError,
    exchange::{Format, HitWriter},
    now_ms,
};

use super::pipe::{self, Producer, Unread};
use crate::{
    Api,
    auth::{self, Need},
    period::{self, Range},
    routes::{
        ErrorView, aside,
        payload::Payload,
        query::{
            filter::{self, Budget},
            node::{Node, Object},
            request,
        },
    },
};

/// What a request may have.
const FIELDS: [&str; 7] = ["project", "format", "date_range", "from", "to", "timezone", "filters"];

/// An export, as asked for, but for the project.
struct Wanted {
    format: Format,
    range: Range,
    /// The field that is at fault where the range has no place in the calendar.
    range_field: &'static str,
    zone: TimeZone,
    condition: Condition,
}

/// Exports a project's hits.
///
/// The file is streamed over one state of the store. CSV cells that a spreadsheet would run as a
/// formula begin with a `'`, which the import takes away again.
#[utoipa::path(
    get,
    path = "/api/v1/export",
    tag = "hits",
    params(
        ("project" = Option<String>, Query, description = "Name, id or user id; not needed with the project's API key"),
        ("format" = String, Query, description = "csv, ndjson or parquet", example = "csv"),
        ("date_range" = Option<String>, Query, description = "A named range; `all`, or no range, is everything"),
        ("from" = Option<String>, Query, description = "ISO date, or time; instead of date_range"),
        ("to" = Option<String>, Query, description = "ISO date, which counts whole, or time, which is excluded"),
        ("timezone" = Option<String>, Query, description = "IANA name; UTC without one"),
        ("filters" = Option<String>, Query, description = "Filters of a query, as JSON"),
    ),
    responses(
        (status = 200, description = "The file", content(
            (String = "text/csv"), (String = "application/x-ndjson"), (Vec<u8> = "application/vnd.apache.parquet"),
        )),
        (status = 400, description = "The filters are not JSON", body = ErrorView),
        (status = 401, description = "No credential that counts", body = ErrorView),
        (status = 403, description = "The key is another project's", body = ErrorView),
        (status = 404, description = "There is no such project", body = ErrorView),
        (status = 422, description = "A field is at fault; it is named", body = ErrorView),
    ),
    security((), ("admin" = []), ("project_key" = []), ("project_x_api_key" = [])),
)]
pub(crate) async fn get(
    State(api): State<Api>,
    headers: HeaderMap,
    Query(query): Query<HashMap<String, String>>,
) -> Result<Response, ApiError> {
    let mut body = json!({});
    for (name, text) in query {
        body[name.as_str()] = match name.as_str() {
            "filters" => serde_json::from_str(&text)
                .map_err(|error| ApiError::bad_request(format!("Must be JSON: {error}.")).field("filters"))?,
            _ => text.into(),
        };
    }
    export(&api, &headers, body).await
}

/// Exports a project's hits, asked for in JSON.
#[utoipa::path(
    post,
    path = "/api/v1/export",
    tag = "hits",
    request_body(
        content = Object,
        description = "The parameters of GET; date_range may be a pair, filters are those of a query",
        example = json!({ "project": "shop", "format": "ndjson", "date_range": "30d", "filters": [["is", "user", ["ann"]]] }),
    ),
    responses(
        (status = 200, description = "The file", content(
            (String = "text/csv"), (String = "application/x-ndjson"), (Vec<u8> = "application/vnd.apache.parquet"),
        )),
        (status = 400, description = "The body is not JSON", body = ErrorView),
        (status = 401, description = "No credential that counts", body = ErrorView),
        (status = 403, description = "The key is another project's", body = ErrorView),
        (status = 404, description = "There is no such project", body = ErrorView),
        (status = 422, description = "A field is at fault; it is named", body = ErrorView),
    ),
    security((), ("admin" = []), ("project_key" = []), ("project_x_api_key" = [])),
)]
pub(crate) async fn post(
    State(api): State<Api>,
    headers: HeaderMap,
    Payload(body): Payload,
) -> Result<Response, ApiError> {
    let body: Value = serde_json::from_slice(&body)
        .map_err(|error| ApiError::bad_request(format!("The body must be JSON: {error}.")).field("body"))?;
    export(&api, &headers, body).await
}

async fn export(api: &Api, headers: &HeaderMap, body: Value) -> Result<Response, ApiError> {
    let named = Node::root(&body).object(&FIELDS)?.get("project");
    let named = named.map(|node| node.text()).transpose()?;
    let project = auth::project(api, headers, named, Need::Read).await?;
    let wanted = aside(move || Wanted::read(&Node::root(&body).object(&FIELDS)?)).await?;
    let (from, to) = match wanted.range {
        // Also what a client's clock, which is ahead, has dated after now.
        Range::All => (i64::MIN, i64::MAX),
        // From now, and not from when there is room.
        range => {
            let period = range.at(now_ms(), &wanted.zone, None).map_err(|error| {
                ApiError::new(http::StatusCode::UNPROCESSABLE_ENTITY, error.to_string())
                    .field(wanted.range_field)
            })?;
            (period.from, period.to)
        }
    };
    let selection = Selection { from, to, zone: wanted.zone, condition: wanted.condition };
    stream(api, &project, wanted.format, selection).await
}

/// Answers with the file of a selection, as soon as there is room for another export.
///
/// # Errors
/// When the server shuts down meanwhile.
pub(in crate::routes) async fn stream(
    api: &Api,
    project: &Project,
    format: Format,
    selection: Selection,
) -> Result<Response, ApiError> {
    let room = api.exports.enter(project.id).await.map_err(|e| ApiError::internal(&e))?;
    let (producer, chunks) = pipe::to_client();
    let (store, id) = (api.store.clone(), project.id);
    tokio::spawn(async move {
        let written = write(&store, id, format, &selection, &producer).await;
        drop(room);
        let Err(error) = written else { return };
        match error {
            Broken::Client(_) => tracing::info!(%error, "an export broke off"),
            _ => tracing::error!(%error, "an export broke off"),
        }
        producer.break_off().await;
    });
    let name = format!("attachment; filename=\"{}.{format}\"", file_name(project));
    let headers = [
        (CONTENT_TYPE, HeaderValue::from_static(format.media_type())),
        (CONTENT_DISPOSITION, HeaderValue::from_str(&name).map_err(|e| ApiError::internal(&e))?),
        (CACHE_CONTROL, HeaderValue::from_static("no-store")),
    ];
    Ok((headers, Body::from_stream(chunks)).into_response())
}

/// Why an export is not whole.
#[derive(Debug, thiserror::Error)]
enum Broken {
    #[error(transparent)]
    Ask(#[from] AskError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Client(#[from] Unread),
}

/// What an export goes through its hits with: how they are written, where to, and whether they were.
type Writing = (HitWriter, Producer, Result<(), Broken>);

/// Writes the selection into the pipe.
async fn write(
    store: &watchkeeper_store::Store,
    project: watchkeeper_store::ProjectId,
    format: Format,
    selection: &Selection,
    producer: &Producer,
) -> Result<(), Broken> {
    let state: Writing = (HitWriter::new(format)?, producer.clone(), Ok(()));
    let wanted = |(_, producer, _): &Writing| producer.wanted().is_ok();
    let (writer, mut producer, done) =
        select(store, project, selection, state, wanted, |(writer, producer, done), hits| {
            let bytes = writer.write(hits).map_err(Broken::from);
            *done = bytes.and_then(|bytes| Ok(producer.give_blocking(bytes)?));
            done.is_ok()
        })
        .await?;
    done?;
    producer.wanted()?;
    Ok(producer.give(writer.finish()?.into()).await?)
}

impl Wanted {
    fn read(body: &Object<'_>) -> Result<Self, ApiError> {
        let text = |name| body.get(name).map(|node| node.text().map(str::to_owned)).transpose();
        let format = body.get("format").ok_or_else(|| body.fail("format", "Give csv, ndjson or parquet."))?;
        let zone = match body.get("timezone") {
            None => TimeZone::UTC,
            Some(node) => period::zone(node.text()?).map_err(|error| node.fail(error.to_string()))?,
        };
        let (range, range_field) = match (body.get("date_range"), text("from")?, text("to")?) {
            (Some(node), None, None) => (request::range(&node)?, "date_range"),
            (Some(_), ..) => return Err(body.fail("from", "Give either date_range or from and to.")),
            (None, None, None) => (Range::All, "date_range"),
            (None, from, to) => {
                let from = from.as_deref().unwrap_or("1970-01-01");
                let to = to.as_deref().unwrap_or("9998-12-31");
                // The one by itself, so that what is wrong of both is the other's.
                Range::between(from, from).map_err(|error| body.fail("from", error.to_string()))?;
                (Range::between(from, to).map_err(|error| body.fail("to", error.to_string()))?, "to")
            }
        };
        let condition = body
            .get("filters")
            .map_or(Ok(Condition::default()), |node| filter::filters(&node, &mut Budget::default()))?;
        Ok(Self {
            format: format.text()?.parse().map_err(|error| {
                let error: watchkeeper_store::exchange::UnknownFormat = error;
                format.fail(format!("{error}."))
            })?,
            range,
            range_field,
            zone,
            condition,
        })
    }
}

/// A project's name as far as every file system takes it.
fn file_name(project: &Project) -> String {
    let name = project.name.clone().unwrap_or_else(|| format!("project-{}", project.id.0));
    let safe = |c: char| if c.is_ascii_alphanumeric() || matches!(c, '-' | '_') { c } else { '-' };
    format!("{}-hits", name.chars().map(safe).take(64).collect::<String>())
}
