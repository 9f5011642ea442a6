//! The story of a user, in real pods on a real node: install it, send traffic, break things, upgrade,
//! uninstall. Each part has its own namespace and can run alone.
#![allow(clippy::unwrap_used)]

mod harness;

mod autoscale;
mod backup;
mod certificates;
mod credentials;
mod database;
mod endpoints;
mod install;
mod leadership;
mod options;
mod policies;
mod reach;
mod reboot;
mod rollout;
mod scrape;
mod storage;
mod traffic;
mod upgrade;
