//! A website's views, as site-analytics takes them: what a view is as a hit, the log beside the
//! store, and what is learnt late about the addresses that asked.

mod classify;
mod hit;
mod import;
mod log;
mod metrics;
mod processor;
mod reverse_dns;

pub use classify::{agent_is_bot, host_is_bot};
pub(crate) use hit::{hit, time};
pub use import::{ImportError, Imported, import};
pub use log::TrafficLog;
pub use metrics::SiteMetrics;
pub use processor::{Processed, Processor, ProcessorOptions};
pub use reverse_dns::{Name, ReverseDns, ReverseDnsError};
