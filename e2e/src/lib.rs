//! What several end-to-end tests share. The processes that they run are the business of
//! `watchkeeper-testkit`.

pub mod browser;
pub mod clients;
pub mod fixed_host;
pub mod kinds;
pub mod kubeconform;
pub mod load;
pub mod lua;
pub mod oracles;
pub mod prometheus;
pub mod promql;
pub mod promtool;
pub mod proxy;
pub mod resend;
pub mod sinks;
pub mod stores;
pub mod targets;
pub mod upstream;
pub mod watched;
