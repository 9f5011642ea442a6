//! The HTTP probe: one request, its redirects, and a verdict on the status.

use std::time::Duration;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE, HOST, LOCATION, USER_AGENT};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo};
use percent_encoding::percent_decode_str;
use tokio::task::JoinHandle;
use tokio::time::Instant;
use url::Url;
use watchkeeper_store::{HttpAuth, HttpProbe, HttpVersion};

use super::describe::describe_http;
use super::dial::{Io, Tools};
use super::judge::Judge;
use super::seen::{Seen, Stage};
use crate::result::ExpectedStatus;

/// How much of a body is read that no assertion asks for, so that small ones end
/// as their server expects.
const MAX_IDLE_BODY: u64 = 64 * 1024;
/// How long such a body is read at most.
const MAX_IDLE_TIME: Duration = Duration::from_secs(2);
/// Time by which that ends before the probe's own, which would make the check bad.
const MARGIN: Duration = Duration::from_millis(10);
/// Largest head of an answer, bytes, and most headers in it.
const MAX_HEAD: usize = 64 * 1024;
const MAX_HEADERS: usize = 200;

/// Sends the request, follows its redirects and judges the status. The body is
/// read to its end, or to the probe's limit, when an assertion wants it.
///
/// # Errors
/// A sentence that says what went wrong.
pub(super) async fn probe(
    tools: &Tools,
    probe: &HttpProbe,
    judge: &Judge,
    seen: &mut Seen,
) -> Result<(), String> {
    let start = Instant::now();
    let plan = Plan::new(probe)?;
    let mut answer = plan.follow(tools, plan.method.clone(), seen).await?;
    let refused =
        [StatusCode::METHOD_NOT_ALLOWED, StatusCode::NOT_IMPLEMENTED].contains(&answer.response.status());
    if refused && probe.head_falls_back_to_get && plan.method == Method::HEAD {
        answer = plan.follow(tools, Method::GET, seen).await?;
    }
    seen.answered = Some(start.elapsed());
    seen.status = Some(answer.response.status().as_u16());
    seen.http_version = Some(answer.response.version());
    seen.headers = answer.response.headers().clone();
    seen.enter(Stage::Transfer);
    let verdict = match judge.overrides_status(probe) {
        true => Ok(()),
        false => plan.expected.judge(answer.response.status().as_u16()),
    };
    if judge.wants_body() {
        answer.read(probe.max_body_bytes, seen).await?;
    } else if verdict.is_ok() {
        // A stream that goes on is as good as one that ends; one that breaks off is not.
        let limit = probe.max_body_bytes.min(MAX_IDLE_BODY);
        let left = tools.deadline.saturating_duration_since(Instant::now()).saturating_sub(MARGIN);
        let time = left.min(MAX_IDLE_TIME);
        if let Ok(read) = tokio::time::timeout(time, answer.read(limit, seen)).await {
            read?;
        }
    }
    verdict
}

/// An answer whose head has come, and the connection that it comes over.
struct Answer {
    response: Response<Incoming>,
    _connection: Driver,
}

/// A task that moves a connection on; it ends with its owner.
struct Driver(JoinHandle<()>);

impl Drop for Driver {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Answer {
    /// Reads the body, at most `limit` bytes of it.
    async fn read(&mut self, limit: u64, seen: &mut Seen) -> Result<(), String> {
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        while let Some(frame) = self.response.body_mut().frame().await {
            let frame = frame.map_err(|error| match describe_http(&error) {
                text if text.starts_with("the answer is not valid") => text,
                _ => "the answer broke off".to_owned(),
            })?;
            let Ok(data) = frame.into_data() else { continue };
            let room = limit.saturating_sub(seen.body.len()).min(data.len());
            seen.body.extend_from_slice(&data[..room]);
            if room < data.len() {
                seen.body_cut = true;
                break;
            }
        }
        Ok(())
    }
}

/// A probe made ready to send.
struct Plan<'a> {
    probe: &'a HttpProbe,
    url: Url,
    method: Method,
    headers: HeaderMap,
    expected: ExpectedStatus,
}

