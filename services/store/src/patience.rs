//! Waiting for the database with an end: one that vanished without a word would
//! otherwise be waited for until the connection's own timeouts, for minutes.

use std::time::Duration;

use crate::{Result, Store, StoreError};

impl Store {
    /// Waits for work on this store, at most `limit`. What takes longer is dropped
    /// on Postgres; on SQLite, whose writes must not be dropped half done, it goes
    /// on alone.
    ///
    /// # Errors
    /// [`StoreError::TooSlow`] when the time is up, or what the work says.
    pub async fn within<T: Send + 'static>(
        &self,
        limit: Duration,
        work: impl Future<Output = Result<T>> + Send + 'static,
    ) -> Result<T> {
        let mut task = tokio::spawn(work);
        match tokio::time::timeout(limit, &mut task).await {
            Ok(done) => done.map_err(|error| StoreError::Unwritten(error.to_string()))?,
            Err(_) => {
                if !self.is_embedded() {
                    task.abort();
                }
                Err(StoreError::TooSlow(limit))
            }
        }
    }
}
