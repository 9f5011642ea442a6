//! `/api/v1/endpoints`: what is watched, by number. The operator puts and deletes by uid on the same
//! paths; a uid is never a number.

use std::time::Duration;

use axum::{
    Json, RequestExt,
    extract::{Request, State},
    response::{IntoResponse, Response},
};
use http::StatusCode;
use serde_json::{Map, Value, json};
use uuid::Uuid;
use watchkeeper_runtime::error::ApiError;
use watchkeeper_store::{
    AddOutcome, Change, Endpoint, EndpointSpec, Errand, LastCheck, NewEndpoint, Origin, Probe, ProjectId,
    now_ms,
};

use super::{
    access::{Caller, Wish, judge},
    definition::MonitoringEndpoint,
    problem::{FieldProblem, Problem},
    query::{EndpointId, Params},
    view::{self, EndpointBody},
};
use crate::{
    Api,
    routes::{ErrorView, payload::Payload, v1},
};

/// Endpoints of one page at most.
const PAGE: i64 = 1_000;

/// Endpoints that may be made this way.
const ENDPOINTS: usize = 100_000;

/// Time for a checker to take an errand, beside the time of the check itself.
const PICKUP: Duration = Duration::from_secs(10);
/// Longest wait for a manual check: less than any answer may take.
const LONGEST: Duration = Duration::from_secs(50);

/// Lists what is watched. Each has what api-monitoring-system tells of it, and its state besides. With
/// `origin` the answer is the operator's: all of them, no page.
#[utoipa::path(
    get,
    path = "/api/v1/endpoints",
    tag = "monitoring",
    params(
        ("skip" = Option<i64>, Query, description = "Endpoints to leave out, the oldest first"),
        ("limit" = Option<i64>, Query, description = "Endpoints at most, 0 to 1,000; 100 without it"),
        ("active_only" = Option<bool>, Query, description = "Leave out what is not checked; `total` counts it"),
        ("origin" = Option<String>, Query, description = "kubernetes, manifest, api or monitor; or all"),
    ),
    responses(
        (status = 200, description = "The endpoints, how many there are, and the cursor from which transitions go on", body = Object),
        (status = 401, description = "No credential that counts", body = ErrorView),
        (status = 422, description = "A parameter is at fault; it is named", body = Object),
        (status = 429, description = "Too many requests of this address in a minute", body = Object),
    ),
    security((), ("monitoring_key" = []), ("admin" = []), ("admin_basic" = [])),
)]
pub(crate) async fn list(State(api): State<Api>, request: Request) -> Result<Response, Response> {
    let (mut parts, _) = request.into_parts();
    let mut params = Params::of(&mut parts).await.map_err(IntoResponse::into_response)?;
    if let Some(origin) = params.text("origin") {
        let origin = Some(origin).filter(|origin| *origin != "all");
        return v1::endpoints::list(&api, &parts.headers, origin).await;
    }
    page(&api, &parts, &mut params).await.map_err(IntoResponse::into_response)
}

async fn page(api: &Api, parts: &http::request::Parts, params: &mut Params) -> Result<Response, Problem> {
    Caller::<100>::check(parts, api).await?;
    let skip = params.integer("skip", 0, 0..=i64::MAX);
    let limit = params.integer("limit", 100, 0..=PAGE);
    let active = params.flag("active_only");
    params.done()?;
    let trusted = judge(api, &parts.headers, Wish::Write).await.is_ok();
    // Before the list: what changes meanwhile is then told again rather than never.
    let cursor = api.store.last_transition().await?;
    let all = api.store.endpoints().await?;
    let total = all.len();
    let shown: Vec<Endpoint> = all
        .into_iter()
        .filter(|endpoint| !active || !endpoint.spec.suspended)
        .skip(usize::try_from(skip).unwrap_or(usize::MAX))
        .take(usize::try_from(limit).unwrap_or_default())
        .collect();
    let now = now_ms();
    let mut uptimes = api.store.uptimes(now).await?;
    let mut endpoints = Vec::with_capacity(shown.len());
    for endpoint in shown {
        let body = serde_json::to_value(EndpointBody::new(&endpoint, trusted));
        let uptime = uptimes.remove(&endpoint.id).unwrap_or_default();
        let state = serde_json::to_value(v1::EndpointView::new(endpoint, uptime, now));
        let (Ok(Value::Object(mut body)), Ok(Value::Object(state))) = (body, state) else { continue };
        body.extend(state);
        endpoints.push(body);
    }
    let answer = json!({ "endpoints": endpoints, "total": total, "cursor": cursor.to_string() });
    Ok(Json(answer).into_response())
}