impl<'a> Plan<'a> {
    /// # Errors
    /// A sentence about the field that is wrong, without any value that may
    /// be secret.
    fn new(probe: &'a HttpProbe) -> Result<Self, String> {
        let url = Url::parse(&probe.url).map_err(|error| format!("the URL is invalid: {error}"))?;
        require_http(&url)?;
        let method =
            Method::from_bytes(probe.method.as_bytes()).map_err(|_| "the method is invalid".to_owned())?;
        let mut headers = headers(&probe.headers)?;
        let credentials = match &probe.auth {
            Some(HttpAuth::Basic { username, password }) => Some(basic(username, password)),
            Some(HttpAuth::Bearer { token }) => Some(format!("Bearer {token}")),
            // A redirect within the server names no user, and is asked as the same all the same.
            None if !headers.contains_key(AUTHORIZATION) => {
                userinfo(&url).map(|(name, password)| basic(&name, &password))
            }
            None => None,
        };
        if let Some(credentials) = credentials {
            let mut value =
                HeaderValue::from_str(&credentials).map_err(|_| "the credentials are invalid".to_owned())?;
            value.set_sensitive(true);
            headers.insert(AUTHORIZATION, value);
        }
        if let Some(label) = probe.sent_content_type() {
            headers.append(CONTENT_TYPE, HeaderValue::from_static(label));
        }
        Ok(Self { probe, url, method, headers, expected: ExpectedStatus::parse(&probe.expected_status)? })
    }

    /// Sends the request and follows its redirects to the final answer.
    async fn follow(&self, tools: &Tools, method: Method, seen: &mut Seen) -> Result<Answer, String> {
        let mut request = Hop {
            url: self.url.clone(),
            method,
            headers: self.headers.clone(),
            body: self.probe.sent_body().map(str::to_owned),
        };
        seen.redirects = 0;
        loop {
            let answer = self.send(&request, tools, seen).await?;
            if !self.probe.follow_redirects {
                return Ok(answer);
            }
            match request.next(&answer.response)? {
                None => return Ok(answer),
                Some(_) if seen.redirects >= self.probe.max_redirects => {
                    return Err(format!("more than {} redirects", self.probe.max_redirects));
                }
                Some(next) => request = next,
            }
            seen.redirects += 1;
        }
    }

    async fn send(&self, hop: &Hop, tools: &Tools, seen: &mut Seen) -> Result<Answer, String> {
        let host = hop.url.host_str().ok_or("the URL names no host")?;
        let secure = hop.url.scheme() == "https";
        let port = hop.url.port_or_known_default().ok_or("the URL names no port")?;
        (seen.tls, seen.cipher, seen.chain) = (None, None, None);
        let stream = tools.connect(host, port, self.probe.connect, seen).await?;
        let (stream, h2): (Box<dyn Io>, bool) = if secure {
            let protocols: &[&str] = match self.probe.version {
                HttpVersion::Auto => &["h2", "http/1.1"],
                HttpVersion::Http1 => &["http/1.1"],
                HttpVersion::Http2 => &["h2"],
            };
            // The configured client certificate and name are for the configured server only.
            let own;
            let options = if hop.url.origin() == self.url.origin() {
                &self.probe.tls
            } else {
                own = watchkeeper_store::TlsOptions {
                    skip_verification: self.probe.tls.skip_verification,
                    ca: self.probe.tls.ca.clone(),
                    ..watchkeeper_store::TlsOptions::default()
                };
                &own
            };
            let stream = tools.trusted.shake(stream, host, options, protocols, seen).await?;
            let h2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
            if !h2 && self.probe.version == HttpVersion::Http2 {
                return Err("the server speaks no HTTP/2".into());
            }
            (Box::new(stream), h2)
        } else {
            (Box::new(stream), self.probe.version == HttpVersion::Http2)
        };
        seen.enter(Stage::Processing);
        exchange(TokioIo::new(stream), h2, hop.request(h2)?).await
    }
}

async fn exchange(
    io: TokioIo<Box<dyn Io>>,
    h2: bool,
    request: Request<Full<Bytes>>,
) -> Result<Answer, String> {
    let told = |error: hyper::Error| describe_http(&error);
    let (response, connection) = if h2 {
        let (mut sender, connection) = hyper::client::conn::http2::Builder::new(TokioExecutor::new())
            .max_header_list_size(u32::try_from(MAX_HEAD).unwrap_or(u32::MAX))
            .handshake(io)
            .await
            .map_err(told)?;
        let driver = Driver(tokio::spawn(async move {
            // What goes wrong is told to whoever waits for the answer.
            let _ = connection.await;
        }));
        (sender.send_request(request).await.map_err(told)?, driver)
    } else {
        let (mut sender, connection) = hyper::client::conn::http1::Builder::new()
            .max_buf_size(MAX_HEAD)
            .max_headers(MAX_HEADERS)
            .handshake(io)
            .await
            .map_err(told)?;
        let driver = Driver(tokio::spawn(async move {
            let _ = connection.await;
        }));
        (sender.send_request(request).await.map_err(told)?, driver)
    };
    Ok(Answer { response, _connection: connection })
}

