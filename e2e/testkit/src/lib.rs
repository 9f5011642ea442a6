//! Real processes for tests: a PostgreSQL server, a Kubernetes control plane and Watchkeeper itself.
//!
//! Nothing here imitates anything. Each piece starts the real program on free ports of the loopback
//! interface, waits until it answers, and sees to it that the program dies with the test process,
//! even when that is killed. Functions block until the thing is ready; they may be called from a
//! plain `#[test]` and from a `#[tokio::test]` alike.
//!
//! Environment: `WATCHKEEPER_CACHE` (where built and fetched programs are kept, by default
//! `~/.cache/watchkeeper`), `WATCHKEEPER_KUBECONFIG` (use this cluster instead of starting one).

pub mod cluster;
pub mod dns;
pub mod helm;
pub mod http;
pub mod mmdb;
pub mod operator;
pub mod paths;
pub mod ports;
pub mod postgres;
pub mod process;
pub mod program;
pub mod rundir;
pub mod service;
pub mod sink;
pub mod user;
pub mod wait;
pub mod watchkeeper;
