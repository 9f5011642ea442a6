//! Many posters at once, and an exact account of what the server has promised to keep.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::{Result, bail};
use jiff::Timestamp;
use reqwest::StatusCode;
use tokio::task::JoinHandle;

use crate::upstream::{Upstream, row};

/// After a post without an answer, so that nobody knocks a thousand times a second.
const PAUSE: Duration = Duration::from_millis(50);

/// What became of one post.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// The server has said that it holds the rows.
    Acknowledged,
    /// The server has refused them, with this status.
    Refused(StatusCode),
    /// There was no answer: the rows may be there or not, but all or none of them.
    Unknown,
    /// Nobody listened.
    Unreachable,
}

/// The posts of one poster under one key. The rows of post `n` have the paths `/{n}/0`, `/{n}/1`, …
#[derive(Debug)]
pub struct Account {
    /// The key that it posted under.
    pub key: String,
    /// What became of each post, in order.
    pub fates: Vec<Fate>,
}

impl Account {
    /// How many posts met this fate.
    #[must_use]
    pub fn count(&self, fate: Fate) -> usize {
        self.fates.iter().filter(|met| **met == fate).count()
    }

    /// Compares what the server holds with what it has promised: every acknowledged row is there
    /// once, no refused one is, and a post without an answer is there whole or not at all.
    ///
    /// # Errors
    /// When the server does not answer, or holds something else; the message says what.
    pub async fn settle(&self, upstream: &Upstream, rows_per_post: usize) -> Result<()> {
        let mut held = vec![vec![0_usize; rows_per_post]; self.fates.len()];
        // A key whose first post never arrived may be unknown.
        let rows = match upstream.dashboard(&self.key).await {
            Ok(rows) => rows,
            Err(_) if self.count(Fate::Acknowledged) == 0 => Vec::new(),
            Err(error) => return Err(error),
        };
        for row in &rows {
            let numbers = row.path.strip_prefix('/').and_then(|path| path.split_once('/'));
            let place = numbers
                .and_then(|(post, row)| Some((post.parse::<usize>().ok()?, row.parse::<usize>().ok()?)));
            match place.and_then(|(post, row)| held.get_mut(post)?.get_mut(row)) {
                Some(count) => *count += 1,
                None => bail!("{}: a row that nobody sent: {row:?}", self.key),
            }
        }
        for (post, (fate, held)) in self.fates.iter().zip(&held).enumerate() {
            let all = held.iter().all(|count| *count == 1);
            let none = held.iter().all(|count| *count == 0);
            let kept = match fate {
                Fate::Acknowledged => all,
                Fate::Refused(_) | Fate::Unreachable => none,
                Fate::Unknown => all || none,
            };
            if !kept {
                bail!("{}: post {post} was {fate:?}, and its rows are there {held:?} times", self.key);
            }
        }
        Ok(())
    }
}

/// Posters at work. Each has its own key and sends its next post when the last one is answered.
#[derive(Debug)]
pub struct Load {
    stop: Arc<AtomicBool>,
    acknowledged: Arc<AtomicUsize>,
    posters: Vec<JoinHandle<Account>>,
}

impl Load {
    /// Sets `posters` to work on a server, with this many rows in each post.
    ///
    /// # Errors
    /// When the server does not make a key for each.
    pub async fn start(base: &str, posters: usize, rows_per_post: usize) -> Result<Self> {
        Self::of(&Upstream::new(base)?, posters, rows_per_post, false).await
    }

    /// As [`Load::start`], but the posters go on with their next post after one that got no answer:
    /// somebody else sees to it that the server comes back.
    ///
    /// # Errors
    /// As [`Load::start`].
    pub async fn start_lasting(upstream: &Upstream, posters: usize, rows_per_post: usize) -> Result<Self> {
        Self::of(upstream, posters, rows_per_post, true).await
    }

    async fn of(upstream: &Upstream, posters: usize, rows_per_post: usize, lasting: bool) -> Result<Self> {
        let mut load =
            Self { stop: Arc::default(), acknowledged: Arc::default(), posters: Vec::with_capacity(posters) };
        let mut ready = Vec::with_capacity(posters);
        for _ in 0..posters {
            // A client each, so that each has a connection of its own.
            let upstream = upstream.another()?;
            ready.push((upstream.generate().await?, upstream));
        }
        for (key, upstream) in ready {
            let (stop, acknowledged) = (Arc::clone(&load.stop), Arc::clone(&load.acknowledged));
            load.posters.push(tokio::spawn(async move {
                let fates = post_until(&stop, &acknowledged, &upstream, &key, rows_per_post, lasting).await;
                Account { key, fates }
            }));
        }
        Ok(load)
    }

    /// How many posts have been acknowledged so far.
    #[must_use]
    pub fn acknowledged(&self) -> usize {
        self.acknowledged.load(Ordering::SeqCst)
    }

    /// Lets every poster finish the post that it is at.
    ///
    /// # Errors
    /// When a poster has panicked.
    pub async fn finish(self) -> Result<Vec<Account>> {
        self.stop.store(true, Ordering::SeqCst);
        self.wait().await
    }

    /// Waits until every poster has noticed that the server is gone.
    ///
    /// # Errors
    /// When a poster has panicked.
    pub async fn wait(self) -> Result<Vec<Account>> {
        let mut accounts = Vec::new();
        for poster in self.posters {
            accounts.push(poster.await?);
        }
        Ok(accounts)
    }
}

async fn post_until(
    stop: &AtomicBool,
    acknowledged: &AtomicUsize,
    upstream: &Upstream,
    key: &str,
    rows_per_post: usize,
    lasting: bool,
) -> Vec<Fate> {
    let mut fates = Vec::new();
    while !stop.load(Ordering::SeqCst) {
        let post = fates.len();
        let now = format!("{:.3}", Timestamp::now());
        let batch: Vec<_> =
            (0..rows_per_post).map(|number| row(&format!("/{post}/{number}"), &now)).collect();
        let fate = match upstream.post(key, "Axum", &batch).await {
            Ok(StatusCode::CREATED) => {
                acknowledged.fetch_add(1, Ordering::SeqCst);
                Fate::Acknowledged
            }
            Ok(status) => Fate::Refused(status),
            Err(error) if is_unreachable(&error) => Fate::Unreachable,
            Err(_) => Fate::Unknown,
        };
        fates.push(fate);
        // A server that is gone answers nothing more until somebody starts it again.
        if matches!(fate, Fate::Unknown | Fate::Unreachable) {
            if !lasting {
                break;
            }
            tokio::time::sleep(PAUSE).await;
        }
    }
    fates
}

fn is_unreachable(error: &anyhow::Error) -> bool {
    error.downcast_ref::<reqwest::Error>().is_some_and(reqwest::Error::is_connect)
}
