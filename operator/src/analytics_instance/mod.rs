//! `AnalyticsInstance`: dereference → validate → build → apply → prune → status.

pub mod applied;
pub mod apply;
pub mod backup;
pub mod build;
pub mod certificate;
pub mod child;
pub mod controller;
pub mod dereference;
pub mod diff;
pub mod notifications;
pub mod objectives;
pub mod plan;
pub mod projects;
pub mod prune;
pub mod replicas;
pub mod route;
pub mod status;
pub mod storage;
pub mod validate;
