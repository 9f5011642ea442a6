//! What every protocol of the write path shares: bounds on what clients may
//! send, whose key it is, and the way into the store.
//!
//! A route reads its body with [`Logger::body`], decodes it, asks
//! [`Logger::limit`] once it knows the key, and hands its hits to
//! [`Logger::append`] (or [`Logger::append_by_key`]): durable when that returns,
//! and the same back-pressure for everybody.

mod body;
mod bounds;
pub(crate) mod idempotency;
mod refused;
mod room;

use std::{
    collections::HashSet,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Instant,
};

use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};
use http::StatusCode;
use uuid::Uuid;
use watchkeeper_runtime::error::ApiError;
use watchkeeper_store::{Appended, Hit, Identity, ProjectId, Store, StoreError, day_of};

use crate::{
    LoggerMetrics, Signup,
    enrich::Enricher,
    keys::Keys,
    policy::{Policies, Policy},
};

pub use bounds::Bounds;
pub(crate) use refused::Refused;
use room::Rooms;
pub(crate) use room::Share;

/// Posts after which the rate limiter forgets the keys that have been quiet, so
/// that keys which a stranger makes up do not pile up in it.
const FORGET_EVERY: usize = 4_096;

/// UTC days that a batch may span.
const DAYS: usize = 400;

/// Rows that are enriched on the executor; more go to a thread of their own.
const INLINE: usize = 256;

/// What the write path needs; clones share it.
#[derive(Clone)]
pub struct Logger {
    inner: Arc<Inner>,
}

struct Inner {
    store: Store,
    keys: Keys,
    policies: Policies,
    enricher: Enricher,
    bounds: Bounds,
    posts: DefaultKeyedRateLimiter<Uuid>,
    limited: AtomicUsize,
    rooms: Rooms,
    metrics: LoggerMetrics,
}

impl Logger {
    /// A logger that writes into `store`.
    pub fn new(
        store: Store,
        signup: Signup,
        enricher: Enricher,
        bounds: Bounds,
        metrics: LoggerMetrics,
    ) -> Self {
        Self {
            inner: Arc::new(Inner {
                keys: Keys::new(store.clone(), signup),
                policies: Policies::new(store.clone()),
                store,
                enricher,
                bounds,
                posts: RateLimiter::keyed(Quota::per_minute(bounds.posts_per_minute)),
                limited: AtomicUsize::new(0),
                rooms: Rooms::new(bounds.body),
                metrics,
            }),
        }
    }

    /// What clients may send.
    pub(crate) fn bounds(&self) -> Bounds {
        self.inner.bounds
    }

    /// What hits gain on their way in.
    pub(crate) fn enricher(&self) -> &Enricher {
        &self.inner.enricher
    }

    /// What a project demands for the privacy of its hits.
    pub(crate) async fn policy(&self, project: ProjectId) -> Policy {
        self.inner.policies.of(project).await
    }

    /// What the write path tells about itself.
    pub(crate) fn metrics(&self) -> &LoggerMetrics {
        &self.inner.metrics
    }

    /// Counts one post of a key; refuses it with 429 when there were too many.
    pub(crate) fn limit(&self, key: &Uuid) -> Result<(), Refused> {
        let Inner { posts, limited, .. } = &*self.inner;
        if limited.fetch_add(1, Ordering::Relaxed).is_multiple_of(FORGET_EVERY) {
            posts.retain_recent();
        }
        posts.check_key(key).map_err(|_| {
            let error = ApiError::new(StatusCode::TOO_MANY_REQUESTS, "Too many requests.");
            Refused::new("rate", ApiError { retry_after: Some(1), ..error })
        })
    }

    /// Refuses a batch over too many days: each is a file of its own once it is
    /// sealed, and real batches span minutes.
    pub(crate) fn check_days(times: impl Iterator<Item = i64>, field: &str) -> Result<(), Refused> {
        // Almost every batch is of one day, and needs no set to tell.
        let mut times = times.map(day_of);
        let Some(first) = times.next() else { return Ok(()) };
        let others: HashSet<i64> = times.filter(|day| *day != first).collect();
        if others.len() < DAYS {
            return Ok(());
        }
        Err(Refused::too_large(format!("A batch may span {DAYS} days; send it in parts."), field))
    }

