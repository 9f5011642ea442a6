//! ntfy. <https://docs.ntfy.sh/publish/#publish-as-json>

use serde_json::{Value, json};
use watchkeeper_crds::notifications::Ntfy;

use crate::{
    failure::Failure,
    http::Http,
    message::{Message, Severity, cut, cut_bytes},
};

/// Longest title, characters, and message, bytes; a longer message becomes an attachment.
const LONGEST: (usize, usize) = (250, 3_500);

pub async fn send(http: &Http, config: &Ntfy, message: &Message) -> Result<(), Failure> {
    let mut request = http.post(config.server.trim_end_matches('/')).json(&body(config, message));
    if let Some(token) = &config.token {
        request = request.bearer_auth(token.get());
    }
    http.send(request).await.map(|_| ())
}

fn body(config: &Ntfy, message: &Message) -> Value {
    let (priority, tag) = match message.severity() {
        Severity::Critical => (5, "rotating_light"),
        Severity::Warning => (4, "warning"),
        Severity::Resolved => (3, "white_check_mark"),
        Severity::Info => (2, "information_source"),
    };
    json!({
        "topic": config.topic.get(),
        "title": cut(&message.title(), LONGEST.0),
        "message": cut_bytes(&message.lines().join("\n"), LONGEST.1),
        "priority": priority,
        "tags": [tag],
    })
}
