//! A server that speaks the operator's side of an instance's API, and remembers all.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Result;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, put};
use axum::{Json, Router};
use serde_json::{Value, json};
use tokio::sync::watch;

/// What the server knows.
#[derive(Default)]
pub struct Known {
    /// Bodies by uid.
    pub endpoints: BTreeMap<String, Value>,
    /// Keys by project.
    pub projects: BTreeMap<String, String>,
    /// Settings by project.
    pub settings: BTreeMap<String, Value>,
    /// Uids that were deleted.
    pub deleted: Vec<String>,
    /// Number of PUTs of endpoints.
    pub puts: usize,
    /// The token that was last used.
    pub token: String,
    reports: BTreeMap<String, Value>,
    transitions: Vec<Value>,
}

/// The server.
#[derive(Clone)]
pub struct FakeApi {
    known: Arc<Mutex<Known>>,
    news: Arc<watch::Sender<usize>>,
    pub url: String,
}

impl FakeApi {
    pub async fn start() -> Result<Self> {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
        let api = Self {
            known: Arc::default(),
            news: Arc::new(watch::channel(0).0),
            url: format!("http://{}", listener.local_addr()?),
        };
        let router = Router::new()
            .route("/api/v1/endpoints", get(list))
            .route("/api/v1/endpoints/{uid}", put(put_endpoint).delete(delete_endpoint))
            .route("/api/v1/transitions", get(transitions))
            .route("/api/v1/projects/{name}/settings", put(put_settings))
            .route("/api/v1/projects/{name}", put(put_project).delete(delete_project))
            .with_state(api.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        Ok(api)
    }

    /// Looks at, or changes, what the server knows.
    pub fn with<T>(&self, look: impl FnOnce(&mut Known) -> T) -> T {
        look(&mut self.known.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// An endpoint comes into a state.
    pub fn transition(&self, uid: &str, state: &str, time: &str) {
        self.transition_saying(uid, state, time, &Value::Null);
    }

    /// Says that an endpoint is in another state, by a check with a message of its own.
    pub fn transition_saying(&self, uid: &str, state: &str, time: &str, message: &Value) {
        let report = json!({"uid": uid, "state": state, "since": time,
            "lastCheck": {"time": time, "ok": state == "Up", "status": 200, "durationMs": 5, "message": message},
            "uptime": {"24h": "99.95", "7d": null, "30d": null}});
        let count = self.with(|known| {
            known.reports.insert(uid.to_owned(), report.clone());
            known.transitions.push(report);
            known.transitions.len()
        });
        self.news.send_replace(count);
    }
}

fn authorized(api: &FakeApi, headers: &HeaderMap) -> Result<(), Box<Response>> {
    let token = headers
        .get("authorization")
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.strip_prefix("Bearer "));
    match token {
        Some(token) if token.len() == 40 => {
            api.with(|known| known.token = token.to_owned());
            Ok(())
        }
        _ => Err(Box::new(
            (StatusCode::UNAUTHORIZED, Json(json!({"message": "no token", "status": 401}))).into_response(),
        )),
    }
}

async fn put_settings(
    State(api): State<FakeApi>,
    headers: HeaderMap,
    Path(name): Path<String>,
    Json(body): Json<Value>,
) -> Response {
    if let Err(refusal) = authorized(&api, &headers) {
        return *refusal;
    }
    api.with(|known| known.settings.insert(name, body.clone()));
    Json(body).into_response()
}

async fn put_endpoint(
    State(api): State<FakeApi>,
    headers: HeaderMap,
    Path(uid): Path<String>,
    Json(body): Json<Value>,
) -> Response {
    if let Err(refusal) = authorized(&api, &headers) {
        return *refusal;
    }
    if body["spec"]["http"]["url"] == "http://refused.example/" {
        let refusal = json!({"message": "this host is not allowed", "field": "spec.http.url", "status": 422});
        return (StatusCode::UNPROCESSABLE_ENTITY, Json(refusal)).into_response();
    }
    api.with(|known| {
        known.puts += 1;
        known.reports.entry(uid.clone()).or_insert_with(|| {
            json!({"uid": uid, "state": "Unknown", "since": null, "lastCheck": null,
                "uptime": {"24h": null, "7d": null, "30d": null}})
        });
        known.endpoints.insert(uid, body);
    });
    StatusCode::OK.into_response()
}

async fn delete_endpoint(
    State(api): State<FakeApi>,
    headers: HeaderMap,
    Path(uid): Path<String>,
) -> Response {
    if let Err(refusal) = authorized(&api, &headers) {
        return *refusal;
    }
    api.with(|known| {
        known.endpoints.remove(&uid);
        known.reports.remove(&uid);
        known.deleted.push(uid);
    });
    StatusCode::NO_CONTENT.into_response()
}

async fn list(State(api): State<FakeApi>, headers: HeaderMap) -> Response {
    if let Err(refusal) = authorized(&api, &headers) {
        return *refusal;
    }
    let body = api.with(|known| {
        let endpoints: Vec<&Value> = known.reports.values().collect();
        json!({"endpoints": endpoints, "cursor": known.transitions.len().to_string()})
    });
    Json(body).into_response()
}

async fn transitions(
    State(api): State<FakeApi>,
    headers: HeaderMap,
    Query(query): Query<BTreeMap<String, String>>,
) -> Response {
    if let Err(refusal) = authorized(&api, &headers) {
        return *refusal;
    }
    let after: usize = query.get("after").and_then(|cursor| cursor.parse().ok()).unwrap_or_default();
    let mut news = api.news.subscribe();
    let _ = tokio::time::timeout(Duration::from_secs(25), news.wait_for(|count| *count > after)).await;
    let body = api.with(|known| json!({"transitions": &known.transitions[after..], "cursor": known.transitions.len().to_string()}));
    Json(body).into_response()
}

async fn put_project(
    State(api): State<FakeApi>,
    headers: HeaderMap,
    Path(name): Path<String>,
    Json(body): Json<Value>,
) -> Response {
    if let Err(refusal) = authorized(&api, &headers) {
        return *refusal;
    }
    let key = body["key"].as_str().unwrap_or_default().to_owned();
    api.with(|known| known.projects.insert(name, key));
    StatusCode::CREATED.into_response()
}

async fn delete_project(
    State(api): State<FakeApi>,
    headers: HeaderMap,
    Path(name): Path<String>,
) -> Response {
    if let Err(refusal) = authorized(&api, &headers) {
        return *refusal;
    }
    api.with(|known| known.projects.remove(&name));
    StatusCode::NO_CONTENT.into_response()
}
