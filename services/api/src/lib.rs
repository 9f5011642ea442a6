//! The read path: what people, dashboards and programs ask of the store, and the
//! interface that the operator manages endpoints and projects by.

mod auth;
pub mod endpoint_spec;
mod routes;
mod state;
mod times;

pub use auth::AuthConfig;
pub use routes::router;
pub use state::{Api, ApiOptions};
