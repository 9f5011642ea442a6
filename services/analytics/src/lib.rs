//! The questions one can ask of hits, and their answers. Questions are data;
//! every protocol's routes translate into them.

mod filter;
mod page;
mod summary;

pub use filter::Filter;
pub use page::{Page, visit};
pub use summary::{Summary, summarize};
