//! What the tests of this crate share: endpoints, a store that can be taken
//! away, and waiting with a deadline.

use std::sync::atomic::{AtomicBool, AtomicI64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use watchkeeper_store::{
    Check, Endpoint, EndpointSpec, EndpointStatus, HttpProbe, Lease, Origin, Probe, ProjectId, Result, State,
    StoreError,
};

use crate::Backend;

pub(crate) fn http(url: &str) -> HttpProbe {
    HttpProbe {
        url: url.into(),
        method: "GET".into(),
        headers: Vec::new(),
        body: None,
        expected_status: vec!["2xx".into()],
        follow_redirects: true,
        head_falls_back_to_get: false,
    }
}

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
            display_name: format!("endpoint-{id}"),
            group: None,
            interval: Duration::from_secs(1),
            timeout: Duration::from_secs(5),
            retries: 0,
            backoff: Duration::ZERO,
            suspended: false,
            probe: Probe::Http(http(url)),
        },
        revision: 1,
        transition: 0,
        status: EndpointStatus { state: State::Unknown, since: 0, last_check: None },
        created_at: 0,
    }
}

/// A store in memory.
#[derive(Clone, Default)]
pub(crate) struct Fake(Arc<Inner>);

#[derive(Default)]
struct Inner {
    revision: AtomicI64,
    endpoints: Mutex<Vec<Endpoint>>,
    checks: Mutex<Vec<Check>>,
    away: AtomicBool,
    lease_taken: AtomicBool,
    hanging: AtomicBool,
    released: AtomicUsize,
}

impl Fake {
    pub fn set(&self, endpoints: Vec<Endpoint>) {
        *self.0.endpoints.lock().expect("lock") = endpoints;
        self.0.revision.fetch_add(1, Ordering::SeqCst);
    }

    pub fn checks(&self) -> Vec<Check> {
        self.0.checks.lock().expect("lock").clone()
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

    /// Gives the lease to somebody else, or back.
    pub fn set_lease_taken(&self, taken: bool) {
        self.0.lease_taken.store(taken, Ordering::SeqCst);
    }

    pub fn released(&self) -> usize {
        self.0.released.load(Ordering::SeqCst)
    }

    fn here(&self) -> Result<()> {
        match self.0.away.load(Ordering::SeqCst) {
            true => Err(StoreError::Overloaded),
            false => Ok(()),
        }
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

    async fn record(&self, checks: &[Check]) -> Result<()> {
        while self.0.hanging.load(Ordering::SeqCst) {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        self.here()?;
        self.0.checks.lock().expect("lock").extend_from_slice(checks);
        Ok(())
    }

    async fn hold(&self, _: &Lease) -> Result<bool> {
        self.here()?;
        Ok(!self.0.lease_taken.load(Ordering::SeqCst))
    }

    async fn release(&self, _: &Lease) -> Result<()> {
        self.0.released.fetch_add(1, Ordering::SeqCst);
        Ok(())
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
