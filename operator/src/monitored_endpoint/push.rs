//! Phase 3: the API of an instance, as the operator uses it.

use std::collections::BTreeMap;
use std::time::Duration;

use reqwest::{Method, RequestBuilder, StatusCode};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use watchkeeper_crds::analytics_instance::ProjectSettings;
use watchkeeper_crds::monitored_endpoint::{CertificateStatus, EndpointState, LastCheck, Uptime};

/// Time that any call but a long poll may take.
const CALL: Duration = Duration::from_secs(10);
/// Time for which the API holds a long poll open.
pub const WAIT: Duration = Duration::from_secs(25);

/// Why a call to an API failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ApiError {
    /// Nobody answered, or not in time.
    #[error("the instance's API does not answer: {0}")]
    Unreachable(String),
    /// It answered with a refusal.
    #[error("the instance's API refused ({status}): {message}")]
    Refused {
        /// Status code of the answer.
        status: u16,
        /// What it said.
        message: String,
    },
    /// It answered something that cannot be understood.
    #[error("the instance's API answered something else than expected: {0}")]
    Malformed(String),
}

impl ApiError {
    /// Whether the spec itself was refused, so that trying again changes nothing.
    #[must_use]
    pub fn is_final(&self) -> bool {
        matches!(self, Self::Refused { status: 400 | 422, .. })
    }
}

/// What an endpoint is like, as the API reports it.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// Uid of the MonitoredEndpoint.
    pub uid: String,
    /// How it is.
    #[serde(default)]
    pub state: EndpointState,
    /// When it came into this state, RFC 3339.
    #[serde(default)]
    pub since: Option<String>,
    /// Whether checks come.
    #[serde(default = "yes")]
    pub observed: bool,
    /// Its newest check.
    #[serde(default)]
    pub last_check: Option<LastCheck>,
    /// Percent of time up.
    #[serde(default)]
    pub uptime: Option<Uptime>,
    /// The certificate that it was shown.
    #[serde(default)]
    pub certificate: Option<CertificateStatus>,
}

// An API of an earlier release does not tell.
fn yes() -> bool {
    true
}

/// All endpoints that the API knows from Kubernetes.
#[derive(Debug, Clone, Deserialize)]
pub struct Listing {
    /// The endpoints.
    pub endpoints: Vec<Report>,
    /// Where the transitions after this listing begin.
    pub cursor: String,
}

/// What has changed after a cursor.
#[derive(Debug, Clone, Deserialize)]
pub struct Transitions {
    /// The changes, oldest first.
    pub transitions: Vec<Report>,
    /// Where the next ones begin.
    pub cursor: String,
}

/// What is told about an endpoint.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Payload {
    /// Namespace of the MonitoredEndpoint.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Its generation.
    pub generation: i64,
    /// Its spec, with every header's value in place.
    pub spec: Value,
}

/// The API of one instance.
#[derive(Debug, Clone)]
pub struct ApiClient {
    http: reqwest::Client,
    base: String,
    token: String,
}

impl ApiClient {
    /// The API at a URL, with the administrator's token.
    #[must_use]
    pub fn new(http: &reqwest::Client, base: &str, token: &str) -> Self {
        Self { http: http.clone(), base: base.trim_end_matches('/').to_owned(), token: token.to_owned() }
    }

    /// Tells the API about an endpoint; telling the same again changes nothing.
    ///
    /// # Errors
    /// [`ApiError`].
    pub async fn put_endpoint(&self, uid: &str, payload: &Payload) -> Result<(), ApiError> {
        let request = self.request(Method::PUT, &format!("/api/v1/endpoints/{uid}"), CALL);
        self.send(request.json(payload)).await.map(|_| ())
    }

    /// Makes the API forget an endpoint; it may know nothing of it.
    ///
    /// # Errors
    /// [`ApiError`].
    pub async fn delete_endpoint(&self, uid: &str) -> Result<(), ApiError> {
        self.delete(&format!("/api/v1/endpoints/{uid}")).await
    }

