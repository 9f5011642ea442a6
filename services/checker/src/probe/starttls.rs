//! What a client says before TLS starts on a connection that began without.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use watchkeeper_store::StartTls;

use super::dial::Io;

/// Longest line that a server may send, bytes.
const MAX_LINE: usize = 8 * 1024;

/// Most lines of one reply.
const MAX_LINES: usize = 100;

/// `SSLRequest` of PostgreSQL's protocol: its length and its code.
const POSTGRES: [u8; 8] = [0, 0, 0, 8, 4, 210, 22, 47];

/// Asks the server to go on with TLS.
///
/// # Errors
/// A sentence that says what the server answered instead.
pub(super) async fn upgrade<S: Io>(protocol: StartTls, stream: &mut S) -> Result<(), String> {
    match protocol {
        StartTls::Smtp => {
            reply(stream, "220", "greeting").await?;
            send(stream, "EHLO watchkeeper").await?;
            reply(stream, "250", "EHLO").await?;
            send(stream, "STARTTLS").await?;
            reply(stream, "220", "STARTTLS").await
        }
        StartTls::Ftp => {
            reply(stream, "220", "greeting").await?;
            send(stream, "AUTH TLS").await?;
            reply(stream, "234", "AUTH TLS").await
        }
        StartTls::Pop3 => {
            reply(stream, "+OK", "greeting").await?;
            send(stream, "STLS").await?;
            reply(stream, "+OK", "STLS").await
        }
        StartTls::Imap => {
            reply(stream, "* OK", "greeting").await?;
            send(stream, "a STARTTLS").await?;
            reply(stream, "a OK", "STARTTLS").await
        }
        StartTls::Postgres => {
            stream.write_all(&POSTGRES).await.map_err(|error| super::describe::describe_io(&error))?;
            match stream.read_u8().await {
                Ok(b'S') => Ok(()),
                Ok(b'N') => Err("the server speaks no TLS".into()),
                Ok(_) => Err("the server does not speak PostgreSQL's protocol".into()),
                Err(error) => Err(super::describe::describe_io(&error)),
            }
        }
    }
}

/// Reads lines up to the last of a reply, which must begin with `good`.
async fn reply<S: Io>(stream: &mut S, good: &str, to: &str) -> Result<(), String> {
    let numbered = good.bytes().all(|byte| byte.is_ascii_digit());
    let mut begun: Option<String> = None;
    for _ in 0..MAX_LINES {
        let line = line(stream).await?.ok_or("the server closed the connection too early")?;
        let text = String::from_utf8_lossy(&line);
        let goes_on = match &begun {
            // Whatever FTP writes in between, `220-` lasts until `220 `.
            Some(code) => {
                text.strip_prefix(code.as_str()).is_none_or(|rest| rest.starts_with(|next: char| next != ' '))
            }
            None if numbered => text.as_bytes().get(3) == Some(&b'-'),
            // IMAP's `*` lines go on; its greeting is such a line itself.
            None => text.starts_with("* ") && !good.starts_with('*'),
        };
        if goes_on {
            if numbered && begun.is_none() {
                begun = text.get(..3).map(str::to_owned);
            }
            continue;
        }
        if text.starts_with(good) {
            return Ok(());
        }
        let what = if to == "greeting" { "greeted with".into() } else { format!("answered {to} with") };
        let shown: String = text.chars().filter(|c| !c.is_control()).take(80).collect();
        return Err(format!("the server {what} `{shown}`, expected {good}"));
    }
    Err(format!("the server's answer to {to} does not end"))
}

/// Sends a line.
///
/// # Errors
/// A sentence that says what went wrong.
pub(super) async fn send<S: Io>(stream: &mut S, text: &str) -> Result<(), String> {
    let line = format!("{text}\r\n");
    stream.write_all(line.as_bytes()).await.map_err(|error| super::describe::describe_io(&error))
}

/// Reads a line without its end, byte by byte, so that nothing of what follows is
/// taken away from TLS; `None` at the end of the connection.
///
/// # Errors
/// A sentence that says what went wrong.
pub(super) async fn line<S: Io>(stream: &mut S) -> Result<Option<Vec<u8>>, String> {
    let mut line = Vec::new();
    loop {
        let mut byte = [0];
        match stream.read(&mut byte).await {
            Ok(0) if line.is_empty() => return Ok(None),
            Ok(0) => return Ok(Some(line)),
            Ok(_) if byte[0] == b'\n' => {
                if line.last() == Some(&b'\r') {
                    line.pop();
                }
                return Ok(Some(line));
            }
            Ok(_) if line.len() >= MAX_LINE => {
                return Err(format!("the server sent a line of more than {MAX_LINE} bytes"));
            }
            Ok(_) => line.push(byte[0]),
            Err(error) => return Err(super::describe::describe_io(&error)),
        }
    }
}
