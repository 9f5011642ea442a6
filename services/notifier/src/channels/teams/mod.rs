//! Microsoft Teams: an Adaptive Card to the webhook of a workflow.
//! <https://learn.microsoft.com/microsoftteams/platform/webhooks-and-connectors/how-to/add-incoming-webhook>

use serde_json::{Value, json};
use watchkeeper_crds::notifications::IncomingWebhook;

use crate::{
    failure::Failure,
    http::Http,
    message::{Message, Severity, cut, cut_bytes, without_links},
};

/// A message may have 28 KB in all: bytes of the text, and lines, each of which becomes a block.
const LONGEST: (usize, usize) = (16_000, 60);

pub async fn send(http: &Http, config: &IncomingWebhook, message: &Message) -> Result<(), Failure> {
    http.send(http.post(config.url.get()).json(&body(message))).await.map(|_| ())
}

fn body(message: &Message) -> Value {
    let color = match message.severity() {
        Severity::Critical => "Attention",
        Severity::Warning => "Warning",
        Severity::Resolved => "Good",
        Severity::Info => "Accent",
    };
    let title = json!({
        "type": "TextBlock", "size": "Large", "weight": "Bolder", "wrap": true, "color": color,
        "text": cut(&without_links(&message.title()), 500),
    });
    // One block a line: in a block of its own, a line break is not lost.
    let text = cut_bytes(&without_links(&message.lines().join("\n")), LONGEST.0);
    let mut lines: Vec<&str> = text.lines().take(LONGEST.1 + 1).collect();
    if let Some(last) = lines.get_mut(LONGEST.1) {
        *last = "…";
    }
    let lines = lines.iter().map(|line| json!({ "type": "TextBlock", "wrap": true, "text": line }));
    let blocks: Vec<Value> = std::iter::once(title).chain(lines).collect();
    json!({
        "type": "message",
        "attachments": [{
            "contentType": "application/vnd.microsoft.card.adaptive",
            "content": {
                "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
                "type": "AdaptiveCard",
                "version": "1.4",
                "body": blocks,
            },
        }],
    })
}
