//! The loop that starts checks when they are due and never waits for one.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{AcquireError, Semaphore, SemaphorePermit, mpsc, watch};
use tokio::task::{AbortHandle, JoinError, JoinSet};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use watchkeeper_store::{Check, Endpoint, LastCheck, Origin, State, now_ms};

use crate::guard::Trust;
use crate::leadership::Term;
use crate::metrics::Metrics;
use crate::probe::Probers;
use crate::reload::Loaded;
use crate::result::Outcome;
use crate::retry;
use crate::schedule::{First, Schedule};

/// How long checks under way may go on at shutdown.
const FINISH_TIME: Duration = Duration::from_secs(2);

/// Everything that one check needs; clones share it.
#[derive(Clone)]
struct Tools {
    probers: Probers,
    metrics: Metrics,
    permits: Arc<Semaphore>,
    /// A part of the permits' number for monitors of strangers, so that many slow
    /// ones of theirs hold up none of the operator's.
    strangers: Arc<Semaphore>,
    results: mpsc::Sender<Check>,
}

/// Runs checks while this replica leads.
pub(crate) struct Runner {
    term: Term,
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
    pub fn new(probers: Probers, metrics: Metrics, concurrency: usize, results: mpsc::Sender<Check>) -> Self {
        let permits = Arc::new(Semaphore::new(concurrency.max(1)));
        let strangers = Arc::new(Semaphore::new((concurrency / 4).max(1)));
        Self {
            term: None,
            tools: Tools { probers, metrics, permits, strangers, results },
            schedule: Schedule::default(),
            watched: HashMap::new(),
            running: JoinSet::new(),
        }
    }

    /// Checks what `loaded` says while `leading` says so, until `shutdown`.
    pub async fn run(
        mut self,
        mut leading: watch::Receiver<Term>,
        mut loaded: mpsc::Receiver<Loaded>,
        shutdown: CancellationToken,
    ) {
        loop {
            let due = self.schedule.next_due();
            tokio::select! {
                // In this order: a lost lease stops everything else, and a
                // due check comes after the news of its end.
                biased;
                () = shutdown.cancelled() => break,
                changed = leading.changed() => {
                    if changed.is_err() {
                        break;
                    }
                    let term = *leading.borrow_and_update();
                    self.tools.metrics.leader.set(term.is_some().into());
                    if self.term != term {
                        self.stop();
                        self.term = term;
                    }
                }
                Some(loaded) = loaded.recv() => {
                    // A set that was on its way when the lease went is stale.
                    if self.term == Some(loaded.term) {
                        self.replace(loaded.endpoints);
                    }
                }
                Some(ended) = self.running.join_next() => self.ended(ended),
                () = sleep_until(due) => self.start_due(),
            }
        }
        let finish = async { while self.running.join_next().await.is_some() {} };
        let _ = tokio::time::timeout(FINISH_TIME, finish).await;
        self.tools.metrics.leader.set(0);
    }

