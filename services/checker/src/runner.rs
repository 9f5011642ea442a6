//! The loop that starts checks when they are due and never waits for one.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{AcquireError, OwnedSemaphorePermit, Semaphore, SemaphorePermit, mpsc, watch};
use tokio::task::{AbortHandle, JoinError, JoinSet};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use watchkeeper_store::{Check, Endpoint, Origin, PlannedCheck, Probe, State};

use crate::guard::Trust;
use crate::heartbeat::{self, Heartbeats, Look};
use crate::hosts::{Hosts, PER_HOST, asked};
use crate::metrics::Metrics;
use crate::probe::Probers;
use crate::recorder::Found;
use crate::reload::Loaded;
use crate::result::Outcome;
use crate::retry;
use crate::schedule::{Due, First, Schedule};
use crate::tenure::{Clock, Tenure};

/// How long checks under way may go on at shutdown.
const FINISH_TIME: Duration = Duration::from_secs(2);

/// Everything that one check needs; clones share it.
#[derive(Clone)]
struct Tools {
    probers: Probers,
    heartbeats: Heartbeats,
    metrics: Metrics,
    rooms: Rooms,
    /// A room of their own for monitors of strangers, a part as large, so that many slow
    /// ones of theirs hold up none of the operator's, at whatever host.
    strangers: Rooms,
    results: mpsc::Sender<Found>,
}

/// Where attempts wait for their turn.
#[derive(Clone)]
struct Rooms {
    hosts: Hosts,
    permits: Arc<Semaphore>,
}

impl Rooms {
    /// For so many attempts at once, of which so many are of one host.
    fn new(permits: usize, per_host: usize) -> Self {
        Self { hosts: Hosts::new(per_host), permits: Arc::new(Semaphore::new(permits.max(1))) }
    }
}

/// Runs the checks that fall to this replica.
pub(crate) struct Runner {
    tenure: Option<Tenure>,
    tools: Tools,
    schedule: Schedule,
    watched: HashMap<i64, Watched>,
    running: JoinSet<i64>,
}

struct Watched {
    endpoint: Arc<Endpoint>,
    check: Option<AbortHandle>,
}

impl Runner {
    pub fn new(
        probers: Probers,
        heartbeats: Heartbeats,
        metrics: Metrics,
        concurrency: usize,
        results: mpsc::Sender<Found>,
    ) -> Self {
        let rooms = Rooms::new(concurrency, PER_HOST);
        let strangers = Rooms::new(concurrency / 4, PER_HOST / 4);
        Self {
            tenure: None,
            tools: Tools { probers, heartbeats, metrics, rooms, strangers, results },
            schedule: Schedule::default(),
            watched: HashMap::new(),
            running: JoinSet::new(),
        }
    }

    /// Checks what `loaded` says while `tenures` says so, until `shutdown`.
    pub async fn run(
        mut self,
        mut tenures: watch::Receiver<Option<Tenure>>,
        mut loaded: mpsc::Receiver<Loaded>,
        shutdown: CancellationToken,
    ) {
        loop {
            let due = self.next_start();
            tokio::select! {
                // In this order: a lost term stops everything else, and a
                // due check comes after the news of its end.
                biased;
                () = shutdown.cancelled() => break,
                changed = tenures.changed() => {
                    if changed.is_err() {
                        break;
                    }
                    let tenure = tenures.borrow_and_update().clone();
                    self.follow(tenure);
                }
                Some(loaded) = loaded.recv() => {
                    // A set that was on its way when the shards changed is stale.
                    if self.tenure.as_ref().is_some_and(|tenure| tenure.epoch == loaded.epoch) {
                        self.replace(loaded);
                    }
                }
                Some(ended) = self.running.join_next_with_id() => self.ended(ended),
                () = sleep_until(due) => self.start_due(),
            }
        }
        let finish = async { while self.running.join_next().await.is_some() {} };
        let _ = tokio::time::timeout(FINISH_TIME, finish).await;
        self.tools.metrics.alive.set(0);
    }

    /// When the next check begins, if this replica may still begin it then.
    fn next_start(&self) -> Option<Instant> {
        let tenure = self.tenure.as_ref()?;
        let start = tenure.clock.instant(self.schedule.next_due()?).max(Instant::now());
        (start < tenure.until).then_some(start)
    }

    /// Stops at once what is another's now: it may be checking already.
    fn follow(&mut self, tenure: Option<Tenure>) {
        let same = |term| tenure.as_ref().is_some_and(|tenure: &Tenure| tenure.term == term);
        let renewed = self.tenure.as_ref().is_none_or(|old| same(old.term));
        let lost = |id: &i64| !renewed || tenure.as_ref().is_none_or(|tenure| !tenure.owns(*id));
        let gone: Vec<i64> = self.watched.keys().copied().filter(lost).collect();
        for id in gone {
            self.remove(id);
            self.tools.heartbeats.forget(id);
        }
        self.tenure = tenure;
        self.count();
    }

