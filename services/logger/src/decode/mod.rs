//! One file a protocol: bytes in, rows out, no I/O.

pub mod api_analytics;
mod text;
