//! The write path: decoding what clients send, enriching it, and batching it
//! into the store. A 201 means that the hits survive the death of every process.

pub mod decode;
pub mod enrich;
mod keys;
mod maintenance;
mod metrics;
mod routes;

pub use keys::Signup;
pub use maintenance::maintain;
pub use metrics::LoggerMetrics;
pub use routes::{Bounds, Logger, health, router};
