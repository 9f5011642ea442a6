//! One file a protocol: bytes in, rows out, no I/O.

pub mod api_analytics;
pub mod site_analytics;
pub(crate) mod text;
