//! Endpoints that call by themselves. A call is stored by the API as the check
//! that it is; here a call that does not come becomes a bad check, at its deadline.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;
use watchkeeper_store::{Endpoint, EndpointSpec, Heartbeat, HeartbeatProbe, Probe};

use crate::backend::{Backend, bounded};
use crate::result::Outcome;

/// How often the newest calls are read while there is anything that calls.
const REFRESH: Duration = Duration::from_secs(1);

/// Longest wait for them.
const PATIENCE: Duration = Duration::from_secs(5);

/// Age from which what was read says nothing about missing calls any more.
const STALE: Duration = Duration::from_secs(10);

/// Longest time after its start for which a checker lets calls come that could
/// not while the installation was away.
const SETTLE: Duration = Duration::from_secs(60);

/// Shortest and longest time between two looks at one endpoint.
const PACE: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(5));

/// The newest call of each endpoint; clones share it.
#[derive(Clone)]
pub(crate) struct Heartbeats {
    started: Instant,
    shared: Arc<Mutex<Shared>>,
}

#[derive(Default)]
struct Shared {
    /// When the newest calls were asked for: what came later may be missing among them.
    read: Option<Instant>,
    calls: HashMap<i64, Heartbeat>,
    /// The last deadline that was told as missed.
    told: HashMap<i64, i64>,
    terms: HashMap<i64, Terms>,
}

/// What is asked of an endpoint's calls.
struct Terms {
    /// Longest time from one call to the next, grace included, milliseconds.
    within: i64,
    /// When the first call by these terms is counted from at the earliest, UTC milliseconds.
    from: i64,
}

impl Heartbeats {
    pub fn new() -> Self {
        Self { started: Instant::now(), shared: Arc::default() }
    }

    /// Reads the newest calls over and over.
    pub async fn follow<B: Backend>(self, backend: B) {
        loop {
            let (store, asked) = (backend.clone(), Instant::now());
            // A store that never answers must not be waited for: it may have another address by now.
            match bounded(&backend, PATIENCE, async move { store.heartbeats().await }).await {
                Ok(calls) => {
                    let mut shared = self.lock();
                    shared.calls = calls;
                    shared.read = Some(asked);
                }
                Err(error) => tracing::warn!(%error, "the newest heartbeats cannot be read"),
            }
            tokio::time::sleep(REFRESH).await;
        }
    }

    /// What is known of an endpoint's calls at `now` (UTC milliseconds).
    pub fn look(&self, endpoint: &Endpoint, probe: &HeartbeatProbe, now: i64) -> Look {
        let settle = probe.grace.clamp(Duration::from_secs(5), SETTLE);
        let mut shared = self.lock();
        let last = shared.calls.get(&endpoint.id).copied();
        // Before the first call the time runs from when there was something to call.
        let since = last.map_or(0, |call| call.at).max(begun(endpoint));
        let (interval, grace) = (millis(endpoint.spec.interval), millis(probe.grace));
        let since = shared.since(endpoint.id, since, interval + grace, now);
        let overdue = |at| missed(since, interval, grace, at);
        if overdue(now).is_none() {
            return Look::Said(last.map(|call| call.ok));
        }
        // Nobody can tell what did not come while nobody looked, nor what came in time but after the look.
        let settled = self.started.elapsed() >= settle;
        let age = shared.read.map(|read| read.elapsed()).filter(|age| settled && *age <= STALE);
        let Some(deadline) = age.and_then(|age| overdue(now - millis(age))) else {
            return Look::Said(None);
        };
        // Another checker may have told it, or this one before it was started anew.
        let stored = endpoint.status.last_check.as_ref().filter(|check| !check.ok).map(|check| check.at);
        let told = shared.told.insert(endpoint.id, deadline);
        if told.max(stored).is_some_and(|told| told >= deadline) {
            return Look::Said(Some(false));
        }
        let what = if last.is_some() { "no heartbeat" } else { "no heartbeat yet" };
        Look::Missed(Outcome::failed(
            Duration::ZERO,
            format!("{what} within {:?} and {:?} of grace", endpoint.spec.interval, probe.grace),
        ))
    }

    /// Forgets an endpoint that is another's now, or nobody's.
    pub fn forget(&self, endpoint: i64) {
        let mut shared = self.lock();
        shared.told.remove(&endpoint);
        shared.terms.remove(&endpoint);
    }

