//! What one person may ask for: their data, and that it be erased.

use std::collections::BTreeSet;

use axum::{
    Json, Router,
    extract::{Path, State},
    response::{IntoResponse, Response},
    routing::post,
};
use http::{
    HeaderMap, HeaderValue, StatusCode,
    header::{CACHE_CONTROL, CONTENT_TYPE},
};
use serde_json::{Value, json};
use utoipa::{OpenApi, ToSchema};
use watchkeeper_analytics::{Condition, Dimension, Selection, select};
use watchkeeper_runtime::error::ApiError;
use watchkeeper_store::{
    Hit, Person, StoreError,
    exchange::{Format, HitWriter},
};

use super::{ErrorView, ask_error, payload::Payload, query::node::Node, store_error};
use crate::{
    Api,
    auth::{self, Need},
};

/// Hits of one person that one answer may have; an export with a filter has no such bound.
const HITS: usize = 100_000;

/// Bytes of them that one answer may have.
const BYTES: usize = 64 << 20;

pub(super) fn router() -> Router<Api> {
    Router::new()
        .route("/api/v1/projects/{name}/erase", post(erase))
        .route("/api/v1/projects/{name}/person", post(person))
}

/// What the privacy routes say of themselves.
#[derive(OpenApi)]
#[openapi(paths(erase, person))]
pub(super) struct PrivacyDoc;

/// Whom it is about: one of the two.
#[derive(ToSchema)]
#[expect(dead_code, reason = "it is its schema")]
pub(crate) struct PersonRequest {
    /// User as the application names them.
    #[schema(example = "ann")]
    user: Option<String>,
    /// IPv4 or IPv6 address, or the text that a website posted for one.
    ip: Option<String>,
}

/// Erases one person from a project.
///
/// Durable when it is answered. After an error some of it is: erase again.
#[utoipa::path(
    post,
    path = "/api/v1/projects/{name}/erase",
    tag = "privacy",
    params(("name" = String, Path, description = "Name, id or user id of the project")),
    request_body = PersonRequest,
    responses(
        (status = 200, description = "How many hits and facts about addresses went", body = Object,
            example = json!({ "hits": 42, "addresses": 1 })),
        (status = 400, description = "The body is not JSON", body = ErrorView),
        (status = 401, description = "No credential that counts", body = ErrorView),
        (status = 403, description = "The key is another project's", body = ErrorView),
        (status = 404, description = "There is no such project", body = ErrorView),
        (status = 422, description = "A field is at fault; it is named", body = ErrorView),
    ),
    security(("admin" = []), ("project_key" = []), ("project_x_api_key" = [])),
)]
pub(crate) async fn erase(
    State(api): State<Api>,
    Path(name): Path<String>,
    headers: HeaderMap,
    Payload(body): Payload,
) -> Result<Json<Value>, ApiError> {
    let project = auth::project(&api, &headers, Some(&name), Need::Write).await?;
    let person = read(&body)?;
    let room = api.rooms.enter(project.id).await.map_err(|e| ApiError::internal(&e))?;
    // On a task of its own: whoever goes away leaves it neither half asked for, nor room for another.
    let store = api.store.clone();
    let erase = async move {
        let erased = store.erase(project.id, &person).await;
        drop(room);
        erased
    };
    let erased =
        tokio::spawn(erase).await.map_err(|e| ApiError::internal(&e))?.map_err(|e| store_error(&e))?;
    Ok(Json(json!({ "hits": erased.hits, "addresses": erased.addresses })))
}

