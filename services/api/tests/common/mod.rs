//! An API with a logger beside it, over one store.
#![allow(dead_code)] // No test uses all of it.

#[path = "../../../logger/tests/common/mod.rs"]
mod shared;

use std::io::Read;

use flate2::read::GzDecoder;
use serde_json::Value;
use uuid::Uuid;
use watchkeeper_analytics::Analytics;
use watchkeeper_api::{Api, ApiOptions, AuthConfig};
use watchkeeper_logger::{Bounds, Logger, Signup, health};
use watchkeeper_runtime::{http::finish, secret::Secret};
use watchkeeper_store::Store;

pub use shared::*;

/// The administrator's token.
pub const TOKEN: &str = "t0ken-of-the-administrator";
/// The administrator's header.
pub const ADMIN: (&str, &str) = ("authorization", "Bearer t0ken-of-the-administrator");

pub fn options() -> ApiOptions {
    let auth = AuthConfig { admin_token: Secret::new(TOKEN), open_overview: false };
    ApiOptions { site: site_access(), ..ApiOptions::new(auth, true) }
}

/// A client of everything that one installation answers.
pub async fn client_with(store: &Store, options: ApiOptions) -> Client {
    client_of(store, options, logger(store, Signup::Open, 0, Bounds::default()).await)
}

/// The same with a logger of one's own.
pub fn client_of(store: &Store, options: ApiOptions, logger: Logger) -> Client {
    client_asking(Analytics::new(store.clone()), options, logger)
}

/// The same with an engine of one's own.
pub fn client_asking(analytics: Analytics, options: ApiOptions, logger: Logger) -> Client {
    let store = analytics.store().clone();
    let api = Api::new(analytics, options, || {});
    let routes = watchkeeper_logger::router(logger.clone())
        .merge(site_route(&store, logger, None))
        .merge(watchkeeper_api::router(api));
    Client(finish(routes.merge(health(store))))
}

pub async fn client(store: &Store) -> Client {
    client_with(store, options()).await
}

/// A fresh key with its user id.
pub async fn account(client: &Client) -> (Uuid, Uuid) {
    let uuid =
        |answer: Answer| answer.json().as_str().and_then(|text| text.parse().ok()).expect("a UUID in quotes");
    let key: Uuid = uuid(client.get("/api/generate").await);
    (key, uuid(client.get(&format!("/api/user-id/{key}")).await))
}

/// Logs rows and asserts that they were taken.
#[track_caller]
pub fn log(client: &Client, key: Uuid, rows: &Value) -> impl Future<Output = ()> {
    let (client, body) = (client.clone(), batch(key, rows));
    async move { client.post("/api/log-request", &body).await.says(201, "API requests logged successfully.") }
}

/// The text of a compressed answer, which the dashboard's data always is.
#[track_caller]
pub fn unzip(answer: &Answer) -> String {
    assert_eq!((answer.status, answer.header("content-encoding")), (200, Some("gzip")));
    let mut text = String::new();
    GzDecoder::new(answer.body.as_slice()).read_to_string(&mut text).expect("gzip");
    text
}
