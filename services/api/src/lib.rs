//! The read path: what people, dashboards and programs ask of the store, and the
//! interface that the operator manages endpoints and projects by.

mod answers;
mod auth;
pub mod channel_spec;
mod countries;
pub mod endpoint_spec;
mod limits;
mod period;
mod rooms;
mod routes;
mod session;
mod state;
mod times;

use watchkeeper_runtime::{guesses, peer};

pub use auth::AuthConfig;
pub use routes::monitoring::{Cors, FieldProblem, MonitoringAccess, MonitoringEndpoint, MonitoringOptions};
pub use routes::{protect, router};
pub use state::{Api, ApiOptions};
