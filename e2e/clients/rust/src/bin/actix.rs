//! An Actix application watched by the published `actix-analytics` crate.

use actix_analytics::Analytics;
use actix_web::dev::ServiceRequest;
use actix_web::{App, HttpResponse, HttpServer, Responder, web};
use std::time::Duration;
use watchkeeper_e2e_clients::Settings;

fn analytics(settings: &Settings) -> Analytics {
    let analytics = Analytics::new(settings.api_key.clone())
        .with_server_url(settings.server_url.clone())
        .with_privacy_level(settings.privacy_level);
    let Some(header) = settings.user_id_header.clone() else { return analytics };
    analytics.with_user_id_mapper(move |request: &ServiceRequest| {
        let user = request.headers().get(header.as_str()).and_then(|user| user.to_str().ok());
        user.unwrap_or_default().to_owned()
    })
}

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
    let settings = Settings::from_env()?;
    let port = settings.port;

    HttpServer::new(move || {
        App::new()
            .wrap(analytics(&settings))
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
