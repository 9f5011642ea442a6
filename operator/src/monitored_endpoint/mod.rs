//! `MonitoredEndpoint`: dereference → validate → push → status, and a link to the API of
//! each instance, on which states come back.

pub mod controller;
pub mod dereference;
pub mod finalizer;
pub mod link;
pub mod pace;
pub mod push;
pub mod status;
pub mod validate;
