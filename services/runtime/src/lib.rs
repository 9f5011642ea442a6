//! What every Watchkeeper service shares: telemetry, metrics, health, a bounded
//! HTTP server and graceful shutdown.

pub mod error;
pub mod field_errors;
pub mod guesses;
pub mod health;
pub mod http;
pub mod idempotency;
pub mod networks;
pub mod patience;
pub mod peer;
pub mod secret;
pub mod shutdown;
pub mod telemetry;

/// The product's version, as every component reports it.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Base name of the product in `User-Agent` headers, followed by [`VERSION`].
pub const USER_AGENT: &str = concat!("Watchkeeper/", env!("CARGO_PKG_VERSION"));
