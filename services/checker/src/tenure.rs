//! What this replica may probe, and until when: its term among the replicas,
//! kept by heartbeats, and the shards that fall to it.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use watchkeeper_store::{StoreError, View, shard_of};

use crate::backend::{Backend, bounded};
use crate::metrics::Metrics;
use crate::rendezvous::{Plan, plan};

/// Longest time to leave; the term runs out by itself otherwise.
const LEAVE_TIME: Duration = Duration::from_secs(2);

/// Longest pause between looks at who is there.
const LOOK: Duration = Duration::from_secs(1);

/// How far the clocks may be apart before one is set by the other.
const TOLERANCE: i64 = 250;

/// What this replica may do. A term that was lost and won again is another,
/// and shards that change make another epoch.
#[derive(Clone, Debug)]
pub(crate) struct Tenure {
    pub term: i64,
    pub epoch: u64,
    /// No check may begin later than this, unless a heartbeat moves it on.
    pub until: Instant,
    pub shards: Arc<BTreeSet<i64>>,
    pub clock: Clock,
}

impl Tenure {
    /// Whether an endpoint is among its shards.
    pub fn owns(&self, endpoint: i64) -> bool {
        self.shards.contains(&shard_of(endpoint))
    }
}

/// The database's time, told by this process's own monotonic clock: steps of
/// the system's clock do not move it, and all replicas agree about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Clock {
    at: Instant,
    unix_ms: i64,
}

impl Clock {
    pub fn new(at: Instant, unix_ms: i64) -> Self {
        Self { at, unix_ms }
    }

    /// UTC milliseconds at an instant not long before or any time after it was set.
    pub fn unix_ms(self, at: Instant) -> i64 {
        let since = at.saturating_duration_since(self.at).as_millis();
        let before = self.at.saturating_duration_since(at).as_millis();
        let milliseconds = |time: u128| i64::try_from(time).unwrap_or(i64::MAX);
        self.unix_ms.saturating_add(milliseconds(since)).saturating_sub(milliseconds(before))
    }

    /// The instant of a time not before it was set.
    pub fn instant(self, unix_ms: i64) -> Instant {
        let ahead = u64::try_from(unix_ms.saturating_sub(self.unix_ms)).unwrap_or_default();
        self.at + Duration::from_millis(ahead)
    }

    /// Follows another clock when that is clearly ahead. One that is behind was
    /// set back, and time that has been used must not come again.
    fn follow(self, other: Self) -> Self {
        let ahead = other.unix_ms(other.at).saturating_sub(self.unix_ms(other.at));
        if ahead < -TOLERANCE {
            tracing::warn!(milliseconds = -ahead, "the database's clock is behind; going on without it");
        }
        if ahead > TOLERANCE { other } else { self }
    }
}

/// Keeps a term.
pub(crate) struct Keeper<B> {
    backend: B,
    metrics: Metrics,
    holder: String,
    heartbeat: Duration,
    term: Option<i64>,
    epoch: u64,
    until: Instant,
    /// Whether `until` has moved on and nobody was told yet.
    unsaid: bool,
    next_beat: Instant,
    clock: Option<Clock>,
    owned: Arc<BTreeSet<i64>>,
    seen: Option<i64>,
    /// When the first of the others will count as dead.
    expiry: Option<Instant>,
}

impl<B: Backend> Keeper<B> {
    pub fn new(backend: B, metrics: Metrics, holder: String, heartbeat: Duration) -> Self {
        let now = Instant::now();
        Self {
            backend,
            metrics,
            holder,
            heartbeat,
            term: None,
            epoch: 0,
            until: now,
            unsaid: false,
            next_beat: now,
            clock: None,
            owned: Arc::default(),
            seen: None,
            expiry: None,
        }
    }

