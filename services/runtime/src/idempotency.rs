//! `Idempotency-Key`, as the IETF's draft has it: a request that is sent again
//! under its key is answered as the first was and stored once; another request
//! under the same key is a mistake (422).

use http::{HeaderMap, StatusCode};

use crate::error::ApiError;

/// The header.
const HEADER: &str = "Idempotency-Key";

/// Longest key, bytes.
const LONGEST: usize = 255;

/// The key that a client has given to its request, if it has.
///
/// # Errors
/// 400 when it is empty or too long.
pub fn key(headers: &HeaderMap) -> Result<Option<&[u8]>, ApiError> {
    let Some(value) = headers.get(HEADER) else { return Ok(None) };
    // A string of structured fields, with its quotes, or whatever else the client has.
    let value = value.as_bytes().trim_ascii();
    let key = value.strip_prefix(b"\"").and_then(|rest| rest.strip_suffix(b"\"")).unwrap_or(value);
    if key.is_empty() || key.len() > LONGEST {
        let message = format!("An idempotency key has 1 to {LONGEST} bytes, such as a UUID.");
        return Err(ApiError::bad_request(message).field(HEADER));
    }
    Ok(Some(key))
}

/// The answer to a key that stands for another request.
pub fn reused() -> ApiError {
    let message = "This idempotency key was used for another payload; give each payload a key of its own.";
    ApiError::new(StatusCode::UNPROCESSABLE_ENTITY, message).field(HEADER)
}
