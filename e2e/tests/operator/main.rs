//! The operator against a real API server, garbage collector and workload controllers.
//!
//! Each test has a namespace and a service account of its own, bound to the generated Role;
//! the API server's audit log tells what the operator asked for. There are no nodes: a
//! stand-in for the kubelet reports the pods as ready.

mod api;
mod autoscaling;
mod backup;
mod certificate;
mod children;
mod credentials;
mod discovery;
mod endpoints;
mod foreign;
mod gateway;
mod harness;
mod kstatus;
mod leadership;
mod lifecycle;
mod metrics;
mod objectives;
mod observability;
mod permissions;
mod real_api;
mod storage;
