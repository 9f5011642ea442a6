//! The write path: decoding what clients send, enriching it, and batching it
//! into the store. A 201 means that the hits survive the death of every process.

pub mod decode;
mod document;
pub mod enrich;
mod intake;
mod keys;
mod maintenance;
mod metrics;
mod policy;
mod routes;
mod salts;
pub mod site;
mod spool;

pub use document::openapi;
pub use intake::{Bounds, Logger};
pub use keys::Signup;
pub use maintenance::maintain;
pub use metrics::LoggerMetrics;
pub use routes::{Site, health, router, site_router};
pub use salts::Salts;
pub use spool::register_spool;
