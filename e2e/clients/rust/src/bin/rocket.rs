//! A Rocket application watched by the published `rocket-analytics` crate.

use std::time::Duration;

use rocket::http::Status;
use rocket::{Config, Request, delete, get, post, put, routes};
use rocket_analytics::Analytics;
use watchkeeper_e2e_clients::Settings;

#[get("/ok")]
fn ok() -> &'static str {
    "ok"
}

#[get("/search")]
fn search() -> &'static str {
    "ok"
}

#[get("/slow")]
async fn slow() -> &'static str {
    tokio::time::sleep(Duration::from_millis(120)).await;
    "ok"
}

#[get("/poke/<number>")]
fn poke(number: u64) -> String {
    number.to_string()
}

#[post("/items")]
fn create_item() -> (Status, &'static str) {
    (Status::Created, "7")
}

#[delete("/items/7")]
fn delete_item() -> Status {
    Status::NoContent
}

#[put("/users/update")]
fn update_user() -> &'static str {
    "ok"
}

#[rocket::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let Settings { server_url, api_key, port, privacy_level, user_id_header } = Settings::from_env()?;
    let mut analytics = Analytics::new(api_key).with_server_url(server_url).with_privacy_level(privacy_level);
    if let Some(header) = user_id_header {
        analytics = analytics.with_user_id_mapper(move |request: &Request<'_>| {
            request.headers().get_one(&header).unwrap_or_default().to_owned()
        });
    }
    rocket::build()
        .configure(Config { port, log_level: rocket::config::LogLevel::Critical, ..Config::debug_default() })
        .attach(analytics)
        .mount("/", routes![ok, search, slow, poke, create_item, delete_item, update_user])
        .launch()
        .await?;
    Ok(())
}
