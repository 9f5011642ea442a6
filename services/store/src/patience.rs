//! Waiting for the database with an end: one that vanished without a word would
//! otherwise be waited for until the connection's own timeouts, for minutes.

use std::time::Duration;

use crate::{Result, Store, StoreError};

impl Store {
    /// As [`within`]: what takes longer is dropped on Postgres; on SQLite, whose
    /// writes must not be dropped half done, it goes on alone.
    ///
    /// # Errors
    /// As [`within`].
    pub async fn within<T: Send + 'static>(
        &self,
        limit: Duration,
        work: impl Future<Output = Result<T>> + Send + 'static,
    ) -> Result<T> {
        within(limit, !self.is_embedded(), work).await
    }
}

/// Waits for work on a store, at most `limit`. It is a task of its own, which goes
/// on alone when the time is up, unless it may be `dropped` half done.
///
/// # Errors
/// [`StoreError::TooSlow`] when the time is up, or what the work says.
pub async fn within<T: Send + 'static>(
    limit: Duration,
    dropped: bool,
    work: impl Future<Output = Result<T>> + Send + 'static,
) -> Result<T> {
    let mut task = tokio::spawn(work);
    match tokio::time::timeout(limit, &mut task).await {
        Ok(done) => done.map_err(|error| StoreError::Unwritten(error.to_string()))?,
        Err(_) => {
            if dropped {
                task.abort();
            }
            Err(StoreError::TooSlow(limit))
        }
    }
}
