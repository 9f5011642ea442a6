//! What every database behind the store must do, run on each of them.

#[macro_use]
#[path = "../common/mod.rs"]
mod common;

mod harness;

mod addresses;
mod endpoints;
mod hits;
mod installation;
mod once;
mod projects;