    fn lock(&self) -> MutexGuard<'_, Shared> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Shared {
    /// From when the next call of an endpoint is counted whose last one was at `since`. Where a call is to
    /// come sooner from now on, that is now, for nobody knew before; but what was asked before still holds.
    fn since(&mut self, endpoint: i64, since: i64, within: i64, now: i64) -> i64 {
        let terms = self.terms.entry(endpoint).or_insert(Terms { within, from: 0 });
        let deadline = since.max(terms.from).saturating_add(terms.within);
        if within < terms.within && now < deadline {
            terms.from = now.min(deadline - within);
        }
        terms.within = within;
        since.max(terms.from)
    }
}

/// What a look at an endpoint's calls finds.
#[derive(Debug)]
pub(crate) enum Look {
    /// A call is overdue, and this is the bad check of it; once a deadline.
    Missed(Outcome),
    /// Nothing new, and what holds, if anybody knows: what the newest call said, or
    /// that one is overdue.
    Said(Option<bool>),
}

/// When an endpoint began to be watched: when it was made, or came back from suspension.
fn begun(endpoint: &Endpoint) -> i64 {
    match endpoint.status.last_check {
        Some(_) => endpoint.created_at,
        None => endpoint.created_at.max(endpoint.status.since),
    }
}

/// The last deadline before `now` that a call after `since` should have met. All
/// in milliseconds.
fn missed(since: i64, interval: i64, grace: i64, now: i64) -> Option<i64> {
    let late = now - since - grace;
    let intervals = late / interval.max(1);
    (intervals >= 1).then(|| since + intervals * interval + grace)
}

fn millis(time: Duration) -> i64 {
    i64::try_from(time.as_millis()).unwrap_or(i64::MAX / 4)
}

/// How often a check of an endpoint is due: its interval, or for a heartbeat often
/// enough to notice a deadline.
pub(crate) fn pace(spec: &EndpointSpec) -> Duration {
    match &spec.probe {
        Probe::Heartbeat(probe) => ((spec.interval + probe.grace) / 60).clamp(PACE.0, PACE.1),
        _ => spec.interval,
    }
}

#[cfg(test)]
mod tests {
    use watchkeeper_store::LastCheck;

    use super::*;
    use crate::testing::{Fake, endpoint, eventually};

    #[test]
    fn each_deadline_is_missed_once() {
        // Called at 1000, every 100, 20 of grace: 1120, 1220, 1320, …
        let missed = |now| missed(1_000, 100, 20, now);
        assert_eq!(missed(1_119), None);
        assert_eq!(missed(1_120), Some(1_120));
        assert_eq!(missed(1_219), Some(1_120));
        assert_eq!(missed(1_220), Some(1_220));
        assert_eq!(missed(1_999), Some(1_920));
    }

    #[test]
    fn a_deadline_is_looked_for_often_enough() {
        let mut spec = EndpointSpec::new(
            "job",
            Probe::Heartbeat(HeartbeatProbe { token: "t".into(), grace: Duration::from_secs(5) }),
        );
        assert_eq!(pace(&spec), Duration::from_secs(65) / 60);
        spec.interval = Duration::from_secs(86_400);
        assert_eq!(pace(&spec), Duration::from_secs(5));
        spec.interval = Duration::from_secs(1);
        assert_eq!(pace(&spec), Duration::from_secs(1));
    }

    /// Heartbeats that have settled, and an endpoint of a hundred seconds without grace.
    fn watched() -> (Heartbeats, Endpoint, HeartbeatProbe) {
        let mut heartbeats = Heartbeats::new();
        heartbeats.started -= SETTLE;
        let probe = HeartbeatProbe { token: "t".into(), grace: Duration::ZERO };
        let mut job = endpoint(1, "");
        job.spec.probe = Probe::Heartbeat(probe.clone());
        job.spec.interval = Duration::from_secs(100);
        job.created_at = 1_000;
        (heartbeats, job, probe)
    }

    fn told(look: Look) -> Option<String> {
        match look {
            Look::Missed(outcome) => outcome.message,
            Look::Said(_) => None,
        }
    }

    fn said(look: Look) -> Option<bool> {
        match look {
            Look::Missed(outcome) => panic!("it is missed: {outcome:?}"),
            Look::Said(said) => said,
        }
    }

    #[tokio::test]
    async fn a_call_that_does_not_come_is_told_once_a_deadline_and_shown_until_one_comes() {
        let store = Fake::default();
        let (heartbeats, job, probe) = watched();
        let follow = tokio::spawn(heartbeats.clone().follow(store.clone()));
        eventually("the calls are read", || heartbeats.lock().read.is_some()).await;
        let look = |now| heartbeats.look(&job, &probe, now);
        assert_eq!(said(look(100_900)), None, "it has only begun");
        assert_eq!(told(look(111_000)).as_deref(), Some("no heartbeat yet within 100s and 0ns of grace"));
        assert_eq!(said(look(112_000)), Some(false));

        store.call(1, Heartbeat { at: 120_000, ok: true });
        eventually("the call is known", || !heartbeats.lock().calls.is_empty()).await;
        assert_eq!(said(look(130_000)), Some(true));
        assert_eq!(told(look(230_000)).as_deref(), Some("no heartbeat within 100s and 0ns of grace"));
        assert_eq!(said(look(319_000)), Some(false), "the last call was good, and it is too long ago");
        assert!(told(look(330_000)).is_some());
        follow.abort();
    }

