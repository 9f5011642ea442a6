//! Telegram, by a bot. <https://core.telegram.org/bots/api#sendmessage>

use serde_json::{Value, json};
use watchkeeper_crds::notifications::Telegram;

use crate::{
    failure::Failure,
    http::Http,
    message::{Message, cut},
    template,
};

/// Longest text, characters.
const LONGEST: usize = 4_096;

pub async fn send(http: &Http, config: &Telegram, message: &Message) -> Result<(), Failure> {
    let url = format!("{}/bot{}/sendMessage", config.api_url.trim_end_matches('/'), config.bot_token.get());
    let mut sent = http.send(http.post(&url).json(&body(config, message))).await;
    if let (Err(refused), Some(_)) = (&sent, &config.parse_mode)
        && refused.permanent
    {
        // A name may have what the parse mode takes for a mark of its own.
        let plain = Telegram { parse_mode: None, ..config.clone() };
        sent = http.send(http.post(&url).json(&body(&plain, message))).await;
    }
    let answer = sent?;
    let answer: Value = serde_json::from_slice(&answer).unwrap_or_default();
    if answer["ok"] == json!(true) {
        return Ok(());
    }
    let description = answer["description"].as_str().unwrap_or("no reason given");
    Err(Failure::passing(format!("it did not take the message: {description}")))
}

/// Without a parse mode a text is what it is, whatever characters it has.
fn body(config: &Telegram, message: &Message) -> Value {
    let template = if message.resolves() { &config.recovery_template } else { &config.template };
    let text = template::text(template.as_deref(), message).unwrap_or_else(|| message.text());
    let mut body = json!({
        "chat_id": config.chat_id,
        "text": cut(&text, LONGEST),
        "link_preview_options": { "is_disabled": true },
    });
    if let Some(thread) = config.thread_id {
        body["message_thread_id"] = json!(thread);
    }
    if let Some(mode) = &config.parse_mode {
        body["parse_mode"] = json!(mode);
    }
    body
}