    /// Joins, beats, claims and releases, and says in `tenure` what came of it,
    /// until `shutdown`; then leaves once nobody looks at `tenure` any more.
    pub async fn keep(mut self, tenure: watch::Sender<Option<Tenure>>, shutdown: CancellationToken) {
        while !shutdown.is_cancelled() {
            tokio::select! {
                () = self.round(&tenure) => {}
                () = shutdown.cancelled() => break,
            }
            let wake = Instant::now() + LOOK.min(self.heartbeat / 4);
            let wake = self.expiry.map_or(wake, |expiry| wake.min(expiry.max(Instant::now() + LOOK / 50)));
            tokio::select! {
                () = tokio::time::sleep_until(wake.min(self.next_beat.max(Instant::now() + LOOK / 20))) => {}
                () = shutdown.cancelled() => break,
            }
        }
        tenure.closed().await;
        if let Some(term) = self.term {
            let backend = self.backend.clone();
            let _ = bounded(&self.backend, LEAVE_TIME, async move { backend.leave(term).await }).await;
        }
    }

    /// How long a heartbeat lasts for the others: they take over half a
    /// heartbeat after one is missing, and have what is left of the second to do it.
    fn ttl(&self) -> Duration {
        self.heartbeat * 3 / 2
    }

    async fn round(&mut self, tenure: &watch::Sender<Option<Tenure>>) {
        match self.renew().await {
            Ok(()) => {
                if let Err(error) = self.look(tenure).await {
                    tracing::warn!(%error, "who probes what cannot be agreed on");
                    self.fenced(&error, tenure);
                }
            }
            Err(error) => {
                tracing::warn!(%error, "the heartbeat failed");
                self.next_beat = Instant::now() + self.heartbeat / 10;
                self.fenced(&error, tenure);
            }
        }
        let leads = self.term.is_some() && Instant::now() < self.until;
        self.metrics.alive.set(leads.into());
        self.metrics.shards.set(i64::try_from(self.owned.len()).unwrap_or(i64::MAX));
    }

    /// Joins if need be, and beats when it is time.
    async fn renew(&mut self) -> Result<(), StoreError> {
        let term = match self.term {
            Some(term) => term,
            None => {
                let (backend, holder, ttl) = (self.backend.clone(), self.holder.clone(), self.ttl());
                let joined = self.ask(async move { backend.join(&holder, ttl).await }).await?;
                let Some(term) = joined else {
                    tracing::info!("a checker of an earlier release probes; waiting for its end");
                    self.next_beat = Instant::now() + LOOK;
                    return Ok(());
                };
                tracing::info!(term, "joined the checkers");
                self.term = Some(term);
                self.next_beat = Instant::now();
                term
            }
        };
        if Instant::now() < self.next_beat {
            return Ok(());
        }
        let asked = Instant::now();
        let (backend, ttl) = (self.backend.clone(), self.ttl());
        let unix_ms = self.ask(async move { backend.beat(term, ttl).await }).await?;
        let answered = Instant::now();
        // Counted from before it was asked for and ending early, so that this
        // replica stops before another starts, whatever became of its answers.
        self.until = asked + ttl - self.heartbeat / 8;
        self.unsaid = true;
        self.next_beat = asked + self.heartbeat;
        let told = Clock::new(asked + (answered - asked) / 2, unix_ms);
        self.clock = Some(self.clock.map_or(told, |clock| clock.follow(told)));
        Ok(())
    }

