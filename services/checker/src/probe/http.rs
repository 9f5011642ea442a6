//! The HTTP probe: one request, its redirects, and a verdict on the status.

use std::net::IpAddr;
use std::time::Duration;

use reqwest::header::{HeaderMap, HeaderName, HeaderValue, LOCATION};
use reqwest::{Client, Method, Response, StatusCode, redirect};
use tokio::time::Instant;
use url::{Host, Url};
use watchkeeper_store::HttpProbe;

use super::describe::describe;
use super::resolver::GuardedResolver;
use crate::guard::Guard;
use crate::result::{ExpectedStatus, Outcome};

/// Redirects followed before a probe gives up.
const MAX_REDIRECTS: usize = 10;
/// How much of a body is read, so that small ones end as their server expects.
const MAX_BODY: usize = 64 * 1024;
/// How long a body is read at most.
const MAX_BODY_TIME: Duration = Duration::from_secs(2);

/// Sends HTTP probes for one kind of author.
#[derive(Clone)]
pub(super) struct HttpProber {
    client: Client,
    guard: Guard,
}

impl HttpProber {
    pub(super) fn new(guard: Guard) -> Result<Self, reqwest::Error> {
        // Whoever installed a provider before has chosen; ours is the default.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = Client::builder()
            .user_agent(watchkeeper_runtime::USER_AGENT)
            .dns_resolver(GuardedResolver::new(guard.clone()))
            // Redirects are followed here, where headers and addresses are
            // looked at again for each.
            .redirect(redirect::Policy::none())
            // A proxy from the environment would connect in our place, past
            // the guard.
            .no_proxy()
            .no_gzip()
            .referer(false)
            // Every check resolves, connects and shakes hands afresh: a
            // connection from yesterday says nothing about today's certificate.
            .pool_max_idle_per_host(0)
            .build()?;
        Ok(Self { client, guard })
    }

    /// Probes once, for at most `timeout`.
    pub(super) async fn probe(&self, probe: &HttpProbe, timeout: Duration) -> Outcome {
        let start = Instant::now();
        let plan = match Plan::new(probe) {
            Ok(plan) => plan,
            Err(why) => return Outcome::failed(Duration::ZERO, why),
        };
        match tokio::time::timeout(timeout, self.exchange(&plan)).await {
            Ok(Ok(response)) => {
                let duration = start.elapsed();
                let left = timeout.saturating_sub(duration).min(MAX_BODY_TIME);
                let status = response.status().as_u16();
                let verdict = match plan.expected.judge(status) {
                    Ok(()) => drain(response, left).await,
                    bad => bad,
                };
                Outcome { ok: verdict.is_ok(), status: Some(status), duration, message: verdict.err() }
            }
            Ok(Err(why)) => Outcome::failed(start.elapsed(), why),
            Err(_) => Outcome::failed(start.elapsed(), format!("no answer within {timeout:?}")),
        }
    }

    /// Sends the request and follows its redirects to the final answer.
    async fn exchange(&self, plan: &Plan) -> Result<Response, String> {
        let response = self.follow(plan, plan.method.clone()).await?;
        let refused =
            [StatusCode::METHOD_NOT_ALLOWED, StatusCode::NOT_IMPLEMENTED].contains(&response.status());
        if refused && plan.head_falls_back_to_get && plan.method == Method::HEAD {
            return self.follow(plan, Method::GET).await;
        }
        Ok(response)
    }

    async fn follow(&self, plan: &Plan, method: Method) -> Result<Response, String> {
        let mut request =
            Hop { url: plan.url.clone(), method, headers: plan.headers.clone(), body: plan.body.clone() };
        for _ in 0..=MAX_REDIRECTS {
            let response = self.send(&request).await?;
            if !plan.follow_redirects {
                return Ok(response);
            }
            match request.next(&response)? {
                Some(next) => request = next,
                None => return Ok(response),
            }
        }
        Err(format!("more than {MAX_REDIRECTS} redirects"))
    }

