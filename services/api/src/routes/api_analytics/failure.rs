//! What may fail while rows are read and written.

use tokio::task::JoinError;
use watchkeeper_runtime::error::ApiError;
use watchkeeper_store::StoreError;

use super::store_error;
use crate::answers::TooLong;

#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Thread(#[from] JoinError),
    #[error(transparent)]
    Write(#[from] std::io::Error),
    #[error(transparent)]
    TooLong(#[from] TooLong),
}

impl Failure {
    pub fn into_answer(self) -> ApiError {
        match self {
            Self::Store(error) => store_error(&error),
            Self::Thread(error) => ApiError::internal(&error),
            Self::Write(error) => ApiError::internal(&error),
            Self::TooLong(error) => error.into(),
        }
    }
}

/// Runs what takes processor time on a thread of its own.
pub(super) async fn off_executor<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Failure> {
    Ok(tokio::task::spawn_blocking(work).await?)
}