    /// Finds out what falls to this replica, takes and gives, and says so.
    async fn look(&mut self, tenure: &watch::Sender<Option<Tenure>>) -> Result<(), StoreError> {
        let (Some(term), Some(clock)) = (self.term, self.clock) else { return Ok(()) };
        let backend = self.backend.clone();
        let revision = self.ask(async move { backend.view_revision().await }).await?;
        let due = self.expiry.is_some_and(|expiry| expiry <= Instant::now());
        if self.unsaid || due || self.seen != Some(revision) {
            let mut view = self.view().await?;
            let mut planned = plan(&view, term);
            if !planned.claim.is_empty() {
                let (backend, claim) = (self.backend.clone(), std::mem::take(&mut planned.claim));
                let claimed = self.ask(async move { backend.claim(term, claim).await }).await?;
                tracing::info!(shards = claimed, "took shards over");
                view = self.view().await?;
                planned = plan(&view, term);
            }
            let Plan { keep, release, .. } = planned;
            if *self.owned != keep {
                self.owned = Arc::new(keep);
                self.epoch += 1;
            }
            self.say(term, clock, tenure);
            if !release.is_empty() {
                tracing::info!(shards = release.len(), "giving shards to another checker");
                let backend = self.backend.clone();
                self.ask(async move { backend.release(term, release).await }).await?;
            }
            self.seen = Some(revision);
            let soonest =
                view.replicas.iter().filter(|other| other.term != term && !other.expires_in.is_zero());
            let soonest = soonest.map(|other| other.expires_in).min();
            self.expiry = soonest.map(|left| Instant::now() + left + Duration::from_millis(5));
        }
        Ok(())
    }

    async fn view(&self) -> Result<View, StoreError> {
        let backend = self.backend.clone();
        self.ask(async move { backend.view().await }).await
    }

    fn say(&mut self, term: i64, clock: Clock, tenure: &watch::Sender<Option<Tenure>>) {
        self.unsaid = false;
        tenure.send_replace(Some(Tenure {
            term,
            epoch: self.epoch,
            until: self.until,
            shards: Arc::clone(&self.owned),
            clock,
        }));
    }

    /// Forgets a term that others have ended.
    fn fenced(&mut self, error: &StoreError, tenure: &watch::Sender<Option<Tenure>>) {
        if matches!(error, StoreError::Fenced) {
            self.term = None;
            self.owned = Arc::default();
            self.seen = None;
            self.expiry = None;
            self.epoch += 1;
            self.next_beat = Instant::now();
            tenure.send_replace(None);
        }
    }

    async fn ask<T: Send + 'static>(
        &self,
        work: impl Future<Output = watchkeeper_store::Result<T>> + Send + 'static,
    ) -> Result<T, StoreError> {
        bounded(&self.backend, self.heartbeat / 2, work).await
    }
}

#[cfg(test)]
mod tests {
    use prometheus::Registry;

    use super::*;
    use crate::testing::Fake;

    #[tokio::test]
    async fn a_beat_after_which_nothing_could_be_agreed_on_is_told_as_soon_as_it_can_be() {
        let store = Fake::default();
        let metrics = Metrics::new(&Registry::new()).expect("metrics");
        let mut keeper = Keeper::new(store.clone(), metrics, "test".into(), Duration::from_secs(60));
        let (say, tenures) = watch::channel(None);
        let until = || tenures.borrow().as_ref().map(|tenure: &Tenure| tenure.until);
        keeper.round(&say).await;
        let first = until().expect("a tenure");

        keeper.next_beat = Instant::now();
        store.fail_a_look();
        keeper.round(&say).await;
        assert!(keeper.until > first && until() == Some(first), "it beat, and could not look");
        keeper.round(&say).await;
        assert_eq!(until(), Some(keeper.until));
    }

    #[test]
    fn a_clock_that_was_set_back_is_not_followed_and_one_that_is_ahead_is() {
        let start = Instant::now();
        let later = start + Duration::from_secs(10);
        let clock = Clock::new(start, 1_000_000);
        assert_eq!(clock.unix_ms(later), 1_010_000);
        assert_eq!(clock.instant(1_010_000), later);
        assert_eq!(clock.follow(Clock::new(later, 900_000)), clock);
        assert_eq!(clock.follow(Clock::new(later, 1_010_100)), clock);
        let ahead = Clock::new(later, 2_000_000);
        assert_eq!(clock.follow(ahead), ahead);
    }
}
