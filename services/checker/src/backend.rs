//! What the checker needs of the store, as a trait, so that tests can take
//! the store away.

use std::collections::HashMap;
use std::time::Duration;

use watchkeeper_store::{Endpoint, Heartbeat, PlannedCheck, Recording, Result, Store, View, within};

/// Where endpoints come from and results go, and where replicas agree on who
/// probes what.
pub trait Backend: Clone + Send + Sync + 'static {
    /// A number that changes whenever an endpoint is added, changed or deleted.
    fn revision(&self) -> impl Future<Output = Result<i64>> + Send;
    /// All endpoints.
    fn endpoints(&self) -> impl Future<Output = Result<Vec<Endpoint>>> + Send;
    /// The newest call of each endpoint that calls by itself.
    fn heartbeats(&self) -> impl Future<Output = Result<HashMap<i64, Heartbeat>>> + Send;
    /// The newest instant for which a check of each endpoint is stored.
    fn newest_planned(&self) -> impl Future<Output = Result<HashMap<i64, i64>>> + Send;
    /// Stores results under a term, all or nothing, each once.
    fn record(&self, term: i64, checks: Vec<PlannedCheck>) -> impl Future<Output = Result<Recording>> + Send;
    /// Joins the replicas; the new term, or `None` while an earlier release probes.
    fn join(&self, holder: &str, ttl: Duration) -> impl Future<Output = Result<Option<i64>>> + Send;
    /// A heartbeat; gives the store's time.
    fn beat(&self, term: i64, ttl: Duration) -> impl Future<Output = Result<i64>> + Send;
    /// A number that changes whenever [`Backend::view`] does but for heartbeats.
    fn view_revision(&self) -> impl Future<Output = Result<i64>> + Send;
    /// Who is there and who owns what.
    fn view(&self) -> impl Future<Output = Result<View>> + Send;
    /// Takes shards that are nobody's; how many.
    fn claim(&self, term: i64, shards: Vec<i64>) -> impl Future<Output = Result<u64>> + Send;
    /// Gives shards back.
    fn release(&self, term: i64, shards: Vec<i64>) -> impl Future<Output = Result<()>> + Send;
    /// Ends a term.
    fn leave(&self, term: i64) -> impl Future<Output = Result<()>> + Send;
    /// Seals results that have arrived; how many.
    fn seal(&self) -> impl Future<Output = Result<u64>> + Send;
    /// Whether work may be dropped half done when it takes too long.
    fn may_be_cancelled(&self) -> bool;
}

/// Waits for work on the store, at most `limit`. It is a task of its own, so
/// that a store whose writes must not be dropped half done goes on with it.
pub(crate) async fn bounded<B: Backend, T: Send + 'static>(
    backend: &B,
    limit: Duration,
    work: impl Future<Output = Result<T>> + Send + 'static,
) -> Result<T> {
    within(limit, backend.may_be_cancelled(), work).await
}

impl Backend for Store {
    async fn revision(&self) -> Result<i64> {
        self.endpoints_revision().await
    }

    async fn endpoints(&self) -> Result<Vec<Endpoint>> {
        Store::endpoints(self).await
    }

    async fn newest_planned(&self) -> Result<HashMap<i64, i64>> {
        Store::newest_planned(self).await
    }

    async fn heartbeats(&self) -> Result<HashMap<i64, Heartbeat>> {
        Store::heartbeats(self).await
    }

    async fn record(&self, term: i64, checks: Vec<PlannedCheck>) -> Result<Recording> {
        self.record_planned(term, checks).await
    }

    async fn join(&self, holder: &str, ttl: Duration) -> Result<Option<i64>> {
        self.join_checkers(holder, ttl).await
    }

    async fn beat(&self, term: i64, ttl: Duration) -> Result<i64> {
        Store::beat(self, term, ttl).await
    }

    async fn view_revision(&self) -> Result<i64> {
        self.checkers_revision().await
    }

    async fn view(&self) -> Result<View> {
        self.checkers().await
    }

    async fn claim(&self, term: i64, shards: Vec<i64>) -> Result<u64> {
        self.claim_shards(term, shards).await
    }

    async fn release(&self, term: i64, shards: Vec<i64>) -> Result<()> {
        self.release_shards(term, shards).await
    }

    async fn leave(&self, term: i64) -> Result<()> {
        self.leave_checkers(term).await
    }

    async fn seal(&self) -> Result<u64> {
        self.seal_checks().await
    }

    fn may_be_cancelled(&self) -> bool {
        !self.is_embedded()
    }
}