/// Reads configured headers; their values stay out of any log.
///
/// # Errors
/// A sentence that names the header.
pub(super) fn headers(pairs: &[(String, String)]) -> Result<HeaderMap, String> {
    let mut headers = HeaderMap::with_capacity(pairs.len());
    for (name, value) in pairs {
        let header =
            HeaderName::from_bytes(name.as_bytes()).map_err(|_| format!("`{name}` is not a header name"))?;
        let mut value =
            HeaderValue::from_str(value).map_err(|_| format!("the value of header `{name}` is invalid"))?;
        value.set_sensitive(true);
        headers.append(header, value);
    }
    Ok(headers)
}

/// One request of a chain of redirects.
struct Hop {
    url: Url,
    method: Method,
    headers: HeaderMap,
    body: Option<String>,
}

impl Hop {
    fn request(&self, h2: bool) -> Result<Request<Full<Bytes>>, String> {
        let authority = match self.url.port() {
            Some(port) => format!("{}:{port}", self.url.host_str().unwrap_or_default()),
            None => self.url.host_str().unwrap_or_default().to_owned(),
        };
        let path = &self.url[url::Position::BeforePath..url::Position::AfterQuery];
        let mut headers = self.headers.clone();
        if !headers.contains_key(USER_AGENT) {
            headers.insert(USER_AGENT, HeaderValue::from_static(watchkeeper_runtime::USER_AGENT));
        }
        if !headers.contains_key(http::header::ACCEPT) {
            headers.insert(http::header::ACCEPT, HeaderValue::from_static("*/*"));
        }
        let uri = if h2 {
            // HTTP/2 has no header Host: a configured one takes the authority's place.
            let host = headers.remove(HOST);
            let authority = host.as_ref().and_then(|host| host.to_str().ok()).unwrap_or(&authority);
            format!("{}://{authority}{path}", self.url.scheme())
        } else {
            if !headers.contains_key(HOST) {
                let host = HeaderValue::from_str(&authority).map_err(|_| "the URL's host is invalid")?;
                headers.insert(HOST, host);
            }
            path.to_owned()
        };
        if let Some((name, password)) = userinfo(&self.url)
            && !headers.contains_key(AUTHORIZATION)
        {
            let value = basic(&name, &password);
            headers.insert(AUTHORIZATION, HeaderValue::from_str(&value).map_err(|_| "the URL is invalid")?);
        }
        let body = self.body.clone().unwrap_or_default();
        let mut request = Request::new(Full::new(Bytes::from(body)));
        *request.method_mut() = self.method.clone();
        *request.uri_mut() = uri.parse().map_err(|_| "the URL is invalid")?;
        *request.headers_mut() = headers;
        Ok(request)
    }

    /// The request that an answer redirects to, if it does.
    fn next(&self, response: &Response<Incoming>) -> Result<Option<Self>, String> {
        let status = response.status();
        let (Some(location), true) = (response.headers().get(LOCATION), redirects(status)) else {
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
        // Any configured header may be a secret, and so may the body, meant for
        // the configured server only.
        let same_origin = url.origin() == self.url.origin();
        let mut headers = if same_origin { self.headers.clone() } else { HeaderMap::new() };
        if ask {
            headers.remove(CONTENT_LENGTH);
        }
        Ok(Some(Self {
            method: if ask { Method::GET } else { self.method.clone() },
            headers,
            body: self.body.clone().filter(|_| same_origin && !ask),
            url,
        }))
    }
}

/// Whether an answer of this status leads elsewhere, if it says where.
pub(super) fn redirects(status: StatusCode) -> bool {
    matches!(status.as_u16(), 301 | 302 | 303 | 307 | 308)
}

/// Name and password as RFC 7617 has them.
fn basic(name: &str, password: &str) -> String {
    format!("Basic {}", BASE64_STANDARD.encode(format!("{name}:{password}")))
}

/// Name and password in a URL, decoded.
fn userinfo(url: &Url) -> Option<(String, String)> {
    if url.username().is_empty() && url.password().is_none() {
        return None;
    }
    let decode = |text: &str| percent_decode_str(text).decode_utf8_lossy().into_owned();
    Some((decode(url.username()), decode(url.password().unwrap_or_default())))
}

fn require_http(url: &Url) -> Result<(), String> {
    match url.scheme() {
        "http" | "https" => Ok(()),
        other => Err(format!("the URL's scheme is {other}, not http or https")),
    }
}

#[cfg(test)]
#[path = "http_tests.rs"]
mod tests;
