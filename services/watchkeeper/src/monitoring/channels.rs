//! The file's three ways to tell somebody, as channels of this program.

use std::time::Duration;

use anyhow::Context;
use serde_json::{Value, json};
use watchkeeper_api::channel_spec;
use watchkeeper_crds::notifications::Notifications as Manifest;
use watchkeeper_store::alerts::Channel;

use super::config::{Email, Notifications, Telegram, Webhook};

/// What recoveries say, as upstream words them.
const RECOVERY_SUBJECT: &str = "✅ Recovery: {endpoint_name} is back online";
const RECOVERY_TEXT: &str = "✅ {endpoint_name} is back online!\nURL: {url}\nRecovered at: {timestamp}";
const RECOVERY_PAYLOAD: &str = r#"{"status": "recovery", "endpoint_name": "{endpoint_name}", "url": "{url}", "timestamp": "{timestamp}"}"#;

/// The channels that are enabled.
///
/// # Errors
/// When one cannot be used.
pub fn of(told: &Notifications) -> anyhow::Result<Vec<Channel>> {
    if !told.enabled {
        return Ok(Vec::new());
    }
    let mut manifests = Vec::new();
    if told.email.enabled {
        manifests.push(email(&told.email));
    }
    // As many attempts as it says, and none is one of its answers.
    if told.webhook.enabled && told.webhook.retry_count > 0 {
        manifests.push(webhook(&told.webhook));
    }
    if told.telegram.enabled {
        manifests.push(telegram(&told.telegram));
    }
    let manifest = json!({
        "channels": manifests,
        "cooldown": format!("{}s", told.cooldown_seconds),
        "sendRecovery": told.send_recovery,
        "groupWait": "0s",
    });
    let manifest: Manifest = serde_json::from_value(manifest).context("notifications")?;
    let mut channels = channel_spec::channels(&manifest, |_| Err("nothing is referred to here".to_owned()))
        .map_err(|error| anyhow::anyhow!("notifications: {error}"))?;
    for channel in channels.iter_mut().filter(|channel| channel.kind == "webhook") {
        channel.attempts = u32::try_from(told.webhook.retry_count).ok();
        channel.pause = Duration::try_from_secs_f64(told.webhook.retry_delay).ok();
    }
    Ok(channels)
}

fn email(email: &Email) -> Value {
    let address = if email.from_addr.is_empty() { &email.smtp_user } else { &email.from_addr };
    let encryption = match (email.smtp_use_tls, email.smtp_port) {
        (false, _) => "None",
        (true, 465) => "Tls",
        (true, _) => "StartTls",
    };
    let mut config = json!({
        "host": email.smtp_host,
        "port": email.smtp_port,
        "encryption": encryption,
        "from": format!("\"{}\" <{address}>", email.from_name.replace(['"', '\\'], "")),
        "to": email.to_addrs,
        "subjectTemplate": email.subject_template,
        "template": email.body_template,
        "recoverySubjectTemplate": RECOVERY_SUBJECT,
        "recoveryTemplate": RECOVERY_TEXT,
    });
    if !email.smtp_user.is_empty() {
        config["username"] = email.smtp_user.as_str().into();
        config["password"] = json!({ "value": email.smtp_password.expose() });
    }
    json!({ "name": "monitoring-email", "email": config })
}

fn webhook(webhook: &Webhook) -> Value {
    let headers: Vec<Value> =
        webhook.headers.iter().map(|(name, value)| json!({ "name": name, "value": value })).collect();
    json!({ "name": "monitoring-webhook", "webhook": {
        "url": { "value": webhook.url.expose() },
        "method": webhook.method.to_ascii_uppercase(),
        "headers": headers,
        "template": webhook.payload_template,
        "recoveryTemplate": RECOVERY_PAYLOAD,
    } })
}

fn telegram(telegram: &Telegram) -> Value {
    json!({ "name": "monitoring-telegram", "telegram": {
        "botToken": { "value": telegram.bot_token.expose() },
        "chatId": telegram.chat_id,
        "template": telegram.message_template,
        "recoveryTemplate": RECOVERY_TEXT,
        "parseMode": telegram.parse_mode,
    } })
}