    /// Takes over a new set of endpoints, touching only what differs.
    fn replace(&mut self, endpoints: Vec<Endpoint>) {
        let active: HashMap<i64, Endpoint> = endpoints
            .into_iter()
            .filter(|endpoint| !endpoint.spec.suspended)
            .map(|endpoint| (endpoint.id, endpoint))
            .collect();
        let gone: Vec<i64> = self.watched.keys().filter(|id| !active.contains_key(id)).copied().collect();
        for id in gone {
            self.remove(id);
        }
        let (now, unix) = (Instant::now(), unix_time());
        for (id, endpoint) in active {
            let first = match self.watched.get(&id) {
                Some(known) if known.endpoint.revision == endpoint.revision => continue,
                // Somebody changed it and wants to see what it does.
                Some(_) => First::Soon,
                None if endpoint.status.state == State::Unknown => First::Soon,
                None => First::OnGrid,
            };
            self.remove(id);
            self.schedule.insert(id, endpoint.spec.interval, first, now, unix);
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

    /// Stops at once: another replica may be checking already.
    fn stop(&mut self) {
        self.running.abort_all();
        let all: Vec<i64> = self.watched.keys().copied().collect();
        for id in all {
            self.remove(id);
        }
        self.count();
    }

    fn start_due(&mut self) {
        let now = Instant::now();
        while let Some(due) = self.schedule.pop_due(now) {
            let Some(watched) = self.watched.get_mut(&due.id) else {
                continue;
            };
            let check = self.tools.clone().check(Arc::clone(&watched.endpoint), due.at);
            watched.check = Some(self.running.spawn(async move {
                check.await;
                due.id
            }));
        }
    }

    fn ended(&mut self, ended: Result<i64, JoinError>) {
        match ended {
            Ok(id) => {
                self.schedule.finish(id);
                if let Some(watched) = self.watched.get_mut(&id) {
                    watched.check = None;
                }
            }
            Err(error) if error.is_cancelled() => {}
            Err(error) => {
                tracing::error!(%error, "a check panicked");
                self.finish_crashed(error.id());
            }
        }
    }

    /// A check that panicked could not say which one it was.
    fn finish_crashed(&mut self, task: tokio::task::Id) {
        for (id, watched) in &mut self.watched {
            if watched.check.take_if(|check| check.id() == task).is_some() {
                self.schedule.finish(*id);
                return;
            }
        }
    }

    fn count(&self) {
        let count = i64::try_from(self.schedule.len()).unwrap_or(i64::MAX);
        self.tools.metrics.endpoints.set(count);
    }
}

impl Tools {
    /// Checks an endpoint once, attempts included, and hands the result on.
    async fn check(self, endpoint: Arc<Endpoint>, due: Instant) {
        let spec = &endpoint.spec;
        // The first attempt waits for its turn before the clock of the check
        // starts; `at` is when the endpoint was asked.
        let first = self.permits(endpoint.origin).acquire().await;
        let (at, lag) = (now_ms(), due.elapsed());
        let mut held = Some(first);
        let outcome = retry::attempts(spec.retries, spec.backoff, || {
            let held = held.take();
            self.attempt(&endpoint, held)
        })
        .await;
        self.metrics.observe(&endpoint, &outcome, lag);
        tracing::debug!(
            endpoint = endpoint.uid,
            ok = outcome.ok,
            status = outcome.status,
            message = outcome.message,
            "checked"
        );
        let check = Check {
            project: endpoint.project,
            endpoint: endpoint.id,
            result: LastCheck {
                at,
                ok: outcome.ok,
                status: outcome.status.map(i32::from),
                duration_us: i64::try_from(outcome.duration.as_micros()).unwrap_or(i64::MAX),
                message: outcome.message,
            },
        };
        // Fails only when the recorder is gone, and then everything is.
        let _ = self.results.send(check).await;
    }

    fn permits(&self, origin: Origin) -> &Semaphore {
        match Trust::from(origin) {
            Trust::Operator => &self.permits,
            Trust::Stranger => &self.strangers,
        }
    }

    /// One attempt under a permit, which it gives back for the pause after it.
    async fn attempt(&self, endpoint: &Endpoint, held: Option<Permit<'_>>) -> Outcome {
        let _permit = match held {
            Some(permit) => permit,
            None => self.permits(endpoint.origin).acquire().await,
        };
        let spec = &endpoint.spec;
        self.probers.probe(endpoint.origin, &spec.probe, spec.timeout).await
    }
}

/// The semaphore is never closed, so an error here never comes up; if it did,
/// the probe would run without a permit.
type Permit<'a> = Result<SemaphorePermit<'a>, AcquireError>;

async fn sleep_until(due: Option<Instant>) {
    match due {
        Some(due) => tokio::time::sleep_until(due).await,
        None => std::future::pending().await,
    }
}

fn unix_time() -> Duration {
    Duration::from_millis(u64::try_from(now_ms()).unwrap_or_default())
}
