//! `POST /api/v1/import`: hits out of a file in one of the formats of the export.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use axum::{
    Json,
    body::Body,
    extract::{Query, State},
};
use futures::StreamExt;
use http::{HeaderMap, StatusCode, header::CONTENT_TYPE};
use serde_json::{Value, json};
use utoipa::ToSchema;
use watchkeeper_runtime::{error::ApiError, idempotency};
use watchkeeper_store::{
    Hit, ProjectSettings, StoreError,
    exchange::{Format, ImportCause, ImportError, Imported, Source},
};

use super::pipe;
use crate::{
    Api,
    auth::{self, Need},
    routes::{ErrorView, store_error},
};

/// Longest time that an import may take, its wait for room included: somewhat less than any answer may, or
/// else nobody would be told what is stored.
const LONGEST: Duration = Duration::from_secs(50);

/// Longest wait for room.
const WAIT: Duration = Duration::from_secs(20);

/// Largest Parquet file, bytes: its table of contents is at its end, so it is held in memory.
const PARQUET: usize = 64 << 20;

/// What became of a file's rows.
#[derive(ToSchema)]
#[expect(dead_code, reason = "it is its schema")]
pub(crate) struct ImportReport {
    rows: u64,
    imported: u64,
    rejected: u64,
    /// The first rows that were not taken.
    #[schema(value_type = Vec<Object>, example = json!([{ "row": 3, "field": "ts", "message": "is missing" }]))]
    errors: Vec<Value>,
    /// Columns that mean nothing here.
    ignored_columns: Vec<String>,
}

