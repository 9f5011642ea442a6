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
        // A template may have marks that the parse mode does not understand, or be cut within one.
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

/// Without a parse mode a text is what it is, whatever characters it has; with one only a template has marks.
fn body(config: &Telegram, message: &Message) -> Value {
    let template = if message.resolves() { &config.recovery_template } else { &config.template };
    let escape = |text: &str| escaped(config.parse_mode.as_deref(), text);
    let text =
        template::text(template.as_deref(), message, escape).unwrap_or_else(|| escape(&message.text()));
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

/// A text of which nothing is a mark of the parse mode.
/// <https://core.telegram.org/bots/api#formatting-options>
fn escaped(parse_mode: Option<&str>, text: &str) -> String {
    let marks = match parse_mode.map(str::to_ascii_lowercase).as_deref() {
        Some("html") => return text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;"),
        Some("markdownv2") => r"\_*[]()~`>#+-=|{}.!",
        Some("markdown") => "_*`[",
        _ => return text.to_owned(),
    };
    text.chars().flat_map(|c| marks.contains(c).then_some('\\').into_iter().chain([c])).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_target_says_is_no_mark_of_the_parse_mode() {
        let said = "<b>a_b</b> & [x](y).";
        let written = |mode| escaped(mode, said);
        assert_eq!(written(None), said);
        assert_eq!(written(Some("HTML")), "&lt;b&gt;a_b&lt;/b&gt; &amp; [x](y).");
        assert_eq!(written(Some("Markdown")), "<b>a\\_b</b> & \\[x](y).");
        assert_eq!(written(Some("MarkdownV2")), "<b\\>a\\_b</b\\> & \\[x\\]\\(y\\)\\.");
    }
}
