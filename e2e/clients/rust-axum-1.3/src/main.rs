//! An Axum 0.8 application watched by the published `axum-analytics` crate 1.3.2, which posts to its
//! default host whatever server it is given.

use std::env;
use std::net::SocketAddr;
use std::time::Duration;

use axum::Router;
use axum::extract::Request;
use axum::http::StatusCode;
use axum::routing::{delete, get, post, put};
use axum_analytics::Analytics;

async fn slow() -> &'static str {
    tokio::time::sleep(Duration::from_millis(120)).await;
    "ok"
}

fn variable(name: &str) -> std::io::Result<String> {
    env::var(name).map_err(|error| std::io::Error::other(format!("{name}: {error}")))
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> std::io::Result<()> {
    let port: u16 = variable("PORT")?.parse().map_err(std::io::Error::other)?;
    let mut analytics = Analytics::new(variable("API_KEY")?);
    if let Ok(level) = env::var("PRIVACY_LEVEL") {
        analytics = analytics.with_privacy_level(level.parse().map_err(std::io::Error::other)?);
    }
    if let Ok(header) = env::var("USER_ID_HEADER") {
        analytics = analytics.with_user_id_mapper(move |request: &Request| {
            let user = request.headers().get(&header).and_then(|user| user.to_str().ok());
            user.unwrap_or_default().to_owned()
        });
    }
    let app = Router::new()
        .route("/ok", get(|| async { "ok" }))
        .route("/search", get(|| async { "ok" }))
        .route("/slow", get(slow))
        .route("/poke/{number}", get(|| async { "ok" }))
        .route("/items", post(|| async { (StatusCode::CREATED, "7") }))
        .route("/items/7", delete(|| async { StatusCode::NO_CONTENT }))
        .route("/users/update", put(|| async { "ok" }))
        .layer(analytics);
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", port)).await?;
    axum::serve(listener, app.into_make_service_with_connect_info::<SocketAddr>()).await
}