/// Makes an endpoint.
#[utoipa::path(
    post,
    path = "/api/v1/endpoints",
    tag = "monitoring",
    request_body(content = Object, example = json!({
        "name": "shop", "url": "https://shop.example/health", "method": "GET", "interval": 60, "timeout": 5,
        "expected_status": 200, "headers": { "Accept": "application/json" }, "body": null, "is_active": true,
    })),
    responses(
        (status = 201, description = "It is watched from now on", body = EndpointBody),
        (status = 400, description = "There is one of that name", body = Object),
        (status = 401, description = "No credential that counts", body = ErrorView),
        (status = 422, description = "Fields are at fault; they are named", body = Object),
        (status = 429, description = "Too many requests of this address in a minute", body = Object),
    ),
    security((), ("monitoring_key" = []), ("admin" = []), ("admin_basic" = [])),
)]
pub(crate) async fn create(
    _: Caller<50>,
    State(api): State<Api>,
    Payload(body): Payload,
) -> Result<Response, Problem> {
    let definition = MonitoringEndpoint::create(&json_of(&body)?).map_err(|all| Problem::fields(&all))?;
    let new = NewEndpoint {
        uid: format!("api/{}", Uuid::new_v4()),
        origin: Origin::Api,
        project: ProjectId::INSTALLATION,
        namespace: String::new(),
        name: definition.name.clone(),
        generation: 1,
        spec: definition.spec(None, &api.options.monitoring.alerts),
    };
    match api.store.add_endpoint(&new, ENDPOINTS).await? {
        AddOutcome::Added => api.endpoints_changed(),
        AddOutcome::Exists => return Err(taken(&definition.name)),
        AddOutcome::Full => {
            return Err(Problem::refused(format!("There are {ENDPOINTS} endpoints already; delete some")));
        }
    }
    let made = api.store.endpoint_by_uid(&new.uid).await?;
    let made = made.ok_or_else(|| Problem::unavailable("The endpoint was deleted meanwhile"))?;
    Ok((StatusCode::CREATED, Json(EndpointBody::new(&made, true))).into_response())
}

fn taken(name: &str) -> Problem {
    Problem::refused(format!("Endpoint with name '{name}' already exists"))
}

/// The body as JSON; a mistake is told as FastAPI tells it.
pub(super) fn json_of(body: &[u8]) -> Result<Value, Problem> {
    if body.iter().all(u8::is_ascii_whitespace) {
        return Err(Problem::fields(&[FieldProblem::missing(&["body"], &Value::Null)]));
    }
    serde_json::from_slice(body).map_err(|error| {
        let problem = FieldProblem::new("json_invalid", &["body"], "JSON decode error", json!({}));
        Problem::fields(&[problem.context(json!({ "error": error.to_string() }))])
    })
}

/// Tells one endpoint.
#[utoipa::path(
    get,
    path = "/api/v1/endpoints/{id}",
    tag = "monitoring",
    params(("id" = i64, Path, description = "Number of the endpoint")),
    responses(
        (status = 200, description = "The endpoint", body = EndpointBody),
        (status = 401, description = "No credential that counts", body = ErrorView),
        (status = 404, description = "There is none of that number", body = Object),
        (status = 422, description = "It is no number", body = Object),
        (status = 429, description = "Too many requests of this address in a minute", body = Object),
    ),
    security((), ("monitoring_key" = []), ("admin" = []), ("admin_basic" = [])),
)]
pub(crate) async fn get(
    _: Caller<200>,
    State(api): State<Api>,
    id: EndpointId,
    headers: http::HeaderMap,
) -> Result<Json<EndpointBody>, Problem> {
    let endpoint = find(&api, id.get()?).await?;
    let trusted = judge(&api, &headers, Wish::Write).await.is_ok();
    Ok(Json(EndpointBody::new(&endpoint, trusted)))
}