/// Everything that a project holds of one person.
#[utoipa::path(
    post,
    path = "/api/v1/projects/{name}/person",
    tag = "privacy",
    params(("name" = String, Path, description = "Name, id or user id of the project")),
    request_body = PersonRequest,
    responses(
        (status = 200, description = "Hits under the names of an export, and what is known of their addresses", body = Object,
            example = json!({ "hits": [{ "ts": 1_767_225_600_000_i64, "path": "/", "user": "ann" }], "addresses": [] })),
        (status = 400, description = "The body is not JSON", body = ErrorView),
        (status = 401, description = "No credential that counts", body = ErrorView),
        (status = 403, description = "The key is another project's", body = ErrorView),
        (status = 404, description = "There is no such project", body = ErrorView),
        (status = 422, description = "A field is at fault; it is named", body = ErrorView),
        (status = 503, description = "The store is away; try again", body = ErrorView),
    ),
    security((), ("admin" = []), ("project_key" = []), ("project_x_api_key" = [])),
)]
pub(crate) async fn person(
    State(api): State<Api>,
    Path(name): Path<String>,
    headers: HeaderMap,
    Payload(body): Payload,
) -> Result<Response, ApiError> {
    let project = auth::project(&api, &headers, Some(&name), Need::Read).await?;
    let person = read(&body)?;
    let _room = api.rooms.enter(project.id).await.map_err(|e| ApiError::internal(&e))?;
    let condition = match &person {
        Person::User(user) => Condition::is(Dimension::User, user),
        Person::Ip(ip) => Condition::is(Dimension::Ip, ip),
    };
    let selection = Selection { from: i64::MIN, to: i64::MAX, zone: jiff::tz::TimeZone::UTC, condition };
    let found = Found::new().map_err(|e| store_error(&e))?;
    // It is as short as its bounds, and whoever goes away drops this future.
    let found = select(&api.store, project.id, &selection, found, |_| true, Found::add);
    let found = found.await.map_err(ask_error)?;
    let Found { hits, lines, mut ips, failed, .. } = found;
    if let Some(error) = failed {
        return Err(store_error(&error));
    }
    if hits > HITS || lines.len() > BYTES {
        let message =
            format!("There are more than {HITS} hits, or 64 MiB of them; use /api/v1/export with a filter.");
        return Err(ApiError::new(StatusCode::UNPROCESSABLE_ENTITY, message));
    }
    if let Person::Ip(ip) = person {
        ips.insert(ip);
    }
    let named: Vec<&str> = ips.iter().map(String::as_str).collect();
    let facts = api.store.address_facts_of(project.id, &named).await.map_err(|e| store_error(&e))?;
    let addresses: Vec<Value> = ips
        .into_iter()
        .filter_map(|ip| facts.get(&ip).map(|facts| (ip, facts)))
        .map(|(ip, facts)| {
            json!({ "ip": ip, "host": facts.host, "city": facts.city, "region": facts.region, "bot": facts.bot })
        })
        .collect();
    let headers = [
        (CONTENT_TYPE, HeaderValue::from_static("application/json")),
        (CACHE_CONTROL, HeaderValue::from_static("no-store")),
    ];
    let body = api.answers.hold(project.id, told(lines, &json!(addresses))).await?;
    Ok((headers, body).into_response())
}

/// What is found of one person: their hits as lines of JSON, which take less than any other form.
struct Found {
    writer: HitWriter,
    hits: usize,
    lines: Vec<u8>,
    ips: BTreeSet<String>,
    failed: Option<StoreError>,
}

impl Found {
    fn new() -> Result<Self, StoreError> {
        let writer = HitWriter::new(Format::Ndjson)?;
        Ok(Self { writer, hits: 0, lines: Vec::new(), ips: BTreeSet::new(), failed: None })
    }

    /// Adds hits; tells whether there may be more.
    fn add(&mut self, hits: &[Hit]) -> bool {
        match self.writer.write(hits) {
            Ok(lines) => self.lines.extend(lines),
            Err(error) => self.failed = Some(error),
        }
        self.hits += hits.len();
        self.ips.extend(hits.iter().filter_map(|hit| hit.ip.clone()));
        self.failed.is_none() && self.hits <= HITS && self.lines.len() <= BYTES
    }
}

/// The answer: the lines become the items of a list where they lie.
fn told(mut lines: Vec<u8>, addresses: &Value) -> Vec<u8> {
    const BEFORE: &[u8] = b"{\"hits\":[";
    lines.pop();
    // No text of JSON has a line break in it.
    lines.iter_mut().filter(|byte| **byte == b'\n').for_each(|byte| *byte = b',');
    drop(lines.splice(..0, BEFORE.iter().copied()));
    lines.extend(format!("],\"addresses\":{addresses}}}").into_bytes());
    lines
}

fn read(body: &[u8]) -> Result<Person, ApiError> {
    let body: Value = serde_json::from_slice(body)
        .map_err(|error| ApiError::bad_request(format!("The body must be JSON: {error}.")).field("body"))?;
    let object = Node::root(&body).object(&["user", "ip"])?;
    match (object.get("user"), object.get("ip")) {
        (Some(user), None) => match user.text()? {
            "" => Err(user.fail("Must not be empty.")),
            text => Ok(Person::User(text.to_owned())),
        },
        (None, Some(ip)) => match ip.text()?.trim() {
            "" => Err(ip.fail("Must not be empty.")),
            // A website's visitor may have one that is none, which is kept as it was posted.
            text => Ok(Person::Ip(
                text.parse::<std::net::IpAddr>()
                    .map_or_else(|_| text.to_owned(), |address| address.to_canonical().to_string()),
            )),
        },
        _ => Err(object.fail("user", "Give either user or ip.")),
    }
}