    /// Appends the rows of a post to the project of its API key, which is made if
    /// sign-up is open. `hit` makes a hit out of a row once the project is known,
    /// `label` is what the metrics call their kind, `identity` tells whether they
    /// were sent before, and `room` is what they and their hits have of it.
    ///
    /// # Errors
    /// As [`Logger::append`], and when the key may not write.
    pub(crate) async fn append_by_key<R: Send + Sync + 'static>(
        &self,
        key: Uuid,
        label: &str,
        identity: Option<Identity>,
        rows: Vec<R>,
        hit: impl Fn(ProjectId, Policy, &R) -> Hit + Clone + Send + 'static,
        room: Share,
    ) -> Result<(), Refused> {
        let (rows, room): (Arc<[R]>, _) = (rows.into(), Arc::new(room));
        // Twice at most: the key's project may just have been deleted, and a key may be used again.
        for attempt in 0..2 {
            let Some(project) = self.inner.keys.project(key).await? else {
                let message = "Invalid API key.";
                return Err(Refused::new("unknown_key", ApiError::bad_request(message).field("api_key")));
            };
            let (hit, policy) = (hit.clone(), self.policy(project).await);
            let hits = enrich(&rows, &room, move |row| hit(project, policy, row)).await?;
            match self.write(project, label, hits, identity.clone()).await {
                Err(StoreError::NoProject) if attempt == 0 => self.inner.keys.forget(key),
                result => return result.map(drop).map_err(Refused::from),
            }
        }
        Err(StoreError::NoProject.into())
    }

    /// Appends hits of a project. They are durable when this returns: in the
    /// database, or in the spool while the database is away.
    ///
    /// # Errors
    /// 503 with `Retry-After` when too many batches wait or nothing takes them.
    pub(crate) async fn append(
        &self,
        project: ProjectId,
        label: &str,
        hits: Vec<Hit>,
        identity: Option<Identity>,
    ) -> Result<Appended, Refused> {
        Ok(self.write(project, label, hits, identity).await?)
    }

    async fn write(
        &self,
        project: ProjectId,
        label: &str,
        hits: Vec<Hit>,
        identity: Option<Identity>,
    ) -> Result<Appended, StoreError> {
        let (count, start) = (hits.len(), Instant::now());
        let appended = match identity {
            None => self.inner.store.append(project, hits).await.map(|()| Appended::Stored)?,
            Some(identity) => self.inner.store.append_once(project, hits, identity).await?,
        };
        let metrics = &self.inner.metrics;
        metrics.append.observe(start.elapsed().as_secs_f64());
        #[allow(clippy::cast_precision_loss)] // bounded by Bounds::rows
        metrics.batch.observe(count as f64);
        metrics.hits.with_label_values(&[label]).inc_by(count as u64);
        Ok(appended)
    }
}

/// Makes hits out of rows; many at once off the executor, since each new agent
/// costs some hundred microseconds. They have their room for as long as that takes,
/// also when nobody waits for it any more.
async fn enrich<R: Send + Sync + 'static>(
    rows: &Arc<[R]>,
    room: &Arc<Share>,
    hit: impl Fn(&R) -> Hit + Send + 'static,
) -> Result<Vec<Hit>, Refused> {
    if rows.len() <= INLINE {
        return Ok(rows.iter().map(hit).collect());
    }
    let (rows, room) = (Arc::clone(rows), Arc::clone(room));
    let enriched = tokio::task::spawn_blocking(move || {
        let _room = room;
        rows.iter().map(hit).collect()
    });
    enriched.await.map_err(|error| Refused::new("internal", ApiError::internal(&error)))
}

#[cfg(test)]
mod tests {
    use std::{
        net::{IpAddr, Ipv4Addr},
        sync::{Mutex, mpsc},
    };

    use tokio::time::{Duration, timeout};

    use super::*;

    const NOBODY: IpAddr = IpAddr::V4(Ipv4Addr::UNSPECIFIED);

    #[tokio::test]
    async fn rows_whose_client_has_gone_have_their_room_until_they_are_done() {
        let (rooms, all) = (Rooms::new(0), usize::MAX);
        let mut share = rooms.share(NOBODY);
        share.reserve(all).await.expect("room");
        let (rows, room): (Arc<[u8]>, _) = (vec![0; INLINE + 1].into(), Arc::new(share));
        let (go_on, held_up) = mpsc::channel::<()>();
        let held_up = Mutex::new(held_up);
        let slow = move |_: &u8| {
            let _ = held_up.lock().map(|held_up| held_up.recv());
            Hit::default()
        };
        assert!(timeout(Duration::ZERO, enrich(&rows, &room, slow)).await.is_err());
        drop((rows, room));

        let mut other = rooms.share(NOBODY);
        assert!(timeout(Duration::from_millis(50), other.reserve(all)).await.is_err(), "it is taken");
        drop(go_on);
        other.reserve(all).await.expect("room once it is done");
    }
}
