//! Every channel against a real server: what is sent, once, and what becomes of refusals.
#![allow(clippy::unwrap_used)]

mod harness;

mod cluster;
mod email;
mod kinds;
mod refused;
mod together;
mod told;
