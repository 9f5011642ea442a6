//! Any HTTP server. `Idempotency-Key` is the same at every attempt to send a
//! message, so that a server that keeps it takes each message once.

use reqwest::Method;
use serde_json::{Value, json};
use watchkeeper_crds::notifications::{Webhook, WebhookMethod};

use crate::{failure::Failure, http::Http, message::Message, template};

pub async fn send(http: &Http, config: &Webhook, message: &Message) -> Result<(), Failure> {
    let method = match config.method {
        WebhookMethod::Post => Method::POST,
        WebhookMethod::Put => Method::PUT,
        WebhookMethod::Patch => Method::PATCH,
        WebhookMethod::Get => Method::GET,
    };
    let mut request = http
        .request(method, config.url.get())
        .header("content-type", &config.content_type)
        .header("idempotency-key", &message.delivery);
    for header in &config.headers {
        request = request.header(&header.name, header.value.as_deref().unwrap_or_default());
    }
    if config.method != WebhookMethod::Get {
        request = request.body(body(config, message));
    }
    http.send(request).await.map(|_| ())
}

/// The template filled in, or everything as JSON where there is none or where it
/// does not become the JSON that its type promises.
fn body(config: &Webhook, message: &Message) -> String {
    let chosen = if message.resolves() { config.recovery_template.as_ref() } else { None };
    let template = chosen.or(config.template.as_ref());
    let json = config.content_type.to_ascii_lowercase().contains("json");
    template
        .and_then(|template| template::fill(template, &template::values(message), json))
        .unwrap_or_else(|| whole(message).to_string())
}

/// Everything that a message tells.
fn whole(message: &Message) -> Value {
    let endpoints: Vec<Value> = message
        .items
        .iter()
        .map(|item| {
            json!({
                "key": item.key,
                "name": item.name,
                "reference": item.reference,
                "group": item.group,
                "url": item.target,
                "labels": item.labels,
                "from": item.from,
                "to": item.to,
                "at": item.time(),
                "lastedSeconds": item.lasted.as_secs(),
                "error": item.message,
                "statusCode": item.status,
            })
        })
        .collect();
    let mut whole = json!({
        "delivery": message.delivery,
        "kind": message.kind,
        "title": message.title(),
        "text": message.text(),
        "endpoints": endpoints,
    });
    // As a template names them, for programs that know one endpoint a message.
    for (name, value) in template::values(message) {
        if ["endpoint_name", "url", "error", "timestamp"].contains(&name) {
            whole[name] = value.into();
        }
    }
    whole
}
