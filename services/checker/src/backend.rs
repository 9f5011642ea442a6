//! What the checker needs of the store, as a trait, so that tests can take
//! the store away.

use watchkeeper_store::{Check, Endpoint, Lease, Result, Store};

/// Where endpoints come from and results go.
pub trait Backend: Clone + Send + Sync + 'static {
    /// A number that changes whenever an endpoint is added, changed or deleted.
    fn revision(&self) -> impl Future<Output = Result<i64>> + Send;
    /// All endpoints.
    fn endpoints(&self) -> impl Future<Output = Result<Vec<Endpoint>>> + Send;
    /// Stores results, all or nothing.
    fn record(&self, checks: &[Check]) -> impl Future<Output = Result<()>> + Send;
    /// Takes or renews the lease; whether it is held now.
    fn hold(&self, lease: &Lease) -> impl Future<Output = Result<bool>> + Send;
    /// Gives the lease up.
    fn release(&self, lease: &Lease) -> impl Future<Output = Result<()>> + Send;
}

impl Backend for Store {
    async fn revision(&self) -> Result<i64> {
        self.endpoints_revision().await
    }

    async fn endpoints(&self) -> Result<Vec<Endpoint>> {
        Store::endpoints(self).await
    }

    async fn record(&self, checks: &[Check]) -> Result<()> {
        self.record_checks(checks).await
    }

    async fn hold(&self, lease: &Lease) -> Result<bool> {
        Store::hold(self, lease).await
    }

    async fn release(&self, lease: &Lease) -> Result<()> {
        Store::release(self, lease).await
    }
}
