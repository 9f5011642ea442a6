//! What a post is known by when it is sent again: its `Idempotency-Key` and what
//! came under it.

use http::HeaderMap;
use sha2::{Digest, Sha256};
use watchkeeper_runtime::idempotency::{key, reused};
use watchkeeper_store::Identity;

use super::Refused;

/// What the metrics call a key that is none or stands for something else.
const REASON: &str = "idempotency_key";

/// The identity that a client has given to a request of this payload, if it has.
pub(crate) fn identity(headers: &HeaderMap, payload: &[&[u8]]) -> Result<Option<Identity>, Refused> {
    let Some(key) = key(headers).map_err(|error| Refused::new(REASON, error))? else { return Ok(None) };
    let mut digest = Sha256::new();
    payload.iter().for_each(|part| digest.update(part));
    Ok(Some(Identity::Key { key: key.to_vec(), payload: digest.finalize().into() }))
}

/// The answer to a key that stands for another request.
pub(super) fn refused() -> Refused {
    Refused::new(REASON, reused())
}