    /// Takes over a new set of endpoints, touching only what differs.
    fn replace(&mut self, loaded: Loaded) {
        let Some(clock) = self.tenure.as_ref().map(|tenure| tenure.clock) else { return };
        let Loaded { endpoints, newest, .. } = loaded;
        let active: HashMap<i64, Endpoint> = endpoints
            .into_iter()
            .filter(|endpoint| !endpoint.spec.suspended)
            .map(|endpoint| (endpoint.id, endpoint))
            .collect();
        let gone: Vec<i64> = self.watched.keys().filter(|id| !active.contains_key(id)).copied().collect();
        for id in gone {
            self.remove(id);
            self.tools.heartbeats.forget(id);
        }
        let now = clock.unix_ms(Instant::now());
        for (id, endpoint) in active {
            // What is planned here may not be stored yet.
            let newest = newest.get(&id).copied().max(self.schedule.newest(id));
            let first = match (self.watched.get(&id), newest) {
                (Some(known), _) if known.endpoint.revision == endpoint.revision => continue,
                // Somebody changed it and wants to see what it does.
                (Some(_), newest) => First::Soon(newest),
                (None, newest) if endpoint.status.state == State::Unknown => First::Soon(newest),
                (None, Some(newest)) => First::After(newest),
                // Releases before this one did not say when.
                (None, None) => First::Soon(None),
            };
            self.remove(id);
            self.tools.metrics.watch(&endpoint);
            self.schedule.insert(id, heartbeat::pace(&endpoint.spec), first, now);
            self.watched.insert(id, Watched { endpoint: Arc::new(endpoint), check: None });
        }
        self.count();
    }

    /// Forgets an endpoint. A check of it that still runs is of no interest:
    /// it asks what nobody wants to know any more.
    fn remove(&mut self, id: i64) {
        self.schedule.remove(id);
        self.tools.metrics.forget(id);
        if let Some(check) = self.watched.remove(&id).and_then(|watched| watched.check) {
            check.abort();
        }
    }

    fn start_due(&mut self) {
        let Some((term, clock, until)) =
            self.tenure.as_ref().map(|tenure| (tenure.term, tenure.clock, tenure.until))
        else {
            return;
        };
        // A process that was frozen wakes up here as well as anywhere.
        let now = Instant::now();
        if now >= until {
            return;
        }
        while let Some(due) = self.schedule.pop_due(clock.unix_ms(now)) {
            let Some(watched) = self.watched.get_mut(&due.id) else {
                continue;
            };
            let id = due.id;
            let check = self.tools.clone().check(Arc::clone(&watched.endpoint), due, term, clock);
            watched.check = Some(self.running.spawn(async move {
                check.await;
                id
            }));
        }
    }

    /// Frees the place of a check that has ended, however it did. One that was
    /// ended with its endpoint's former place has none: another may run in the new one.
    fn ended(&mut self, ended: Result<(tokio::task::Id, i64), JoinError>) {
        let (task, known) = match ended {
            Ok((task, id)) => (task, Some(id)),
            Err(error) if error.is_cancelled() => return,
            Err(error) => {
                tracing::error!(%error, "a check panicked");
                (error.id(), None)
            }
        };
        let its = |watched: &mut Watched| watched.check.take_if(|check| check.id() == task).is_some();
        let id = match known {
            Some(id) => self.watched.get_mut(&id).is_some_and(its).then_some(id),
            // A check that panicked could not say which one it was.
            None => self.watched.iter_mut().find_map(|(id, watched)| its(watched).then_some(*id)),
        };
        if let Some(id) = id {
            self.schedule.finish(id);
        }
    }

    fn count(&self) {
        let count = i64::try_from(self.schedule.len()).unwrap_or(i64::MAX);
        self.tools.metrics.endpoints.set(count);
    }
}

/// How late a check starts.
fn late(at: i64, due: &Due) -> Duration {
    Duration::from_millis(u64::try_from(at.saturating_sub(due.start)).unwrap_or_default())
}

impl Tools {
    /// Checks an endpoint once, attempts included, and hands the result on.
    async fn check(self, endpoint: Arc<Endpoint>, due: Due, term: i64, clock: Clock) {
        let spec = &endpoint.spec;
        if let Probe::Heartbeat(probe) = &spec.probe {
            let at = clock.unix_ms(Instant::now());
            match self.heartbeats.look(&endpoint, probe, at) {
                Look::Missed(missed) => {
                    self.tell(&endpoint, missed, (at, due.planned), late(at, &due), term).await;
                }
                // Its calls are stored where they arrive; here they are shown.
                Look::Said(said) => self.metrics.show(&endpoint, said, at),
            }
            return;
        }
        // The first attempt waits for its place before the clock of the check
        // starts; `at` is when the endpoint was asked.
        let first = self.place(&endpoint).await;
        let at = clock.unix_ms(Instant::now());
        let lag = late(at, &due);
        let mut held = Some(first);
        let outcome = retry::attempts(retry::Policy::of(spec), || {
            let held = held.take();
            self.attempt(&endpoint, held)
        })
        .await;
        self.tell(&endpoint, outcome, (at, due.planned), lag, term).await;
    }

