//! The gRPC probe: `grpc.health.v1.Health/Check` over HTTP/2.

use bytes::{BufMut, Bytes, BytesMut};
use http::{HeaderMap, HeaderValue, Method, Request};
use http_body_util::{BodyExt, Full, Limited};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::task::JoinSet;
use watchkeeper_store::GrpcProbe;

use super::describe::{describe_http, shorten};
use super::dial::{Io, Tools, host_port};
use super::http::headers;
use super::seen::{SERVING_STATES, Seen, Stage};

/// Largest answer, bytes; a good one has seven.
const MAX_ANSWER: usize = 64 * 1024;

/// Names of status codes, by number.
const CODES: [&str; 17] = [
    "OK",
    "CANCELLED",
    "UNKNOWN",
    "INVALID_ARGUMENT",
    "DEADLINE_EXCEEDED",
    "NOT_FOUND",
    "ALREADY_EXISTS",
    "PERMISSION_DENIED",
    "RESOURCE_EXHAUSTED",
    "FAILED_PRECONDITION",
    "ABORTED",
    "OUT_OF_RANGE",
    "UNIMPLEMENTED",
    "INTERNAL",
    "UNAVAILABLE",
    "DATA_LOSS",
    "UNAUTHENTICATED",
];

/// Asks whether the service serves.
///
/// # Errors
/// A sentence that says what went wrong.
pub(super) async fn probe(tools: &Tools, probe: &GrpcProbe, seen: &mut Seen) -> Result<(), String> {
    let (host, port) = host_port(&probe.address, None)?;
    let stream = tools.connect(host, port, probe.connect, seen).await?;
    let stream: Box<dyn Io> = match &probe.tls {
        Some(options) => Box::new(tools.trusted.shake(stream, host, options, &["h2"], seen).await?),
        None => Box::new(stream),
    };
    seen.enter(Stage::Processing);
    let told = |error: hyper::Error| describe_http(&error);
    let (mut sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream))
            .await
            .map_err(told)?;
    // Ends with this probe.
    let mut driver = JoinSet::new();
    driver.spawn(connection);
    let response = sender.send_request(request(probe)?).await.map_err(told)?;
    seen.status = Some(response.status().as_u16());
    if response.status() != http::StatusCode::OK {
        return Err(format!("HTTP status {}, which is no gRPC", response.status().as_u16()));
    }
    seen.enter(Stage::Transfer);
    let head = response.headers().clone();
    let answer = Limited::new(response.into_body(), MAX_ANSWER)
        .collect()
        .await
        .map_err(|_| "the answer broke off or is too large".to_owned())?;
    let trailers = answer.trailers().cloned().unwrap_or_default();
    judge(&head, &trailers, &answer.to_bytes(), seen)
}

fn judge(head: &HeaderMap, trailers: &HeaderMap, body: &[u8], seen: &mut Seen) -> Result<(), String> {
    let field =
        |name: &str| trailers.get(name).or_else(|| head.get(name)).and_then(|value| value.to_str().ok());
    let status: u32 =
        field("grpc-status").and_then(|status| status.parse().ok()).ok_or("the answer has no gRPC status")?;
    seen.grpc_status = Some(status);
    if status != 0 {
        let name = CODES.get(status as usize).copied().unwrap_or("unknown code");
        let message = field("grpc-message").map(|text| format!(": {}", shorten(text))).unwrap_or_default();
        return Err(format!("gRPC status {name}{message}"));
    }
    let state = serving(body).ok_or("the answer is not one of a health check")?;
    let name = SERVING_STATES.get(usize::from(state)).copied().unwrap_or("UNKNOWN");
    seen.serving = Some(name);
    seen.body = format!("{{\"status\":\"{name}\"}}").into_bytes();
    if name == "SERVING" { Ok(()) } else { Err(format!("the service is {name}")) }
}

fn request(probe: &GrpcProbe) -> Result<Request<Full<Bytes>>, String> {
    let scheme = if probe.tls.is_some() { "https" } else { "http" };
    let mut request = Request::new(Full::new(check(&probe.service)?));
    *request.method_mut() = Method::POST;
    *request.uri_mut() = format!("{scheme}://{}/grpc.health.v1.Health/Check", probe.address)
        .parse()
        .map_err(|_| "the address is invalid")?;
    *request.headers_mut() = headers(&probe.metadata)?;
    request.headers_mut().insert("content-type", HeaderValue::from_static("application/grpc"));
    request.headers_mut().insert("te", HeaderValue::from_static("trailers"));
    request.headers_mut().insert("user-agent", HeaderValue::from_static(watchkeeper_runtime::USER_AGENT));
    Ok(request)
}

/// `HealthCheckRequest { service = 1 }`, framed.
fn check(service: &str) -> Result<Bytes, String> {
    let mut message = BytesMut::new();
    if !service.is_empty() {
        let length = u8::try_from(service.len())
            .ok()
            .filter(|length| *length < 0x80)
            .ok_or("the name of the service may have 127 bytes")?;
        message.put_u8(0x0a);
        message.put_u8(length);
        message.put_slice(service.as_bytes());
    }
    let mut framed = BytesMut::new();
    framed.put_u8(0);
    framed.put_u32(u32::try_from(message.len()).unwrap_or_default());
    framed.put(message);
    Ok(framed.freeze())
}

/// The field `status` of a framed `HealthCheckResponse`; absent, it is 0.
fn serving(framed: &[u8]) -> Option<u8> {
    let (head, rest) = framed.split_at_checked(5)?;
    let length = u32::from_be_bytes([head[1], head[2], head[3], head[4]]) as usize;
    if head[0] != 0 || rest.len() < length {
        return None;
    }
    match &rest[..length] {
        [] => Some(0),
        [0x08, state, ..] if *state < 0x80 => Some(*state),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_and_answers_are_framed() {
        assert_eq!(&check("").expect("a frame")[..], [0, 0, 0, 0, 0]);
        assert_eq!(&check("ab").expect("a frame")[..], [0, 0, 0, 0, 4, 0x0a, 2, b'a', b'b']);
        assert!(check(&"a".repeat(128)).is_err());
        assert_eq!(serving(&[0, 0, 0, 0, 2, 8, 1]), Some(1));
        assert_eq!(serving(&[0, 0, 0, 0, 0]), Some(0));
        for bad in [&[][..], &[0, 0, 0, 0, 9, 8, 1], &[1, 0, 0, 0, 0], &[0, 0, 0, 0, 2, 9, 1]] {
            assert_eq!(serving(bad), None, "{bad:?}");
        }
    }
}