/// Imports hits.
///
/// A row that cannot be read costs none of the others. All that the report calls imported is durable
/// when it is sent. The same file sent twice is stored twice, unless both say the same `Idempotency-Key`:
/// then what the first has stored is not stored again, also if it ended early.
#[utoipa::path(
    post,
    path = "/api/v1/import",
    tag = "hits",
    params(
        ("project" = Option<String>, Query, description = "Name, id or user id; not needed with the project's API key"),
        ("format" = Option<String>, Query, description = "csv, ndjson or parquet; else the content type says it"),
        ("Idempotency-Key" = Option<String>, Header, description = "1 to 255 bytes, known for a day"),
    ),
    request_body(
        content((String = "text/csv"), (String = "application/x-ndjson"), (Vec<u8> = "application/vnd.apache.parquet")),
        description = "A file with the columns of an export; `ts` alone must be there",
    ),
    responses(
        (status = 200, description = "What became of the rows", body = ImportReport),
        (status = 400, description = "The body broke off, and the message says how much is stored; or the idempotency key is malformed", body = ErrorView),
        (status = 401, description = "No credential that counts", body = ErrorView),
        (status = 403, description = "The key is another project's", body = ErrorView),
        (status = 404, description = "There is no such project", body = ErrorView),
        (status = 413, description = "Too large or too long; the message says how much is stored", body = ErrorView),
        (status = 422, description = "A field is at fault; it is named", body = ErrorView),
        (status = 503, description = "The store is away; the message says how much is stored", body = ErrorView),
    ),
    security(("admin" = []), ("project_key" = []), ("project_x_api_key" = [])),
)]
pub(crate) async fn import(
    State(api): State<Api>,
    Query(query): Query<HashMap<String, String>>,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<Value>, ApiError> {
    let deadline = Instant::now() + LONGEST;
    let named = query.get("project").map(String::as_str);
    let project = auth::project(&api, &headers, named, Need::Write).await?;
    let format = format(&query, &headers)?;
    let key = idempotency::key(&headers)?.map(<[u8]>::to_vec);
    let room = tokio::time::timeout(WAIT, api.exports.enter(project.id)).await;
    let busy = |_| ApiError::unavailable("Others are under way. Nothing of it is stored; try again.");
    let _room = room.map_err(busy)?.map_err(|e| ApiError::internal(&e))?;

    let (sender, incoming) = pipe::from_client();
    let (level, settings) = (api.options.privacy_level, project.settings);
    let source = Source::Stream(Box::new(incoming));
    let protect = move |hit: &mut Hit| protect(hit, level, settings);
    let import = api.store.import(project.id, format, source, key, protect, |_| {});
    let feed = feed(body, format, deadline, sender);
    // The import ends by itself when the feed does.
    let (fed, imported) = tokio::join!(feed, import);
    match (fed, imported) {
        (Err(refused), Ok(done)) => Err(with_report(refused, &done)),
        (Err(refused), Err(ImportError { done, .. })) => Err(with_report(refused, &done)),
        (Ok(()), Ok(done)) => Ok(Json(report(&done))),
        (Ok(()), Err(ImportError { cause, done })) => Err(with_report(refusal(cause), &done)),
    }
}

/// By `format`, or else by the content type.
fn format(query: &HashMap<String, String>, headers: &HeaderMap) -> Result<Format, ApiError> {
    if let Some(name) = query.get("format") {
        return name.parse().map_err(|error: watchkeeper_store::exchange::UnknownFormat| {
            ApiError::new(StatusCode::UNPROCESSABLE_ENTITY, format!("{error}.")).field("format")
        });
    }
    let media = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let media = media.split(';').next().unwrap_or_default().trim();
    let plain = |format: &Format| format.media_type().split(';').next() == Some(media);
    Format::ALL.into_iter().find(plain).ok_or_else(|| {
        let message = "Say in `format` or by the content type which it is: csv, ndjson or parquet.";
        ApiError::new(StatusCode::UNPROCESSABLE_ENTITY, message).field("format")
    })
}

/// Gives the body to the import as it comes, within bounds.
async fn feed(
    body: Body,
    format: Format,
    deadline: Instant,
    sender: tokio::sync::mpsc::Sender<Result<bytes::Bytes, std::io::Error>>,
) -> Result<(), ApiError> {
    let mut body = body.into_data_stream();
    let mut length = 0;
    let broken = |message: &str| Err(std::io::Error::other(message.to_owned()));
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let chunk = match tokio::time::timeout(left, body.next()).await {
            Ok(None) => return Ok(()),
            Ok(Some(Ok(chunk))) => chunk,
            Ok(Some(Err(error))) => {
                let _ = sender.send(broken("the body broke off")).await;
                return Err(ApiError::bad_request(format!("The body broke off: {error}")));
            }
            Err(_) => {
                let _ = sender.send(broken("the time was over")).await;
                let message =
                    "An import may take 50 s; send the rest in further ones, or use `watchkeeper import`.";
                return Err(ApiError::new(StatusCode::PAYLOAD_TOO_LARGE, message));
            }
        };
        length += chunk.len();
        if format == Format::Parquet && length > PARQUET {
            let _ = sender.send(broken("the file was too large")).await;
            let message =
                format!("A Parquet file may have {PARQUET} bytes; use `watchkeeper import` for larger ones.");
            return Err(ApiError::new(StatusCode::PAYLOAD_TOO_LARGE, message));
        }
        // The import has ended early, and says why by itself.
        if sender.send(Ok(chunk)).await.is_err() {
            return Ok(());
        }
    }
}

/// What the installation (`level`) and the project demand for the privacy of hits holds for those of
/// a file too; the stricter counts.
pub fn protect(hit: &mut Hit, level: u8, settings: ProjectSettings) {
    let level = settings.privacy_level.unwrap_or_default().max(level);
    if level >= 1 {
        hit.ip = None;
    }
    if level >= 2 {
        hit.country = None;
    }
}

fn refusal(cause: ImportCause) -> ApiError {
    match cause {
        ImportCause::File(why) => {
            ApiError::new(StatusCode::UNPROCESSABLE_ENTITY, format!("The file cannot be read: {why}."))
                .field("body")
        }
        ImportCause::Store(StoreError::NoProject) => {
            ApiError::new(StatusCode::NOT_FOUND, "The project was deleted meanwhile.").field("project")
        }
        ImportCause::Store(StoreError::KeyReused) => idempotency::reused(),
        ImportCause::Store(error) => store_error(&error),
    }
}

fn with_report(mut error: ApiError, done: &Imported) -> ApiError {
    error.message =
        format!("{} {} hits of its first {} rows are stored.", error.message, done.imported, done.rows);
    error
}

fn report(done: &Imported) -> Value {
    let errors = done
        .errors
        .iter()
        .map(|error| json!({ "row": error.row, "field": error.field, "message": error.message }));
    json!({
        "rows": done.rows,
        "imported": done.imported,
        "rejected": done.rejected,
        "errors": errors.collect::<Vec<_>>(),
        "ignored_columns": done.ignored,
    })
}