    async fn send(&self, request: &Hop) -> Result<Response, String> {
        // The client resolves names through the guard, but connects to
        // addresses in URLs without asking anyone.
        let literal = match request.url.host() {
            Some(Host::Ipv4(ip)) => Some(IpAddr::V4(ip)),
            Some(Host::Ipv6(ip)) => Some(IpAddr::V6(ip)),
            _ => None,
        };
        if let Some(ip) = literal {
            self.guard.check(ip).map_err(|denied| denied.to_string())?;
        }
        let mut builder =
            self.client.request(request.method.clone(), request.url.clone()).headers(request.headers.clone());
        if let Some(body) = &request.body {
            builder = builder.body(body.clone());
        }
        builder.send().await.map_err(|error| describe(&error))
    }
}

/// A probe made ready to send.
struct Plan {
    url: Url,
    method: Method,
    headers: HeaderMap,
    body: Option<String>,
    expected: ExpectedStatus,
    follow_redirects: bool,
    head_falls_back_to_get: bool,
}

impl Plan {
    /// # Errors
    /// A sentence about the field that is wrong, without any value that may
    /// be secret.
    fn new(probe: &HttpProbe) -> Result<Self, String> {
        let url = Url::parse(&probe.url).map_err(|error| format!("the URL is invalid: {error}"))?;
        require_http(&url)?;
        let method =
            Method::from_bytes(probe.method.as_bytes()).map_err(|_| "the method is invalid".to_owned())?;
        let mut headers = HeaderMap::with_capacity(probe.headers.len());
        for (name, value) in &probe.headers {
            let header = HeaderName::from_bytes(name.as_bytes())
                .map_err(|_| format!("`{name}` is not a header name"))?;
            let mut value = HeaderValue::from_str(value)
                .map_err(|_| format!("the value of header `{name}` is invalid"))?;
            // Keeps it out of the client's own logs.
            value.set_sensitive(true);
            headers.append(header, value);
        }
        Ok(Self {
            url,
            method,
            headers,
            body: probe.body.clone(),
            expected: ExpectedStatus::parse(&probe.expected_status)?,
            follow_redirects: probe.follow_redirects,
            head_falls_back_to_get: probe.head_falls_back_to_get,
        })
    }
}

/// One request of a chain of redirects.
struct Hop {
    url: Url,
    method: Method,
    headers: HeaderMap,
    body: Option<String>,
}

impl Hop {
    /// The request that an answer redirects to, if it does.
    fn next(&self, response: &Response) -> Result<Option<Self>, String> {
        let status = response.status();
        let (Some(location), true) =
            (response.headers().get(LOCATION), matches!(status.as_u16(), 301 | 302 | 303 | 307 | 308))
        else {
            return Ok(None);
        };
        let url = std::str::from_utf8(location.as_bytes())
            .ok()
            .and_then(|location| self.url.join(location).ok())
            .ok_or("a redirect leads to an invalid URL")?;
        require_http(&url).map_err(|_| "a redirect leads to a URL that is not http or https")?;

        // As browsers do: these three ask for the new place, 307 and 308 for
        // the same request there.
        let ask = matches!(status.as_u16(), 301..=303) && self.method != Method::HEAD;
        // Any configured header may be a secret, meant for the configured
        // server only.
        let same_origin = url.origin() == self.url.origin();
        Ok(Some(Self {
            method: if ask { Method::GET } else { self.method.clone() },
            headers: if same_origin { self.headers.clone() } else { HeaderMap::new() },
            body: if ask { None } else { self.body.clone() },
            url,
        }))
    }
}

fn require_http(url: &Url) -> Result<(), String> {
    match url.scheme() {
        "http" | "https" => Ok(()),
        other => Err(format!("the URL's scheme is {other}, not http or https")),
    }
}

/// Reads a little of the body and drops the rest. A stream that goes on is as
/// good as one that ends; one that breaks off is not.
async fn drain(mut response: Response, time: Duration) -> Result<(), String> {
    let read = async {
        let mut bytes = 0;
        while bytes < MAX_BODY {
            match response.chunk().await {
                Ok(Some(chunk)) => bytes += chunk.len(),
                Ok(None) => break,
                Err(_) => return Err("the answer broke off".to_owned()),
            }
        }
        Ok(())
    };
    tokio::time::timeout(time, read).await.unwrap_or(Ok(()))
}

#[cfg(test)]
#[path = "http_tests.rs"]
mod tests;
