//! What the unit tests of several parts of the kinds share.

use serde_json::Value;

use crate::AnalyticsInstance;

/// An instance with this spec, or what its rules say against it.
pub fn judged(spec: Value) -> Result<AnalyticsInstance, String> {
    let instance = AnalyticsInstance::new("shop", serde_json::from_value(spec).unwrap());
    match instance.validate_cel() {
        Ok(()) => Ok(instance),
        Err(error) => Err(error.to_string()),
    }
}
