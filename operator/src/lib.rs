//! The Watchkeeper operator: keeps installations running and tells them what to watch.
//!
//! Each kind has a folder with one file per phase: dereference, validate, build, apply,
//! prune, status. `build` never sees a client.

#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod admissions;
pub mod analytics_instance;
pub mod cli;
pub mod conditions;
pub mod context;
pub mod discovery;
pub mod events;
pub mod foreign;
pub mod gate;
pub mod health;
pub mod labels;
pub mod lease;
pub mod metrics;
pub mod monitored_endpoint;
pub mod rbac;
pub mod recent;
pub mod retry;
pub mod run;
pub mod served;
pub mod status_patch;
pub mod stores;
pub mod telemetry;
pub mod watch;

pub use run::{Options, run};