    #[tokio::test]
    async fn a_call_that_may_have_come_since_the_calls_were_read_is_not_missing() {
        let (heartbeats, job, probe) = watched();
        heartbeats.lock().read = Some(Instant::now() - Duration::from_secs(3));
        // It is overdue at 101 s, and they were read at 99 s.
        assert_eq!(said(heartbeats.look(&job, &probe, 102_000)), None);
        heartbeats.lock().read = Some(Instant::now());
        assert!(told(heartbeats.look(&job, &probe, 106_000)).is_some());
    }

    #[tokio::test]
    async fn calls_are_as_old_as_the_question_for_them() {
        let store = Fake::default();
        let (heartbeats, ..) = watched();
        store.hold_answers(true);
        let follow = tokio::spawn(heartbeats.clone().follow(store.clone()));
        eventually("the calls are asked for", || store.questions() > 0).await;
        let asked = Instant::now();
        store.hold_answers(false);
        eventually("the calls are read", || heartbeats.lock().read.is_some()).await;
        assert!(
            heartbeats.lock().read.is_some_and(|read| read <= asked),
            "what came meanwhile is not among them"
        );
        follow.abort();
    }

    #[tokio::test]
    async fn what_was_told_before_a_restart_is_not_told_again() {
        let (heartbeats, mut job, probe) = watched();
        heartbeats.lock().read = Some(Instant::now());
        let check = LastCheck { at: 101_003, ok: false, ..LastCheck::default() };
        job.status.last_check = Some(check);
        assert_eq!(said(heartbeats.look(&job, &probe, 190_000)), Some(false));
        assert!(told(heartbeats.look(&job, &probe, 206_000)).is_some(), "the next deadline is another");
        heartbeats.forget(1);
        assert!(heartbeats.lock().told.is_empty());
    }

    #[tokio::test]
    async fn a_shorter_interval_counts_from_its_change_and_at_most_to_the_deadline_before() {
        for (changed, deadline) in [(140_000, 170_000), (190_000, 200_000)] {
            let (heartbeats, mut job, probe) = watched();
            heartbeats.lock().read = Some(Instant::now());
            heartbeats.lock().calls.insert(1, Heartbeat { at: 100_000, ok: true });
            assert_eq!(said(heartbeats.look(&job, &probe, changed - 1_000)), Some(true));
            job.spec.interval = Duration::from_secs(30);
            assert_eq!(said(heartbeats.look(&job, &probe, changed)), Some(true), "it is asked for only now");
            assert_eq!(said(heartbeats.look(&job, &probe, deadline - 1)), Some(true));
            assert!(told(heartbeats.look(&job, &probe, deadline + 9_000)).is_some(), "{changed}");
            // The next call is followed by one within the new interval.
            heartbeats.lock().calls.insert(1, Heartbeat { at: 300_000, ok: true });
            assert!(told(heartbeats.look(&job, &probe, 339_000)).is_some());
        }
    }

    #[tokio::test]
    async fn a_call_that_is_missing_already_is_not_excused_by_a_shorter_interval() {
        let (heartbeats, mut job, probe) = watched();
        heartbeats.lock().read = Some(Instant::now());
        assert!(told(heartbeats.look(&job, &probe, 110_000)).is_some());
        job.spec.interval = Duration::from_secs(30);
        assert_eq!(said(heartbeats.look(&job, &probe, 112_000)), Some(false));
    }

    #[tokio::test]
    async fn a_store_that_is_away_makes_no_call_missing() {
        let (heartbeats, job, probe) = watched();
        // It has never called; but nothing could be read.
        assert_eq!(said(heartbeats.look(&job, &probe, 1_000_000)), None);
    }

    #[tokio::test]
    async fn a_store_that_never_answers_is_asked_again() {
        let store = Fake::default();
        let (heartbeats, ..) = watched();
        store.swallow_a_question();
        let follow = tokio::spawn(heartbeats.clone().follow(store.clone()));
        eventually("the calls are read", || heartbeats.lock().read.is_some()).await;
        follow.abort();
    }
}
