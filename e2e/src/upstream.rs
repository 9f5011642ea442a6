//! The api-analytics protocol from the outside: what its client libraries post and its dashboard reads.

use std::collections::BTreeMap;
use std::io::Read;
use std::sync::Once;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use flate2::read::GzDecoder;
use reqwest::header::CONTENT_ENCODING;
use reqwest::{Client, RequestBuilder, StatusCode};
use serde_json::{Value, json};

// The dashboard asks for another page while the last one had this many rows.
const FULL_PAGE: usize = 200_000;
// The raw data comes in pages of this many rows.
const DATA_PAGE: usize = 50_000;

/// An HTTP client that decodes nothing by itself and never leaves by a proxy.
///
/// # Errors
/// When the TLS library does not load.
pub fn http_client() -> Result<Client> {
    static PROVIDER: Once = Once::new();
    // The product's crates choose their TLS provider themselves, and so must the tests.
    PROVIDER.call_once(|| drop(rustls::crypto::ring::default_provider().install_default()));
    Ok(Client::builder().no_proxy().no_gzip().timeout(Duration::from_secs(60)).build()?)
}

/// One row as the server gives it back. What the server may leave out or leave empty is `None`
/// either way.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Row {
    /// When, as the server wrote it: RFC 3339.
    pub created_at: String,
    /// The path as the client sent it.
    pub path: String,
    /// The `Host` of the request.
    pub hostname: Option<String>,
    /// The number that stands for the method.
    pub method: i64,
    /// The status of the response.
    pub status: i64,
    /// Milliseconds.
    pub response_time: i64,
    /// The `User-Agent` of the request.
    pub user_agent: Option<String>,
    /// The address of the visitor, without a mask.
    pub ip: Option<String>,
    /// The country of the visitor, two letters.
    pub location: Option<String>,
    /// The application's own name for the visitor.
    pub user_id: Option<String>,
}

async fn status(request: RequestBuilder) -> Result<StatusCode> {
    let answer = request.send().await?;
    let status = answer.status();
    // Read to the end, so that the connection can be used again.
    answer.bytes().await?;
    Ok(status)
}

/// A server that speaks the protocol.
#[derive(Debug, Clone)]
pub struct Upstream {
    logger: String,
    base: String,
    http: Client,
}

impl Upstream {
    /// The server at `base`, as `http://127.0.0.1:8080`.
    ///
    /// # Errors
    /// As [`http_client`].
    pub fn new(base: impl Into<String>) -> Result<Self> {
        let base = base.into();
        Self::split(base.clone(), base)
    }

    /// A server whose logger and API have an address each.
    ///
    /// # Errors
    /// As [`http_client`].
    pub fn split(logger: String, api: String) -> Result<Self> {
        Ok(Self { logger, base: api, http: http_client()? })
    }

    /// The same server, over connections of its own.
    ///
    /// # Errors
    /// As [`http_client`].
    pub fn another(&self) -> Result<Self> {
        Self::split(self.logger.clone(), self.base.clone())
    }

    /// A request to a path of the server, not sent yet.
    pub fn get(&self, path: &str) -> RequestBuilder {
        self.http.get(format!("{}{path}", self.base))
    }

    /// A new key.
    ///
    /// # Errors
    /// When the server does not make one.
    pub async fn generate(&self) -> Result<String> {
        self.json_string("/api/generate").await
    }

    /// The user id that belongs to a key.
    ///
    /// # Errors
    /// When the server does not know the key.
    pub async fn user_id(&self, key: &str) -> Result<String> {
        self.json_string(&format!("/api/user-id/{key}")).await
    }

    /// Posts rows under a key as a client library does, and gives the status of the answer.
    ///
    /// # Errors
    /// When there is no answer.
    pub async fn post(&self, key: &str, framework: &str, rows: &[Value]) -> Result<StatusCode> {
        status(self.log_request(key, framework, rows)).await
    }

    /// Posts rows under a key, and under an idempotency key that tells this post from all others.
    ///
    /// # Errors
    /// When there is no answer.
    pub async fn post_once(&self, key: &str, idempotency_key: &str, rows: &[Value]) -> Result<StatusCode> {
        status(self.log_request(key, "Axum", rows).header("Idempotency-Key", idempotency_key)).await
    }

    fn log_request(&self, key: &str, framework: &str, rows: &[Value]) -> RequestBuilder {
        let payload = json!({ "api_key": key, "requests": rows, "framework": framework, "privacy_level": 0 });
        self.http.post(format!("{}/api/log-request", self.logger)).json(&payload)
    }

