//! What the tests of this crate share: endpoints, a store that can be taken
//! away, and waiting with a deadline.

use std::collections::{BTreeSet, HashMap};
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::time::Instant;
use watchkeeper_store::{
    Check, Endpoint, EndpointSpec, EndpointStatus, Heartbeat, HttpProbe, Origin, PlannedCheck, Probe,
    ProjectId, Recording, Replica, Result, SHARDS, State, StoreError, View, now_ms,
};

use crate::Backend;
use crate::tenure::{Clock, Tenure};

/// An endpoint of a manifest, never checked before, every second.
pub(crate) fn endpoint(id: i64, url: &str) -> Endpoint {
    Endpoint {
        id,
        uid: format!("uid-{id}"),
        origin: Origin::Manifest,
        project: ProjectId(1),
        namespace: "shop".into(),
        name: format!("endpoint-{id}"),
        generation: 1,
        spec: EndpointSpec {
            interval: Duration::from_secs(1),
            timeout: Duration::from_secs(5),
            ..EndpointSpec::new(format!("endpoint-{id}"), Probe::Http(HttpProbe::new(url)))
        },
        revision: 1,
        transition: 0,
        status: EndpointStatus { state: State::Unknown, since: 0, last_check: None },
        created_at: 0,
        updated_at: 0,
        breaker_reset_at: 0,
    }
}

/// A tenure of term 1 that lasts an hour, in an epoch.
pub(crate) fn tenure(epoch: u64, shards: std::ops::Range<i64>) -> Tenure {
    let now = Instant::now();
    Tenure {
        term: 1,
        epoch,
        until: now + Duration::from_secs(3_600),
        shards: Arc::new(shards.collect()),
        clock: Clock::new(now, now_ms()),
    }
}

/// A message that [`Fake`] never takes.
pub(crate) const UNFIT: &str = "unfit";

/// A store in memory, with one replica at a time.
#[derive(Clone, Default)]
pub(crate) struct Fake(Arc<Inner>);

#[derive(Default)]
struct Inner {
    revision: AtomicI64,
    endpoints: Mutex<Vec<Endpoint>>,
    planned: Mutex<Vec<PlannedCheck>>,
    heartbeats: Mutex<HashMap<i64, Heartbeat>>,
    away: AtomicBool,
    taken: AtomicBool,
    hanging: AtomicBool,
    swallows: AtomicBool,
    held: AtomicBool,
    questions: AtomicUsize,
    blind: AtomicBool,
    left: AtomicUsize,
    term: AtomicI64,
    alive: AtomicBool,
    owned: Mutex<BTreeSet<i64>>,
}

impl Fake {
    pub fn set(&self, endpoints: Vec<Endpoint>) {
        *self.0.endpoints.lock().expect("lock") = endpoints;
        self.0.revision.fetch_add(1, Ordering::SeqCst);
    }

    /// An endpoint calls.
    pub fn call(&self, id: i64, heartbeat: Heartbeat) {
        self.0.heartbeats.lock().expect("lock").insert(id, heartbeat);
    }

    pub fn checks(&self) -> Vec<Check> {
        self.0.planned.lock().expect("lock").iter().map(|planned| planned.check.clone()).collect()
    }

    pub fn checks_of(&self, id: i64) -> Vec<Check> {
        self.checks().into_iter().filter(|check| check.endpoint == id).collect()
    }

    /// Makes everything fail, or work again.
    pub fn set_away(&self, away: bool) {
        self.0.away.store(away, Ordering::SeqCst);
    }

    /// Makes storing results hang, or go on.
    pub fn set_hanging(&self, hanging: bool) {
        self.0.hanging.store(hanging, Ordering::SeqCst);
    }

    /// Makes the next look at who is there fail.
    pub fn fail_a_look(&self) {
        self.0.blind.store(true, Ordering::SeqCst);
    }

    /// Leaves the next question for calls without an answer for ever.
    pub fn swallow_a_question(&self) {
        self.0.swallows.store(true, Ordering::SeqCst);
    }

    /// Holds answers to questions for calls back, or lets them go.
    pub fn hold_answers(&self, held: bool) {
        self.0.held.store(held, Ordering::SeqCst);
    }

    /// How many questions for calls there were.
    pub fn questions(&self) -> usize {
        self.0.questions.load(Ordering::SeqCst)
    }

    /// Ends the term for another that probes everything, or lets replicas join again.
    pub fn set_taken(&self, taken: bool) {
        self.0.taken.store(taken, Ordering::SeqCst);
        if taken {
            self.end_term();
        }
    }

    /// Ends the term that there is.
    pub fn end_term(&self) {
        self.0.alive.store(false, Ordering::SeqCst);
        self.0.owned.lock().expect("lock").clear();
    }