    /// Registers a project's key.
    ///
    /// # Errors
    /// [`ApiError`].
    pub async fn put_project(&self, name: &str, key: &str) -> Result<(), ApiError> {
        let request = self.request(Method::PUT, &format!("/api/v1/projects/{name}"), CALL);
        self.send(request.json(&json!({ "key": key }))).await.map(|_| ())
    }

    /// Sets what a project wants beyond what the installation demands.
    ///
    /// # Errors
    /// [`ApiError`].
    pub async fn put_project_settings(&self, name: &str, settings: &ProjectSettings) -> Result<(), ApiError> {
        let request = self.request(Method::PUT, &format!("/api/v1/projects/{name}/settings"), CALL);
        self.send(request.json(settings)).await.map(|_| ())
    }

    /// Makes the API forget a project's name.
    ///
    /// # Errors
    /// [`ApiError`].
    pub async fn delete_project(&self, name: &str) -> Result<(), ApiError> {
        self.delete(&format!("/api/v1/projects/{name}")).await
    }

    /// Puts all channels of notices; putting the same again changes nothing.
    ///
    /// # Errors
    /// [`ApiError`].
    pub async fn put_notifications(&self, notifications: &Value) -> Result<(), ApiError> {
        let request = self.request(Method::PUT, "/api/v1/notifications", CALL);
        self.send(request.json(notifications)).await.map(|_| ())
    }

    /// All endpoints that the API has from Kubernetes.
    ///
    /// # Errors
    /// [`ApiError`].
    pub async fn list(&self) -> Result<Listing, ApiError> {
        let request =
            self.request(Method::GET, "/api/v1/endpoints", CALL * 3).query(&[("origin", "kubernetes")]);
        parsed(self.send(request).await?).await
    }

    /// Waits until something changes after the cursor, or some time has passed.
    ///
    /// # Errors
    /// [`ApiError`].
    pub async fn transitions(&self, cursor: &str) -> Result<Transitions, ApiError> {
        let wait = format!("{}s", WAIT.as_secs());
        let request = self
            .request(Method::GET, "/api/v1/transitions", WAIT + CALL)
            .query(&[("after", cursor), ("wait", &wait)]);
        parsed(self.send(request).await?).await
    }

    async fn delete(&self, path: &str) -> Result<(), ApiError> {
        match self.send(self.request(Method::DELETE, path, CALL)).await {
            Err(ApiError::Refused { status: 404, .. }) => Ok(()),
            result => result.map(|_| ()),
        }
    }

    fn request(&self, method: Method, path: &str, timeout: Duration) -> RequestBuilder {
        self.http.request(method, format!("{}{path}", self.base)).bearer_auth(&self.token).timeout(timeout)
    }

    async fn send(&self, request: RequestBuilder) -> Result<reqwest::Response, ApiError> {
        let response = request.send().await.map_err(|error| ApiError::Unreachable(cause(&error)))?;
        let status = response.status();
        if status.is_success() {
            return Ok(response);
        }
        let body: BTreeMap<String, Value> = response.json().await.unwrap_or_default();
        let text = |key: &str| body.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
        let message = match (text("field"), text("message")) {
            (field, message) if !field.is_empty() => format!("{field}: {message}"),
            (_, message) if !message.is_empty() => message,
            _ if status == StatusCode::UNAUTHORIZED => "the administrator's token is not accepted".to_owned(),
            _ => status.canonical_reason().unwrap_or("no reason given").to_owned(),
        };
        Err(ApiError::Refused { status: status.as_u16(), message })
    }
}

async fn parsed<T: serde::de::DeserializeOwned>(response: reqwest::Response) -> Result<T, ApiError> {
    response.json().await.map_err(|error| {
        if error.is_decode() {
            ApiError::Malformed(error.to_string())
        } else {
            ApiError::Unreachable(cause(&error))
        }
    })
}

/// The innermost cause: the outer ones repeat the URL and say little.
fn cause(error: &reqwest::Error) -> String {
    let mut source: &dyn std::error::Error = error;
    while let Some(inner) = source.source() {
        source = inner;
    }
    if error.is_timeout() { "no answer in time".to_owned() } else { source.to_string() }
}
