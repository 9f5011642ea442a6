//! Hits: written by group commit, sealed in the background, read by day.

mod arrivals;
mod columns;
mod erase;
pub(crate) mod ingest;
mod merge;
mod read;
pub(crate) mod seal;
pub(crate) mod spool;
mod texts;

pub use arrivals::Arrivals;
pub use columns::{Batch, BatchId, Batches, ColumnValues, HitColumns, HitFile};
pub use erase::{Erased, Person};
pub use ingest::{Appended, Identity};
pub use read::{Day, Snapshot, Stored};
pub use spool::SpoolStatus;
pub use texts::Texts;
