//! A body of whatever content type.

use axum::{
    body::Bytes,
    extract::{FromRequest, Request},
};
use watchkeeper_runtime::error::ApiError;

/// A whole body; one that is too long is refused as every error is, in JSON.
pub(super) struct Payload(pub Bytes);

impl<S: Send + Sync> FromRequest<S> for Payload {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> Result<Self, ApiError> {
        Bytes::from_request(request, state)
            .await
            .map(Self)
            .map_err(|refused| ApiError::new(refused.status(), refused.body_text()))
    }
}
