//! An Actix application watched by the published `actix-analytics` crate.

use actix_analytics::Analytics;
use actix_web::{App, HttpResponse, HttpServer, Responder, web};
use std::time::Duration;
use watchkeeper_e2e_clients::Settings;

async fn ok() -> impl Responder {
    HttpResponse::Ok().body("ok")
}

async fn slow() -> impl Responder {
    actix_web::rt::time::sleep(Duration::from_millis(120)).await;
    HttpResponse::Ok().body("ok")
}

async fn create_item() -> impl Responder {
    HttpResponse::Created().body("7")
}

async fn delete_item() -> impl Responder {
    HttpResponse::NoContent()
}

#[actix_web::main]
async fn main() -> std::io::Result<()> {
    let Settings { server_url, api_key, port } = Settings::from_env()?;

    HttpServer::new(move || {
        App::new()
            .wrap(Analytics::new(api_key.clone()).with_server_url(server_url.clone()))
            .route("/ok", web::get().to(ok))
            .route("/search", web::get().to(ok))
            .route("/slow", web::get().to(slow))
            .route("/poke/{number}", web::get().to(ok))
            .route("/items", web::post().to(create_item))
            .route("/items/7", web::delete().to(delete_item))
            .route("/users/update", web::put().to(ok))
    })
    // The client keeps one buffer per worker; one worker makes its flush predictable.
    .workers(1)
    .bind(("127.0.0.1", port))?
    .run()
    .await
}
