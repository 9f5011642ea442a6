//! A server of many targets on one port, which counts who asks what: as plain
//! as HTTP gets, so that it costs the machine little beside what is measured.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Result;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// Targets `/0`, `/1` and so on. They answer 200, or 503 while they are down.
#[derive(Clone)]
pub struct Targets {
    address: SocketAddr,
    inner: Arc<Inner>,
}

#[derive(Default)]
struct Inner {
    asked: AtomicU64,
    of: Mutex<HashMap<String, u64>>,
    down: Mutex<Vec<String>>,
}

impl Targets {
    /// Serves on a free port of 127.0.0.1 until the runtime ends.
    ///
    /// # Errors
    /// When no port is free.
    pub async fn start() -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let targets = Self { address: listener.local_addr()?, inner: Arc::default() };
        let serving = targets.clone();
        tokio::spawn(async move {
            while let Ok((connection, _)) = listener.accept().await {
                let targets = serving.clone();
                tokio::spawn(async move { targets.answer(connection).await });
            }
        });
        Ok(targets)
    }

    /// URL of a target.
    #[must_use]
    pub fn url(&self, number: usize) -> String {
        format!("http://{}/{number}", self.address)
    }

    /// How often a target was asked.
    #[must_use]
    pub fn asked(&self, number: usize) -> u64 {
        let of = self.inner.of.lock().unwrap_or_else(PoisonError::into_inner);
        of.get(&format!("/{number}")).copied().unwrap_or_default()
    }

    /// How often any of them was asked.
    #[must_use]
    pub fn asked_in_all(&self) -> u64 {
        self.inner.asked.load(Ordering::Relaxed)
    }

    /// Takes a target down, or brings it back.
    pub fn set_down(&self, number: usize, down: bool) {
        let mut all = self.inner.down.lock().unwrap_or_else(PoisonError::into_inner);
        let path = format!("/{number}");
        all.retain(|other| *other != path);
        if down {
            all.push(path);
        }
    }

    async fn answer(&self, mut connection: TcpStream) {
        let _ = connection.set_nodelay(true);
        let mut request = Vec::new();
        loop {
            let Some(end) = request.windows(4).position(|bytes| bytes == b"\r\n\r\n") else {
                match connection.read_buf(&mut request).await {
                    Ok(1..) if request.len() < 64 << 10 => continue,
                    _ => return,
                }
            };
            let head = String::from_utf8_lossy(&request[..end]).into_owned();
            request.drain(..end + 4);
            let path = head.split(' ').nth(1).unwrap_or("/").to_owned();
            let down = self.inner.down.lock().unwrap_or_else(PoisonError::into_inner).contains(&path);
            self.inner.asked.fetch_add(1, Ordering::Relaxed);
            *self.inner.of.lock().unwrap_or_else(PoisonError::into_inner).entry(path).or_default() += 1;
            let answer: &[u8] = if down {
                b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\n\r\n"
            } else {
                b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"
            };
            if connection.write_all(answer).await.is_err() {
                return;
            }
        }
    }
}