/// The endpoint of a number.
pub(super) async fn find(api: &Api, id: i64) -> Result<Endpoint, Problem> {
    api.store.endpoint(id).await?.ok_or_else(|| Problem::no_endpoint(id))
}

/// Whether a path names an endpoint by number, as api-monitoring-system's clients do, not by uid.
fn is_number(id: &str) -> bool {
    !id.is_empty() && id.bytes().all(|byte| byte.is_ascii_digit())
}

/// Puts an endpoint. By number: changes the fields that the body has, for those made through this
/// interface. By uid: puts a MonitoredEndpoint's specification, its Secrets resolved.
#[utoipa::path(
    put,
    path = "/api/v1/endpoints/{id}",
    tag = "monitoring",
    params(("id" = String, Path, description = "Number of the endpoint; or a uid, which tells it from all others, for ever")),
    request_body(content = Object, example = json!({
        "namespace": "default", "name": "web", "generation": 1,
        "spec": { "instanceRef": { "name": "main" }, "http": { "url": "https://shop.example/" } },
    })),
    responses(
        (status = 200, description = "By number: the endpoint. By uid: `changed` says whether it was another", body = Object, example = json!({ "changed": false })),
        (status = 201, description = "By uid: it is new", body = Object, example = json!({ "changed": true })),
        (status = 400, description = "By number: there is another of that name", body = Object),
        (status = 401, description = "No credential that counts", body = ErrorView),
        (status = 404, description = "There is none of that number", body = Object),
        (status = 409, description = "It is declared elsewhere, and can be changed only there", body = Object),
        (status = 422, description = "A field is at fault; it is named", body = ErrorView),
        (status = 429, description = "By number: too many requests of this address in a minute", body = Object),
    ),
    security((), ("monitoring_key" = []), ("admin" = []), ("admin_basic" = [])),
)]
pub(crate) async fn put(
    State(api): State<Api>,
    axum::extract::Path(id): axum::extract::Path<String>,
    request: Request,
) -> Result<Response, Response> {
    if !is_number(&id) {
        return v1::endpoints::put(&api, id, request).await;
    }
    change(&api, &id, request).await.map_err(IntoResponse::into_response)
}

async fn change(api: &Api, id: &str, request: Request) -> Result<Response, Problem> {
    let (parts, body) = request.into_parts();
    Caller::<50>::check(&parts, api).await?;
    let id = EndpointId::read(id).get()?;
    let Payload(body) = Request::from_parts(parts, body).extract().await.map_err(refused)?;
    let body = json_of(&body)?;
    // What the fields are is judged before whether there is such an endpoint.
    let dummy = EndpointSpec::new("", watchkeeper_store::Probe::Http(watchkeeper_store::HttpProbe::new("")));
    MonitoringEndpoint::of("", &dummy).update(&body).map_err(|all| Problem::fields(&all))?;
    let change = api
        .store
        .change_endpoint(id, Origin::Api, |endpoint| {
            let mut definition = MonitoringEndpoint::of(&endpoint.name, &endpoint.spec);
            // Judged above, and by the same rules.
            if definition.update(&body).is_ok() {
                endpoint.spec = definition.spec(Some(&endpoint.spec), &api.options.monitoring.alerts);
                endpoint.name = definition.name;
            }
        })
        .await?;
    match change {
        Change::Made(endpoint) => {
            api.endpoints_changed();
            Ok(Json(EndpointBody::new(&endpoint, true)).into_response())
        }
        Change::NoSuch => Err(Problem::no_endpoint(id)),
        Change::NameTaken(name) => Err(taken(&name)),
        Change::Foreign(endpoint) => Err(foreign(&endpoint)),
    }
}

fn refused(error: ApiError) -> Problem {
    Problem::too_large(error.status, error.message)
}

/// What was declared elsewhere would come back as it was.
fn foreign(endpoint: &Endpoint) -> Problem {
    let where_ = match endpoint.origin {
        Origin::Kubernetes | Origin::Manifest => {
            format!("the MonitoredEndpoint {}/{}", endpoint.namespace, endpoint.name)
        }
        Origin::Monitor => "the monitors of an api-analytics user".to_owned(),
        Origin::Api => "this interface".to_owned(),
    };
    Problem::conflict(format!("Endpoint {} is declared by {where_}; change it there", endpoint.id))
}

