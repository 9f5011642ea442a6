//! An Axum 0.7 application watched by the published `axum-analytics` crate 1.2.0, the last one whose
//! server can be chosen.

use std::net::SocketAddr;
use std::time::Duration;

use axum_analytics::Analytics;

use axum::Router;
use axum::http::StatusCode;
use axum::routing::{delete, get, post, put};
use watchkeeper_e2e_clients::Settings;

async fn slow() -> &'static str {
    tokio::time::sleep(Duration::from_millis(120)).await;
    "ok"
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> std::io::Result<()> {
    // This release has no hook for users.
    let Settings { server_url, api_key, port, privacy_level, .. } = Settings::from_env()?;
    let analytics = Analytics::new(api_key).with_server_url(server_url).with_privacy_level(privacy_level);
    let app = Router::new()
        .route("/ok", get(|| async { "ok" }))
        .route("/search", get(|| async { "ok" }))
        .route("/slow", get(slow))
        .route("/poke/:number", get(|| async { "ok" }))
        .route("/items", post(|| async { (StatusCode::CREATED, "7") }))
        .route("/items/7", delete(|| async { StatusCode::NO_CONTENT }))
        .route("/users/update", put(|| async { "ok" }))
        .layer(analytics);
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", port)).await?;
    axum::serve(listener, app.into_make_service_with_connect_info::<SocketAddr>()).await
}
