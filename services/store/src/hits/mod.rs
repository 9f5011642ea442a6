//! Hits: written by group commit, sealed in the background, read by day.

pub(crate) mod ingest;
mod read;
pub(crate) mod seal;

pub use read::{Day, Snapshot, Stored};
