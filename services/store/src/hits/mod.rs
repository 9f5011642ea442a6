//! Hits: written by group commit, sealed in the background, read by day.

mod arrivals;
mod columns;
mod damaged;
mod erase;
pub(crate) mod ingest;
mod merge;
mod pack;
mod read;
mod rewrite;
pub(crate) mod seal;
pub(crate) mod spool;
mod texts;

pub use arrivals::Arrivals;
pub use columns::{Batch, BatchId, Batches, ColumnValues, HitColumns, HitFile};
pub use erase::{Erased, Person};
pub use ingest::{Appended, Identity};
pub use read::{Day, Snapshot, Stored};
pub use seal::Sealed;
pub use spool::SpoolStatus;
pub use texts::Texts;

/// Bytes of texts from which no further batch is taken into a group that is written, nor into a portion
/// that is sealed. Either holds its hits, their columns and the file that is made of them at once, a few
/// times as much; ordinary hits reach the bounds on their number first.
const TEXT: usize = 32 << 20;
