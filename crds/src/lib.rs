//! The two kinds of `watchkeeper.dev/v1alpha1`: their types, defaults, CEL rules
//! and conditions, and a reader of manifests that judges them as the API server would.
//!
//! Doc comments on fields become the descriptions that `kubectl explain` shows.

// Every printer column has a name and a type, which the lint takes for one attribute twice.
#![allow(clippy::duplicated_attributes)]
#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod analytics_instance;
pub mod autoscaling;
pub mod backup;
pub mod common;
pub mod discovery;
pub mod durations;
pub mod gateway;
pub mod manifest;
pub mod monitored_endpoint;
pub mod notifications;
pub mod observability;
pub mod probe_networks;
pub mod schema;
pub mod services;
#[cfg(test)]
mod testing;

pub use analytics_instance::{AnalyticsInstance, AnalyticsInstanceSpec, AnalyticsInstanceStatus};
pub use common::{Component, ImageSpec, SecretKeyRef, Toggle};
pub use durations::TimeSpan;
pub use monitored_endpoint::{MonitoredEndpoint, MonitoredEndpointSpec, MonitoredEndpointStatus};

/// API group of both kinds.
pub const GROUP: &str = "watchkeeper.dev";
/// The served and stored version of both kinds.
pub const VERSION: &str = "v1alpha1";
