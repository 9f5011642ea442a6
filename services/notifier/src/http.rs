//! The one way in which channels speak HTTP: no redirects, bounded time and
//! answers, and errors that never show an address, which may be the secret.

use std::{error::Error, time::Duration};

use jiff::{Timestamp, fmt::rfc2822};
use reqwest::{Client, Method, RequestBuilder, Response, StatusCode, redirect::Policy};

use crate::failure::Failure;

/// Longest time for a whole exchange.
const PATIENCE: Duration = Duration::from_secs(20);

/// Most of an answer that is read.
const ANSWER: usize = 64 << 10;

/// Most of an answer that an error repeats before it is freed of secrets and cut, characters.
const EXCERPT: usize = 4_000;

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
    pause(response.headers().get("retry-after")?.to_str().ok()?.trim(), Timestamp::now())
}

/// The pause that `Retry-After` asks for, in seconds or until a date (RFC 9110, 10.2.3).
fn pause(wanted: &str, now: Timestamp) -> Option<Duration> {
    if let Ok(seconds) = wanted.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let until = rfc2822::parse(wanted).ok()?.timestamp();
    Duration::try_from(until.duration_since(now)).ok()
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_may_ask_for_seconds_or_name_a_date() {
        let now: Timestamp = "1994-11-06T08:49:07Z".parse().expect("a moment");
        let wanted = |text| pause(text, now);
        assert_eq!(wanted("120"), Some(Duration::from_secs(120)));
        assert_eq!(wanted("Sun, 06 Nov 1994 08:49:37 GMT"), Some(Duration::from_secs(30)));
        assert_eq!(wanted("Sun, 06 Nov 1994 08:48:37 GMT"), None, "it is past");
        assert_eq!(wanted("soon"), None);
    }
}
