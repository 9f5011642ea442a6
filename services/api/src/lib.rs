//! The read path: what people, dashboards and programs ask of the store, and the
//! interface that the operator manages endpoints and projects by.

mod auth;
mod countries;
pub mod endpoint_spec;
mod period;
mod routes;
mod session;
mod state;
mod times;

pub use auth::AuthConfig;
pub use routes::{protect, router};
pub use state::{Api, ApiOptions};
