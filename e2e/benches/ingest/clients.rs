//! Clients that cost next to nothing: posts made beforehand, over connections that stay open.

use std::io::ErrorKind;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

/// A post as it goes over the wire.
pub type Post = Arc<[u8]>;

const TOO_MANY: u16 = 503;

/// Before a post that was not taken is sent again.
const PAUSE: Duration = Duration::from_millis(50);

/// Makes a post of a body.
pub fn post(address: &str, body: &str) -> Post {
    let head = format!(
        "POST /api/log-request HTTP/1.1\r\nHost: {address}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    [head.as_bytes(), body.as_bytes()].concat().into()
}

/// A connection.
struct Client {
    address: String,
    stream: TcpStream,
    answer: Vec<u8>,
}

impl Client {
    async fn connect(address: &str) -> Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Self { address: address.to_owned(), stream, answer: Vec::with_capacity(1_024) })
    }

    /// Sends a post until it is taken: a 503 says that too many wait, and may come, with the end
    /// of the connection, before the whole post is sent.
    async fn send(&mut self, post: &Post) -> Result<()> {
        loop {
            match self.try_send(post).await {
                Ok(TOO_MANY) => {}
                Err(error) if error.is::<std::io::Error>() => *self = Self::connect(&self.address).await?,
                sent => return sent.map(drop),
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// Sends a post and reads the whole answer; gives its status, 201 or 503.
    async fn try_send(&mut self, post: &Post) -> Result<u16> {
        self.stream.write_all(post).await?;
        self.answer.clear();
        loop {
            if self.stream.read_buf(&mut self.answer).await? == 0 {
                return Err(std::io::Error::from(ErrorKind::UnexpectedEof).into());
            }
            let Some(end) = self.answer.windows(4).position(|bytes| bytes == b"\r\n\r\n") else { continue };
            let head = std::str::from_utf8(&self.answer[..end])?;
            let status = match head.get(9..12) {
                Some("201") => 201,
                Some("503") => TOO_MANY,
                _ => bail!("{}", String::from_utf8_lossy(&self.answer)),
            };
            let length = head
                .lines()
                .find_map(|line| {
                    line.to_ascii_lowercase().strip_prefix("content-length: ")?.parse::<usize>().ok()
                })
                .context("no Content-Length")?;
            if self.answer.len() >= end + 4 + length {
                return Ok(status);
            }
        }
    }
}

/// Sends one post.
pub async fn once(address: &str, post: &Post) -> Result<()> {
    Client::connect(address).await?.send(post).await
}

/// Posts a second of so many clients, each of which sends its next post when the last is answered.
pub async fn closed(address: &str, posts: &[Post], clients: usize, time: Duration) -> Result<f64> {
    let mut running = JoinSet::new();
    let begin = Instant::now();
    for number in 0..clients {
        let (address, posts) = (address.to_owned(), posts.to_vec());
        running.spawn(async move {
            let mut client = Client::connect(&address).await?;
            let mut sent = 0_u32;
            for post in posts.iter().cycle().skip(number * 7 % posts.len()) {
                if begin.elapsed() >= time {
                    break;
                }
                client.send(post).await?;
                sent += 1;
            }
            Ok::<_, anyhow::Error>(sent)
        });
    }
    let mut sent = 0.0;
    while let Some(result) = running.join_next().await {
        sent += f64::from(result??);
    }
    Ok(sent / begin.elapsed().as_secs_f64())
}

/// Latencies, sorted, of posts that are due at a constant rate whether or not earlier ones are
/// answered. Each counts from when it was due.
pub async fn open(
    address: &str,
    posts: &[Post],
    clients: usize,
    rate: f64,
    time: Duration,
) -> Result<Vec<Duration>> {
    let mut running = JoinSet::new();
    let begin = Instant::now();
    #[allow(clippy::cast_precision_loss)]
    let step = Duration::from_secs_f64(clients as f64 / rate);
    for number in 0..clients {
        let (address, posts) = (address.to_owned(), posts.to_vec());
        let first =
            begin + step.mul_f64(f64::from(u32::try_from(number)?) / f64::from(u32::try_from(clients)?));
        running.spawn(async move {
            let mut client = Client::connect(&address).await?;
            let mut latencies = Vec::new();
            let mut due = first;
            for post in posts.iter().cycle().skip(number * 7 % posts.len()) {
                if due.duration_since(begin) >= time {
                    break;
                }
                tokio::time::sleep_until(due.into()).await;
                client.send(post).await?;
                latencies.push(due.elapsed());
                due += step;
            }
            Ok::<_, anyhow::Error>(latencies)
        });
    }
    let mut all = Vec::new();
    while let Some(result) = running.join_next().await {
        all.extend(result??);
    }
    all.sort_unstable();
    Ok(all)
}
