//! HTTP as every service speaks it: observed, bounded, and drained at shutdown.

mod charset;
pub mod cors;
mod fallback;
mod observe;
mod paced;
mod serve;
mod timely;

pub use charset::json_charset;
pub use fallback::{finish, not_found};
pub use observe::{HttpMetrics, Quiet};
pub use serve::{Limits, bind, serve};
pub use timely::timely;
