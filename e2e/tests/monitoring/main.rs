//! A `watchkeeper local` in the place of api-monitoring-system: the real binary by its file, watched
//! targets and sinks of notices that are real servers, on both stores.
#![allow(clippy::unwrap_used)]

#[macro_use]
mod harness;

mod checks;
mod client;
mod configuration;
mod notices;
mod process;