    /// Hands a result on, with when it was found and for when that was planned.
    async fn tell(
        &self,
        endpoint: &Endpoint,
        outcome: Outcome,
        (at, due): (i64, i64),
        lag: Duration,
        term: i64,
    ) {
        self.metrics.observe(endpoint, &outcome, at, lag);
        tracing::debug!(
            endpoint = endpoint.uid,
            ok = outcome.ok,
            status = outcome.status,
            message = outcome.message,
            "checked"
        );
        let check =
            Check { project: endpoint.project, endpoint: endpoint.id, result: outcome.into_check(at) };
        // Fails only when the recorder is gone, and then everything is.
        let check = PlannedCheck { due, check };
        let _ = self.results.send(Found { term, check }).await;
    }

    fn rooms(&self, origin: Origin) -> &Rooms {
        match Trust::from(origin) {
            Trust::Operator => &self.rooms,
            Trust::Stranger => &self.strangers,
        }
    }

    /// One attempt in a place, which it gives back for the pause after it.
    async fn attempt(&self, endpoint: &Endpoint, held: Option<Place<'_>>) -> Outcome {
        let _place = match held {
            Some(place) => place,
            None => self.place(endpoint).await,
        };
        self.probers.check(endpoint).await
    }

    /// Waits until an attempt may begin; for its host first, so that whoever waits there holds no permit.
    async fn place(&self, endpoint: &Endpoint) -> Place<'_> {
        let rooms = self.rooms(endpoint.origin);
        let turn = rooms.hosts.turn(asked(&endpoint.spec.probe)).await;
        (turn, rooms.permits.acquire().await)
    }
}

/// A turn at the host, where there is one, and a permit. The semaphore of permits is never closed, so an
/// error here never comes up; if it did, the probe would run without a permit.
type Place<'a> = (Option<OwnedSemaphorePermit>, Result<SemaphorePermit<'a>, AcquireError>);

async fn sleep_until(due: Option<Instant>) {
    match due {
        Some(due) => tokio::time::sleep_until(due).await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests {
    use prometheus::Registry;

    use super::*;
    use crate::guard::GuardRules;
    use crate::testing::endpoint;

    #[tokio::test]
    async fn a_check_of_an_endpoint_as_it_was_frees_no_place_of_what_it_is_now() {
        let probers = Probers::new(GuardRules::default(), None).expect("probers");
        let metrics = Metrics::new(&Registry::new()).expect("metrics");
        let (results, _stored) = mpsc::channel(1);
        let mut runner = Runner::new(probers, Heartbeats::new(), metrics, 1, results);
        // Its check had ended when the endpoint changed, and nobody had looked yet.
        runner.running.spawn(async { 1 });
        runner.schedule.insert(1, Duration::from_secs(1), First::Soon(None), 0);
        assert!(runner.schedule.pop_due(2_000).is_some());
        let check = runner.running.spawn(std::future::pending());
        runner.watched.insert(1, Watched { endpoint: Arc::new(endpoint(1, "")), check: Some(check) });

        let ended = runner.running.join_next_with_id().await.expect("the old one");
        runner.ended(ended);
        assert!(runner.watched[&1].check.is_some());
        assert_eq!(runner.schedule.pop_due(10_000), None, "the new one still runs");
    }

    #[tokio::test]
    async fn monitors_of_strangers_take_no_turn_of_the_operators_at_a_host() {
        let probers = Probers::new(GuardRules::default(), None).expect("probers");
        let metrics = Metrics::new(&Registry::new()).expect("metrics");
        let (results, _stored) = mpsc::channel(1);
        let tools = Runner::new(probers, Heartbeats::new(), metrics, 256, results).tools;
        let own = endpoint(1, "http://shop.example/health");
        let monitor = Endpoint { origin: Origin::Monitor, ..endpoint(2, "http://shop.example/slow") };
        let mut places = Vec::new();
        for _ in 0..PER_HOST / 4 {
            places.push(tools.place(&monitor).await);
        }
        let waiting = tools.place(&monitor);
        tokio::pin!(waiting);
        assert!(futures::poll!(waiting.as_mut()).is_pending(), "so many of theirs are at the host");
        for _ in 0..PER_HOST {
            places.push(tools.place(&own).await);
        }
        drop(places.remove(0));
        let _place = waiting.await;
    }
}
