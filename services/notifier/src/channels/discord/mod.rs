//! Discord, by a webhook.
//! <https://discord.com/developers/docs/resources/webhook#execute-webhook>

use serde_json::{Value, json};
use watchkeeper_crds::notifications::IncomingWebhook;

use crate::{
    failure::Failure,
    http::Http,
    message::{Message, Severity, cut, without_links},
};

/// Longest title and description of an embed, characters.
const LONGEST: (usize, usize) = (256, 4_096);

pub async fn send(http: &Http, config: &IncomingWebhook, message: &Message) -> Result<(), Failure> {
    // With `wait`, the answer says whether the message was stored.
    let request = http.post(config.url.get()).query(&[("wait", "true")]).json(&body(message));
    http.send(request).await.map(|_| ())
}

fn body(message: &Message) -> Value {
    let color = match message.severity() {
        Severity::Critical => 0x00d7_263d,
        Severity::Warning => 0x00f4_a261,
        Severity::Resolved => 0x002e_933c,
        Severity::Info => 0x0043_9fe0,
    };
    json!({
        "embeds": [{
            "title": cut(&message.title(), LONGEST.0),
            "description": cut(&without_links(&message.lines().join("\n")), LONGEST.1),
            "color": color,
            "timestamp": message.items.first().map(crate::message::Item::time),
        }],
        // A name that looks like a mention wakes nobody.
        "allowed_mentions": { "parse": [] },
    })
}
