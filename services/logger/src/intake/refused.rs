//! Why a post is not taken.

use axum::response::{IntoResponse, Response};
use http::StatusCode;
use watchkeeper_runtime::error::ApiError;
use watchkeeper_store::StoreError;

use super::idempotency;
use crate::LoggerMetrics;

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
                tracing::error!(error = %other, "hits could not be stored");
                Self::new("store", ApiError::unavailable("Database connection failed."))
            }
        }
    }
}
