//! The one way in which channels speak HTTP: no redirects, bounded time and
//! answers, and errors that never show an address, which may be the secret.

use std::{error::Error, time::Duration};

use reqwest::{Client, Method, RequestBuilder, Response, StatusCode, redirect::Policy};

use crate::failure::Failure;

/// Longest time for a whole exchange.
const PATIENCE: Duration = Duration::from_secs(20);

/// Most of an answer that is read.
const ANSWER: usize = 64 << 10;

/// Most of an answer that an error repeats, characters.
const EXCERPT: usize = 200;

/// A client for all channels; clones share its connections.
#[derive(Debug, Clone)]
pub struct Http(Client);

impl Http {
    /// # Errors
    /// When TLS cannot be set up.
    pub fn new() -> reqwest::Result<Self> {
        let agent = concat!("Watchkeeper/", env!("CARGO_PKG_VERSION"));
        let client = Client::builder()
            .redirect(Policy::none())
            .timeout(PATIENCE)
            .connect_timeout(PATIENCE / 2)
            // A connection that the server closed meanwhile must not cost an attempt.
            .pool_idle_timeout(Duration::from_secs(5))
            .user_agent(agent)
            .build()?;
        Ok(Self(client))
    }

    /// A request that is yet to be sent.
    pub fn request(&self, method: Method, url: &str) -> RequestBuilder {
        self.0.request(method, url)
    }

    /// A POST that is yet to be sent.
    pub fn post(&self, url: &str) -> RequestBuilder {
        self.request(Method::POST, url)
    }

    /// Sends a request and returns the answer's body, if its status is of 2xx.
    ///
    /// # Errors
    /// What went wrong, and whether it may be tried again.
    pub async fn send(&self, request: RequestBuilder) -> Result<Vec<u8>, Failure> {
        let response = request.send().await.map_err(|error| unsent(&error))?;
        let status = response.status();
        let retry_after = retry_after(&response);
        let body = read(response).await;
        if status.is_success() {
            return Ok(body);
        }
        let text: String = String::from_utf8_lossy(&body)
            .chars()
            .map(|c| if c.is_control() { ' ' } else { c })
            .take(EXCERPT)
            .collect();
        let error = match text.trim() {
            "" => format!("it answered {status}"),
            text => format!("it answered {status}: {text}"),
        };
        let passing = status.is_server_error()
            || [StatusCode::REQUEST_TIMEOUT, StatusCode::TOO_EARLY, StatusCode::TOO_MANY_REQUESTS]
                .contains(&status);
        Err(Failure { error, permanent: !passing, retry_after })
    }
}

fn unsent(error: &reqwest::Error) -> Failure {
    if error.is_builder() {
        return Failure::permanent("its address or a header cannot be used");
    }
    if error.is_timeout() {
        return Failure::passing("no answer in time");
    }
    // The innermost cause: the outer ones repeat the address.
    let mut cause: &dyn Error = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    Failure::passing(cause.to_string())
}

fn retry_after(response: &Response) -> Option<Duration> {
    let seconds = response.headers().get("retry-after")?.to_str().ok()?.trim().parse().ok()?;
    Some(Duration::from_secs(seconds))
}

/// As much of the answer as is of interest; what breaks off is as good as its beginning.
async fn read(mut response: Response) -> Vec<u8> {
    let mut body = Vec::new();
    while body.len() < ANSWER {
        match response.chunk().await {
            Ok(Some(chunk)) => body.extend_from_slice(&chunk),
            Ok(None) | Err(_) => break,
        }
    }
    body.truncate(ANSWER);
    body
}
