//! Endpoints that call by themselves. A call is stored by the API as the check
//! that it is; here a call that does not come becomes a bad check, at its deadline.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;
use watchkeeper_store::{Endpoint, EndpointSpec, Heartbeat, HeartbeatProbe, Probe, now_ms};

use crate::backend::Backend;
use crate::result::Outcome;

/// How often the newest calls are read while there is anything that calls.
const REFRESH: Duration = Duration::from_secs(1);

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
    read: Option<Instant>,
    calls: HashMap<i64, Heartbeat>,
    /// The last deadline that was told as missed.
    told: HashMap<i64, i64>,
}

impl Heartbeats {
    pub fn new() -> Self {
        Self { started: Instant::now(), shared: Arc::default() }
    }

    /// Reads the newest calls over and over.
    pub async fn follow<B: Backend>(self, backend: B) {
        loop {
            match backend.heartbeats().await {
                Ok(calls) => {
                    let mut shared = self.shared.lock().unwrap_or_else(PoisonError::into_inner);
                    shared.calls = calls;
                    shared.read = Some(Instant::now());
                }
                Err(error) => tracing::warn!(%error, "the newest heartbeats cannot be read"),
            }
            tokio::time::sleep(REFRESH).await;
        }
    }

    /// What the newest call of an endpoint said, if it ever called.
    pub fn said(&self, endpoint: i64) -> Option<bool> {
        let shared = self.shared.lock().unwrap_or_else(PoisonError::into_inner);
        shared.calls.get(&endpoint).map(|call| call.ok)
    }

    /// The bad check of a call that is overdue, once a deadline; `None` while
    /// there is nothing to tell.
    pub fn overdue(&self, endpoint: &Endpoint, probe: &HeartbeatProbe) -> Option<Outcome> {
        let settle = probe.grace.clamp(Duration::from_secs(5), SETTLE);
        let mut shared = self.shared.lock().unwrap_or_else(PoisonError::into_inner);
        // Nobody can tell what did not come while nobody looked.
        if self.started.elapsed() < settle || shared.read.is_none_or(|read| read.elapsed() > STALE) {
            return None;
        }
        // Before the first call the time runs from when there was something to call.
        let last = shared.calls.get(&endpoint.id).copied();
        let since = last.map_or(0, |call| call.at).max(begun(endpoint));
        let deadline = missed(since, millis(endpoint.spec.interval), millis(probe.grace), now_ms())?;
        if shared.told.get(&endpoint.id).is_some_and(|told| *told >= deadline) {
            return None;
        }
        shared.told.insert(endpoint.id, deadline);
        let what = if last.is_some() { "no heartbeat" } else { "no heartbeat yet" };
        Some(Outcome::failed(
            Duration::ZERO,
            format!("{what} within {:?} and {:?} of grace", endpoint.spec.interval, probe.grace),
        ))
    }
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

    #[tokio::test]
    async fn a_call_that_does_not_come_is_told_once_a_deadline() {
        let store = Fake::default();
        let mut heartbeats = Heartbeats::new();
        heartbeats.started -= SETTLE;
        let follow = tokio::spawn(heartbeats.clone().follow(store.clone()));
        let probe = HeartbeatProbe { token: "t".into(), grace: Duration::ZERO };
        let mut job = endpoint(1, "");
        job.spec.probe = Probe::Heartbeat(probe.clone());
        job.spec.interval = Duration::from_millis(500);
        job.created_at = now_ms();
        assert!(heartbeats.overdue(&job, &probe).is_none(), "it has only begun");
        let mut missed = None;
        eventually("the first call is missing", || {
            missed = heartbeats.overdue(&job, &probe);
            missed.is_some()
        })
        .await;
        let message = missed.and_then(|outcome| outcome.message);
        assert_eq!(message.as_deref(), Some("no heartbeat yet within 500ms and 0ns of grace"));

        store.call(1, Heartbeat { at: now_ms() + 60_000, ok: true });
        eventually("the call is known", || heartbeats.said(1) == Some(true)).await;
        assert!(heartbeats.overdue(&job, &probe).is_none());
        follow.abort();
    }

    #[tokio::test]
    async fn a_store_that_is_away_makes_no_call_missing() {
        let mut heartbeats = Heartbeats::new();
        heartbeats.started -= SETTLE;
        let probe = HeartbeatProbe { token: "t".into(), grace: Duration::ZERO };
        let mut job = endpoint(1, "");
        job.spec.interval = Duration::from_secs(1);
        // It was made in 1970 and never called; but nothing could be read.
        assert!(heartbeats.overdue(&job, &probe).is_none());
    }
}
