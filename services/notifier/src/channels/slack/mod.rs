//! Slack, by an incoming webhook.
//! <https://docs.slack.dev/messaging/sending-messages-using-incoming-webhooks>

use serde_json::{Value, json};
use watchkeeper_crds::notifications::IncomingWebhook;

use crate::{
    failure::Failure,
    http::Http,
    message::{Message, Severity, cut},
};

/// Slack cuts longer texts.
const LONGEST: usize = 3_000;

pub async fn send(http: &Http, config: &IncomingWebhook, message: &Message) -> Result<(), Failure> {
    http.send(http.post(config.url.get()).json(&body(message))).await.map(|_| ())
}

fn body(message: &Message) -> Value {
    let color = match message.severity() {
        Severity::Critical => "danger",
        Severity::Warning => "warning",
        Severity::Resolved => "good",
        Severity::Info => "#439fe0",
    };
    let title = escaped(&message.title());
    let text = escaped(&cut(&message.lines().join("\n"), LONGEST));
    json!({
        "text": format!("*{title}*"),
        "attachments": [{ "color": color, "fallback": title, "text": text }],
    })
}

/// The three characters that mean something to Slack.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}
