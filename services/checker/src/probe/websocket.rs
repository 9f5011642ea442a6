//! The WebSocket probe: the handshake, and a message each way.

use futures::{SinkExt, StreamExt};
use regex::RegexBuilder;
use tokio_tungstenite::client_async_with_config;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{Error, Message};
use url::Url;
use watchkeeper_store::WebSocketProbe;

use super::describe::{describe_io, shorten};
use super::dial::{Io, Tools};
use super::http::headers;
use super::seen::{Seen, Stage};

/// Largest message of the server, bytes.
const MAX_MESSAGE: usize = 1 << 20;

/// Most messages that are looked at.
const MAX_MESSAGES: usize = 100;

/// Largest automaton of an expression, bytes.
const MAX_REGEX: usize = 1 << 20;

/// Opens the WebSocket and has the exchange.
///
/// # Errors
/// A sentence that says what went wrong.
pub(super) async fn probe(
    tools: &Tools,
    probe: &WebSocketProbe,
    wants_body: bool,
    seen: &mut Seen,
) -> Result<(), String> {
    let url = Url::parse(&probe.url).map_err(|error| format!("the URL is invalid: {error}"))?;
    let secure = match url.scheme() {
        "ws" => false,
        "wss" => true,
        other => return Err(format!("the URL's scheme is {other}, not ws or wss")),
    };
    let expect = match &probe.expect {
        Some(text) => Some(
            RegexBuilder::new(text)
                .size_limit(MAX_REGEX)
                .build()
                .map_err(|_| "expect is not a regular expression".to_owned())?,
        ),
        None => None,
    };
    let host = url.host_str().ok_or("the URL names no host")?;
    let port = url.port_or_known_default().ok_or("the URL names no port")?;
    let mut request = url.as_str().into_client_request().map_err(|_| "the URL is invalid".to_owned())?;
    for (name, value) in headers(&probe.headers)?.iter() {
        request.headers_mut().insert(name, value.clone());
    }
    let stream = tools.connect(host, port, probe.connect, seen).await?;
    let stream: Box<dyn Io> = match secure {
        true => Box::new(tools.trusted.shake(stream, host, &probe.tls, &["http/1.1"], seen).await?),
        false => Box::new(stream),
    };
    seen.enter(Stage::Processing);
    let config =
        WebSocketConfig::default().max_message_size(Some(MAX_MESSAGE)).max_frame_size(Some(MAX_MESSAGE));
    let (mut socket, response) =
        client_async_with_config(request, stream, Some(config)).await.map_err(|error| {
            if let Error::Http(response) = &error {
                seen.status = Some(response.status().as_u16());
            }
            describe(&error)
        })?;
    seen.status = Some(response.status().as_u16());
    seen.headers = response.headers().clone();
    seen.enter(Stage::Transfer);
    if let Some(text) = &probe.send {
        socket.send(Message::text(text.clone())).await.map_err(|error| describe(&error))?;
    }
    if expect.is_some() || wants_body {
        seen.regex_failed = expect.is_some();
        for _ in 0..MAX_MESSAGES {
            let message = match socket.next().await {
                Some(message) => message.map_err(|error| describe(&error))?,
                None => return Err("the server closed the WebSocket".into()),
            };
            let (Message::Text(_) | Message::Binary(_)) = &message else { continue };
            seen.body = message.into_data().to_vec();
            let text = String::from_utf8_lossy(&seen.body);
            if expect.as_ref().is_none_or(|expect| expect.is_match(&text)) {
                seen.regex_failed = false;
                break;
            }
        }
        if seen.regex_failed {
            return Err(format!("no message of {MAX_MESSAGES} matches the expected one"));
        }
    }
    // The verdict stands; how the server takes the farewell is its own affair.
    let _ = socket.close(None).await;
    Ok(())
}

fn describe(error: &Error) -> String {
    match error {
        Error::Http(response) => format!("status {}, expected 101", response.status().as_u16()),
        Error::Io(error) => describe_io(error),
        Error::ConnectionClosed | Error::AlreadyClosed => "the server closed the WebSocket".into(),
        Error::Capacity(_) => "the server sent too large a message".into(),
        other => format!("no valid WebSocket: {}", shorten(&other.to_string())),
    }
}
