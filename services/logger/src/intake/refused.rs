//! Why a post is not taken.

use std::{
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use axum::response::{IntoResponse, Response};
use http::StatusCode;
use watchkeeper_runtime::error::ApiError;
use watchkeeper_store::StoreError;

use super::idempotency;
use crate::LoggerMetrics;

/// Time between two words about posts that the store cannot take: there may be thousands a second.
const QUIET: Duration = Duration::from_secs(10);

/// When the last of them was said.
static TOLD: Mutex<Option<Instant>> = Mutex::new(None);

/// An answer that is an error, and its reason for the metrics.
#[derive(Debug)]
pub(crate) struct Refused {
    pub reason: &'static str,
    pub error: Box<ApiError>,
}

impl Refused {
    pub fn new(reason: &'static str, error: ApiError) -> Self {
        Self { reason, error: Box::new(error) }
    }

    /// 413, with the field that is too large.
    pub fn too_large(message: String, field: &str) -> Self {
        Self::new("too_large", ApiError::new(StatusCode::PAYLOAD_TOO_LARGE, message).field(field))
    }

    /// Counts it, and answers in api-analytics' shape.
    pub fn answer(self, metrics: &LoggerMetrics) -> Response {
        metrics.refused.with_label_values(&[self.reason]).inc();
        self.error.into_response()
    }
}

impl From<StoreError> for Refused {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Overloaded => Self::new(
                "overloaded",
                ApiError::unavailable("Too many requests wait to be stored; send this again."),
            ),
            StoreError::NoProject => Self::new(
                "no_project",
                ApiError::unavailable("The project was deleted just now; send this again."),
            ),
            StoreError::KeyReused => idempotency::refused(),
            StoreError::SpoolFull => Self::new(
                "spool_full",
                ApiError {
                    retry_after: Some(10),
                    ..ApiError::unavailable("The database is away and the spool is full; send this again.")
                },
            ),
            other => {
                if is_time(&mut TOLD.lock().unwrap_or_else(PoisonError::into_inner), Instant::now()) {
                    tracing::error!(error = %other, "hits could not be stored");
                }
                Self::new("store", ApiError::unavailable("Database connection failed."))
            }
        }
    }
}

/// Whether it is time for another word at `now`, which is noted.
fn is_time(told: &mut Option<Instant>, now: Instant) -> bool {
    let is_time = told.is_none_or(|at| now.duration_since(at) >= QUIET);
    if is_time {
        *told = Some(now);
    }
    is_time
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_that_lasts_is_told_every_ten_seconds_and_not_for_each_post() {
        let (mut told, start) = (None, Instant::now());
        let said = (0..250).filter(|post| is_time(&mut told, start + Duration::from_millis(post * 100)));
        assert_eq!(said.collect::<Vec<_>>(), [0, 100, 200]);
    }
}