    /// Begins a term.
    pub fn join_now(&self) -> i64 {
        self.0.alive.store(true, Ordering::SeqCst);
        self.0.term.fetch_add(1, Ordering::SeqCst) + 1
    }

    /// How many replicas have left.
    pub fn left(&self) -> usize {
        self.0.left.load(Ordering::SeqCst)
    }

    fn here(&self) -> Result<()> {
        match self.0.away.load(Ordering::SeqCst) {
            true => Err(StoreError::Overloaded),
            false => Ok(()),
        }
    }

    fn is_current(&self, term: i64) -> Result<()> {
        let current = self.0.alive.load(Ordering::SeqCst) && self.0.term.load(Ordering::SeqCst) == term;
        if current { Ok(()) } else { Err(StoreError::Fenced) }
    }
}

impl Backend for Fake {
    async fn revision(&self) -> Result<i64> {
        self.here()?;
        Ok(self.0.revision.load(Ordering::SeqCst))
    }

    async fn endpoints(&self) -> Result<Vec<Endpoint>> {
        self.here()?;
        Ok(self.0.endpoints.lock().expect("lock").clone())
    }

    async fn newest_planned(&self) -> Result<HashMap<i64, i64>> {
        let planned = self.0.planned.lock().expect("lock");
        Ok(planned.iter().map(|planned| (planned.check.endpoint, planned.due)).collect())
    }

    async fn record(&self, term: i64, checks: Vec<PlannedCheck>) -> Result<Recording> {
        while self.0.hanging.load(Ordering::SeqCst) {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        self.here()?;
        // Tests of the recorder alone store under a term that nobody has begun.
        if self.0.term.load(Ordering::SeqCst) > 0 {
            self.is_current(term)?;
        }
        if checks.iter().any(|planned| planned.check.result.message.as_deref() == Some(UNFIT)) {
            return Err(StoreError::Damaged("it does not fit".into()));
        }
        let stored = checks.len();
        self.0.planned.lock().expect("lock").extend(checks);
        Ok(Recording { stored, ..Recording::default() })
    }

    async fn heartbeats(&self) -> Result<HashMap<i64, Heartbeat>> {
        if self.0.swallows.swap(false, Ordering::SeqCst) {
            std::future::pending::<()>().await;
        }
        self.0.questions.fetch_add(1, Ordering::SeqCst);
        while self.0.held.load(Ordering::SeqCst) {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        self.here()?;
        Ok(self.0.heartbeats.lock().expect("lock").clone())
    }

    async fn join(&self, _: &str, _: Duration) -> Result<Option<i64>> {
        self.here()?;
        Ok((!self.0.taken.load(Ordering::SeqCst)).then(|| self.join_now()))
    }

    async fn beat(&self, term: i64, _: Duration) -> Result<i64> {
        self.here()?;
        self.is_current(term).map(|()| now_ms())
    }

    async fn view_revision(&self) -> Result<i64> {
        self.here()?;
        if self.0.blind.swap(false, Ordering::SeqCst) {
            return Err(StoreError::Overloaded);
        }
        Ok(self.0.term.load(Ordering::SeqCst))
    }

    async fn view(&self) -> Result<View> {
        self.here()?;
        let term = self.0.term.load(Ordering::SeqCst);
        let expires_in = Duration::from_secs(1);
        let owned = self.0.owned.lock().expect("lock");
        Ok(View {
            replicas: vec![Replica { holder: "test".into(), term, expires_in }],
            shards: (0..SHARDS).map(|shard| owned.contains(&shard).then_some(term)).collect(),
        })
    }

    async fn claim(&self, term: i64, shards: Vec<i64>) -> Result<u64> {
        self.here()?;
        self.is_current(term)?;
        let count = shards.len() as u64;
        self.0.owned.lock().expect("lock").extend(shards);
        Ok(count)
    }

    async fn release(&self, _: i64, _: Vec<i64>) -> Result<()> {
        self.here()
    }

    async fn leave(&self, _: i64) -> Result<()> {
        self.0.left.fetch_add(1, Ordering::SeqCst);
        Ok(())
    }

    async fn seal(&self) -> Result<u64> {
        self.here().map(|()| 0)
    }

    fn may_be_cancelled(&self) -> bool {
        true
    }
}

/// Waits until `done`, at most 20 s of the runtime's clock.
pub(crate) async fn eventually(what: &str, mut done: impl FnMut() -> bool) {
    let deadline = tokio::time::Instant::now() + Duration::from_secs(20);
    while !done() {
        assert!(tokio::time::Instant::now() < deadline, "not within 20 s: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