/// Deletes an endpoint, its checks and its notices. By uid also one that is not there.
#[utoipa::path(
    delete,
    path = "/api/v1/endpoints/{id}",
    tag = "monitoring",
    params(("id" = String, Path, description = "Number of the endpoint; or its uid, as it was put")),
    responses(
        (status = 204, description = "It is gone"),
        (status = 401, description = "No credential that counts", body = ErrorView),
        (status = 404, description = "There is none of that number", body = Object),
        (status = 409, description = "It is declared elsewhere, and can be deleted only there", body = Object),
        (status = 429, description = "By number: too many requests of this address in a minute", body = Object),
    ),
    security((), ("monitoring_key" = []), ("admin" = []), ("admin_basic" = [])),
)]
pub(crate) async fn delete(
    State(api): State<Api>,
    axum::extract::Path(id): axum::extract::Path<String>,
    request: Request,
) -> Result<Response, Response> {
    let (parts, _) = request.into_parts();
    if !is_number(&id) {
        return v1::endpoints::delete(&api, &parts.headers, &id).await;
    }
    let delete = async {
        Caller::<20>::check(&parts, &api).await?;
        let endpoint = find(&api, EndpointId::read(&id).get()?).await?;
        if endpoint.origin != Origin::Api {
            return Err(foreign(&endpoint));
        }
        if !api.store.delete_endpoint(&endpoint.uid).await? {
            return Err(Problem::no_endpoint(endpoint.id));
        }
        api.endpoints_changed();
        Ok(StatusCode::NO_CONTENT.into_response())
    };
    delete.await.map_err(IntoResponse::into_response)
}

/// Checks an endpoint now, whether or not it is active. The result is kept; nobody is notified of it.
#[utoipa::path(
    post,
    path = "/api/v1/endpoints/{id}/check",
    tag = "monitoring",
    params(("id" = i64, Path, description = "Number of the endpoint")),
    request_body(content = Object, example = json!({ "use_retry": true })),
    responses(
        (status = 200, description = "What the check found", body = Object),
        (status = 401, description = "No credential that counts", body = ErrorView),
        (status = 404, description = "There is none of that number", body = Object),
        (status = 409, description = "It is a heartbeat, which calls by itself and cannot be asked", body = Object),
        (status = 422, description = "A field is at fault; it is named", body = Object),
        (status = 429, description = "Too many requests of this address in a minute", body = Object),
        (status = 503, description = "No checker took it in time", body = Object),
    ),
    security((), ("monitoring_key" = []), ("admin" = []), ("admin_basic" = [])),
)]
pub(crate) async fn check(
    _: Caller<30>,
    State(api): State<Api>,
    id: EndpointId,
    Payload(body): Payload,
) -> Result<Json<Value>, Problem> {
    let id = id.get()?;
    let use_retry = match body.is_empty() {
        true => true,
        false => {
            let body = json_of(&body)?;
            let body = if body.is_null() { Value::Object(Map::new()) } else { body };
            let mut fields = super::fields::Fields::of(&body).map_err(|all| Problem::fields(&all))?;
            let use_retry = fields.flag("use_retry").unwrap_or(true);
            if !fields.problems.is_empty() {
                return Err(Problem::fields(&fields.problems));
            }
            use_retry
        }
    };
    let endpoint = find(&api, id).await?;
    let spec = &endpoint.spec;
    if matches!(spec.probe, Probe::Heartbeat(_)) {
        let message = format!("Endpoint {id} is a heartbeat: it calls by itself and cannot be asked");
        return Err(Problem::conflict(message));
    }
    let attempts = if use_retry { spec.retries + 1 } else { 1 };
    let wait = (spec.timeout.saturating_mul(attempts) + PICKUP).min(LONGEST);
    let errand = Errand::Check { endpoint: id, retries: use_retry };
    let answer = api.store.run_errands(&[errand], wait).await?.into_iter().next().flatten();
    let answer = answer.ok_or_else(|| Problem::unavailable("No checker took the check in time"))?;
    let made: LastCheck = serde_json::from_str(&answer).map_err(|error| ApiError::internal(&error))?;
    Ok(Json(view::outcome(id, spec, &made)))
}
