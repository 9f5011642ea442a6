//! Clients that send each post until it is acknowledged, under one idempotency key, and an exact
//! account of what is there afterwards.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::{Result, bail};
use jiff::Timestamp;
use tokio::task::JoinHandle;

use crate::upstream::{Upstream, row};

/// After a post that was not acknowledged.
const PAUSE: Duration = Duration::from_millis(50);

/// Clients at work. Each has its own key, and its next post when the last one is acknowledged.
#[derive(Debug)]
pub struct Resenders {
    stop: Arc<AtomicBool>,
    acknowledged: Arc<AtomicUsize>,
    clients: Vec<JoinHandle<Result<Sent>>>,
}

/// What one client has sent and was told that it is kept.
#[derive(Debug)]
pub struct Sent {
    /// The key that it posted under.
    pub key: String,
    /// Posts, all of them acknowledged. The rows of post `n` have the paths `/{n}/0`, `/{n}/1`, …
    pub posts: usize,
    /// How often it had to send a post again.
    pub again: usize,
}

impl Resenders {
    /// Sets clients to work on servers of one installation; a post that was not acknowledged by
    /// one server is sent to the next.
    ///
    /// # Errors
    /// When no key is made for one of them.
    pub async fn start(servers: &[Upstream], clients: usize, rows: usize) -> Result<Self> {
        let (stop, acknowledged) = (Arc::<AtomicBool>::default(), Arc::<AtomicUsize>::default());
        let mut all = Vec::with_capacity(clients);
        for number in 0..clients {
            let servers: Vec<_> = servers.iter().map(Upstream::another).collect::<Result<_>>()?;
            let key = servers[number % servers.len()].generate().await?;
            let (stop, acknowledged) = (Arc::clone(&stop), Arc::clone(&acknowledged));
            all.push(tokio::spawn(send(servers, number, key, rows, stop, acknowledged)));
        }
        Ok(Self { stop, acknowledged, clients: all })
    }

    /// How many posts have been acknowledged so far.
    #[must_use]
    pub fn acknowledged(&self) -> usize {
        self.acknowledged.load(Ordering::SeqCst)
    }

    /// Lets every client get its last post acknowledged.
    ///
    /// # Errors
    /// When a server has refused a post for good.
    pub async fn finish(self) -> Result<Vec<Sent>> {
        self.stop.store(true, Ordering::SeqCst);
        let mut sent = Vec::new();
        for client in self.clients {
            sent.push(client.await??);
        }
        Ok(sent)
    }
}

async fn send(
    servers: Vec<Upstream>,
    number: usize,
    key: String,
    rows: usize,
    stop: Arc<AtomicBool>,
    acknowledged: Arc<AtomicUsize>,
) -> Result<Sent> {
    let mut sent = Sent { key, posts: 0, again: 0 };
    while !stop.load(Ordering::SeqCst) {
        let post = sent.posts;
        let now = format!("{:.3}", Timestamp::now());
        let batch: Vec<_> = (0..rows).map(|row_number| row(&format!("/{post}/{row_number}"), &now)).collect();
        let mut server = number + post;
        loop {
            let answer =
                servers[server % servers.len()].post_once(&sent.key, &post.to_string(), &batch).await;
            match answer {
                Ok(status) if status == 201 => break,
                // The server's trouble, or too many at once: the same again.
                Ok(status) if status.is_server_error() || status == 429 || status == 408 => {}
                Ok(status) => bail!("{}: post {post} was refused with {status}", sent.key),
                Err(_) => {}
            }
            sent.again += 1;
            server += 1;
            tokio::time::sleep(PAUSE).await;
        }
        sent.posts += 1;
        acknowledged.fetch_add(1, Ordering::SeqCst);
    }
    Ok(sent)
}

impl Sent {
    /// Counts what is not there exactly once: rows that are lost, and rows that are there too often.
    ///
    /// # Errors
    /// When the server does not answer, or holds a row that nobody sent.
    pub async fn count(&self, reader: &Upstream, rows: usize) -> Result<Faults> {
        let mut held: BTreeMap<(usize, usize), usize> = BTreeMap::new();
        let stored = if self.posts == 0 { Vec::new() } else { reader.dashboard(&self.key).await? };
        for stored in &stored {
            let numbers = stored.path.strip_prefix('/').and_then(|path| path.split_once('/'));
            let place = numbers.and_then(|(post, row)| Some((post.parse().ok()?, row.parse().ok()?)));
            match place {
                Some((post, row)) if post < self.posts && row < rows => {
                    *held.entry((post, row)).or_default() += 1
                }
                _ => bail!("{}: a row that nobody sent: {stored:?}", self.key),
            }
        }
        Ok(Faults {
            sent: self.posts * rows,
            lost: self.posts * rows - held.len(),
            doubled: held.values().filter(|count| **count > 1).count(),
        })
    }
}

/// What was found of what was acknowledged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Faults {
    /// Rows acknowledged.
    pub sent: usize,
    /// Of them, those that are not there.
    pub lost: usize,
    /// Of them, those that are there more than once.
    pub doubled: usize,
}

/// Adds up what was found of all clients.
///
/// # Errors
/// As [`Sent::count`].
pub async fn count(all: &[Sent], reader: &Upstream, rows: usize) -> Result<Faults> {
    let mut total = Faults::default();
    for sent in all {
        let Faults { sent, lost, doubled } = sent.count(reader, rows).await?;
        total.sent += sent;
        total.lost += lost;
        total.doubled += doubled;
    }
    Ok(total)
}
