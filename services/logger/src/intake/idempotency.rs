//! `Idempotency-Key`, as the IETF's draft has it: a request that is sent again
//! under its key is answered as the first was and stored once; another request
//! under the same key is a mistake (422).

use http::{HeaderMap, StatusCode};
use sha2::{Digest, Sha256};
use watchkeeper_runtime::error::ApiError;
use watchkeeper_store::Identity;

use super::Refused;

/// The header.
pub(super) const HEADER: &str = "Idempotency-Key";

/// Longest key, bytes.
const LONGEST: usize = 255;

/// The identity that a client has given to a request with this body, if it has.
pub(crate) fn identity(headers: &HeaderMap, body: &[u8]) -> Result<Option<Identity>, Refused> {
    let Some(value) = headers.get(HEADER) else { return Ok(None) };
    // A string of structured fields, with its quotes, or whatever else the client has.
    let value = value.as_bytes().trim_ascii();
    let key = value.strip_prefix(b"\"").and_then(|rest| rest.strip_suffix(b"\"")).unwrap_or(value);
    if key.is_empty() || key.len() > LONGEST {
        let message = format!("An idempotency key has 1 to {LONGEST} bytes, such as a UUID.");
        return Err(Refused::new("idempotency_key", ApiError::bad_request(message).field(HEADER)));
    }
    Ok(Some(Identity::Key { key: key.to_vec(), payload: Sha256::digest(body).into() }))
}

/// The answer to a key that stands for another request.
pub(super) fn reused() -> Refused {
    let message = "This idempotency key was used for another payload; give each payload a key of its own.";
    let error = ApiError::new(StatusCode::UNPROCESSABLE_ENTITY, message).field(HEADER);
    Refused::new("idempotency_key", error)
}