    /// All rows of a key as the dashboard loads them: page after page, gzip always.
    ///
    /// # Errors
    /// When the server answers anything that the dashboard would not understand.
    pub async fn dashboard(&self, key: &str) -> Result<Vec<Row>> {
        let user = self.user_id(key).await?;
        let mut rows = Vec::new();
        for page in 1.. {
            let path = format!("/api/requests/{user}/{page}");
            let answer = self.get(&path).send().await?;
            if answer.status() != StatusCode::OK {
                bail!("{path}: {}", answer.status());
            }
            if answer.headers().get(CONTENT_ENCODING).is_none_or(|coding| coding != "gzip") {
                bail!("{path}: not gzip, which the dashboard's answers always are");
            }
            let mut body = String::new();
            GzDecoder::new(answer.bytes().await?.as_ref()).read_to_string(&mut body)?;
            let page_rows = dashboard_rows(&serde_json::from_str(&body)?)?;
            let count = page_rows.len();
            rows.extend(page_rows);
            if count < FULL_PAGE {
                break;
            }
        }
        Ok(rows)
    }

    /// All rows of a key as the raw data route gives them.
    ///
    /// # Errors
    /// When the server answers anything but rows.
    pub async fn data(&self, key: &str) -> Result<Vec<Row>> {
        let mut rows = Vec::new();
        for page in 1.. {
            let path = format!("/api/data?page={page}");
            let answer = self.get(&path).header("X-AUTH-TOKEN", key).send().await?;
            if answer.status() != StatusCode::OK {
                bail!("{path}: {}", answer.status());
            }
            let body: Vec<Value> = answer.json().await?;
            let count = body.len();
            for row in &body {
                rows.push(data_row(row).with_context(|| row.to_string())?);
            }
            if count < DATA_PAGE {
                break;
            }
        }
        Ok(rows)
    }

    async fn json_string(&self, path: &str) -> Result<String> {
        let answer = self.get(path).send().await?;
        let status = answer.status();
        let body = answer.text().await?;
        if status != StatusCode::OK {
            bail!("{path}: {status}: {body}");
        }
        serde_json::from_str(&body).with_context(|| format!("{path}: {body}"))
    }
}

/// A row as client libraries post it, at `created_at`, with everything else ordinary.
#[must_use]
pub fn row(path: &str, created_at: &str) -> Value {
    json!({
        "hostname": "example.com",
        "ip_address": "203.0.113.9",
        "path": path,
        "user_agent": "watchkeeper-test/1.0",
        "method": "GET",
        "status": 200,
        "response_time": 12,
        "user_id": null,
        "created_at": created_at,
    })
}

fn dashboard_rows(body: &Value) -> Result<Vec<Row>> {
    let agents: BTreeMap<String, String> = serde_json::from_value(body["user_agents"].clone())?;
    let rows = body["requests"].as_array().context("requests is no array")?;
    rows.iter().map(|row| dashboard_row(row, &agents).with_context(|| row.to_string())).collect()
}

fn dashboard_row(row: &Value, agents: &BTreeMap<String, String>) -> Result<Row> {
    let agent = match row[3].as_i64() {
        Some(id) => Some(agents.get(&id.to_string()).context("a user agent that is not in the page's map")?),
        None => None,
    };
    Ok(Row {
        ip: text(&row[0]),
        path: text(&row[1]).unwrap_or_default(),
        hostname: text(&row[2]),
        user_agent: agent.filter(|agent| !agent.is_empty()).cloned(),
        method: number(&row[4])?,
        response_time: number(&row[5])?,
        status: number(&row[6])?,
        location: text(&row[7]),
        user_id: text(&row[8]),
        created_at: text(&row[9]).context("no time")?,
    })
}

fn data_row(row: &Value) -> Result<Row> {
    Ok(Row {
        ip: text(&row["ip_address"]),
        path: text(&row["path"]).unwrap_or_default(),
        hostname: text(&row["hostname"]),
        user_agent: text(&row["user_agent"]),
        method: number(&row["method"])?,
        response_time: number(&row["response_time"])?,
        status: number(&row["status"])?,
        location: text(&row["location"]),
        user_id: text(&row["user_id"]),
        created_at: text(&row["created_at"]).context("no time")?,
    })
}

fn text(value: &Value) -> Option<String> {
    value.as_str().filter(|text| !text.is_empty()).map(str::to_owned)
}

fn number(value: &Value) -> Result<i64> {
    value.as_i64().context("no integer where there must be one")
}
