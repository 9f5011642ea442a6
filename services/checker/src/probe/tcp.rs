//! The TCP probe: a connection, and what is said over it.

use regex::bytes::RegexBuilder;
use tokio::io::AsyncReadExt;
use watchkeeper_store::{Exchange, TcpProbe, TlsOptions};

use super::dial::{Io, Tools, host_port};
use super::seen::{Seen, Stage};
use super::starttls::{self, line, send};

/// How much of what the server says is kept for assertions, bytes, as Gatus does.
const MAX_BODY: usize = 1_024;

/// Most lines of a server that are looked at.
const MAX_LINES: usize = 1_000;

/// Largest automaton of an expression, bytes.
const MAX_REGEX: usize = 1 << 20;

/// Connects, and has the conversation.
///
/// # Errors
/// A sentence that says what went wrong.
pub(super) async fn probe(
    tools: &Tools,
    probe: &TcpProbe,
    wants_body: bool,
    seen: &mut Seen,
) -> Result<(), String> {
    let (host, port) = host_port(&probe.address, None)?;
    let mut stream = tools.connect(host, port, probe.connect, seen).await?;
    if let Some(protocol) = probe.starttls {
        seen.enter(Stage::Processing);
        starttls::upgrade(protocol, &mut stream).await?;
    }
    let mut stream: Box<dyn Io> = Box::new(stream);
    let defaults = TlsOptions::default();
    let options = probe.tls.as_ref().unwrap_or(&defaults);
    // Where a step begins TLS, its options are for that.
    let later = probe.conversation.iter().any(|step| step.starttls);
    if (probe.tls.is_some() && !later) || probe.starttls.is_some() {
        stream = Box::new(tools.trusted.shake(stream, host, options, &[], seen).await?);
    }
    seen.enter(Stage::Processing);
    for (index, step) in probe.conversation.iter().enumerate() {
        exchange(step, index, &mut stream, seen).await?;
        if step.starttls {
            stream = Box::new(tools.trusted.shake(stream, host, options, &[], seen).await?);
            seen.enter(Stage::Processing);
        }
    }
    let listens = probe.conversation.last().is_none_or(|step| step.send.is_some());
    if wants_body && listens {
        let mut bytes = vec![0; MAX_BODY];
        let count = stream.read(&mut bytes).await.map_err(|error| super::describe::describe_io(&error))?;
        keep(seen, &bytes[..count]);
    }
    Ok(())
}

async fn exchange(
    step: &Exchange,
    index: usize,
    stream: &mut Box<dyn Io>,
    seen: &mut Seen,
) -> Result<(), String> {
    if let Some(expression) = &step.expect {
        let regex = RegexBuilder::new(expression)
            .size_limit(MAX_REGEX)
            .build()
            .map_err(|_| format!("conversation[{index}].expect is not a regular expression"))?;
        // Until it comes: what does not is told as the missing expectation.
        seen.regex_failed = true;
        let mut lines = 0;
        loop {
            let Some(line) = line(stream).await? else {
                return Err(format!("the server closed the connection before it said /{expression}/"));
            };
            keep(seen, &line);
            keep(seen, b"\n");
            if regex.is_match(&line) {
                break;
            }
            lines += 1;
            if lines >= MAX_LINES {
                return Err(format!("the server did not say /{expression}/ in {MAX_LINES} lines"));
            }
        }
        seen.regex_failed = false;
    }
    match &step.send {
        Some(text) => send(stream, text).await,
        None => Ok(()),
    }
}

fn keep(seen: &mut Seen, bytes: &[u8]) {
    let room = MAX_BODY.saturating_sub(seen.body.len()).min(bytes.len());
    seen.body.extend_from_slice(&bytes[..room]);
    seen.body_cut |= room < bytes.len();
}
