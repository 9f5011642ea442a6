//! The write path as api-analytics' clients know it, over the real router and on both stores.

#[macro_use]
#[path = "../common/mod.rs"]
mod common;

mod answers;
mod clients;
mod limits;
mod rows;
mod settings;

use common::{Client, logger};
use watchkeeper_logger::{Bounds, Signup, health, router};
use watchkeeper_runtime::http::finish;
use watchkeeper_store::Store;

const LOGGED: &str = "API requests logged successfully.";
const LOG: &str = "/api/log-request";

async fn client_with(store: &Store, signup: Signup, privacy: u8, bounds: Bounds) -> Client {
    let logger = logger(store, signup, privacy, bounds).await;
    Client(finish(router(logger).merge(health(store.clone()))))
}

async fn client(store: &Store) -> Client {
    client_with(store, Signup::Open, 0, Bounds::default()).await
}
