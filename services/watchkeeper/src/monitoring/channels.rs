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
        "apiUrl": telegram.api_url,
    } })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::monitoring::config::Config;

    /// The channels of a file with these `notifications`, by kind.
    fn channels(notifications: &Value) -> Vec<Channel> {
        let text = json!({ "notifications": notifications }).to_string();
        let read = Config::read(&text, |_| Ok(())).expect("a file");
        of(&read.config.notifications).expect("channels")
    }

    fn email(more: &Value) -> Value {
        let mut email = json!({ "enabled": true, "to_addrs": ["ops@a.example"], "smtp_user": "monitor@a.example",
                                "smtp_password": "s3cret" });
        email.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
        let channels = channels(&json!({ "email": email }));
        assert_eq!(channels.len(), 1);
        assert_eq!(channels[0].kind, "email");
        channels[0].config["email"].clone()
    }

    #[test]
    fn mail_is_encrypted_as_its_port_wants_it() {
        for (port, tls, encryption) in [
            (587, true, "StartTls"),
            (25, true, "StartTls"),
            (465, true, "Tls"),
            (465, false, "None"),
            (25, false, "None"),
        ] {
            let config = email(&json!({ "smtp_port": port, "smtp_use_tls": tls }));
            assert_eq!((&config["port"], &config["encryption"]), (&json!(port), &json!(encryption)));
        }
    }

    #[test]
    fn mail_comes_from_its_address_or_else_from_its_user() {
        let from = |more: Value| email(&more)["from"].as_str().expect("from").to_owned();
        assert_eq!(from(json!({})), "\"API Monitor\" <monitor@a.example>");
        assert_eq!(
            from(json!({ "from_addr": "a@b.example", "from_name": "The \"Shop\"\\" })),
            "\"The Shop\" <a@b.example>"
        );
    }

    #[test]
    fn every_channel_is_one_of_every_endpoint_and_tells_recoveries_in_upstreams_words() {
        let told = json!({
            "cooldown_seconds": 7,
            "email": { "enabled": true, "to_addrs": ["ops@a.example"], "from_addr": "monitor@a.example" },
            "webhook": { "enabled": true, "url": "https://hooks.example/x", "retry_count": 4, "retry_delay": 0.5 },
            "telegram": { "enabled": true, "bot_token": "1:x", "chat_id": 5 },
        });
        let found = channels(&told);
        let kinds: Vec<_> = found.iter().map(|channel| channel.kind.as_str()).collect();
        assert_eq!(kinds, ["email", "webhook", "telegram"]);
        for (channel, recovery) in found.iter().zip([RECOVERY_TEXT, RECOVERY_PAYLOAD, RECOVERY_TEXT]) {
            assert!(channel.default && channel.send_recovery, "{}", channel.name);
            assert_eq!((channel.cooldown, channel.group_wait), (Duration::from_secs(7), Duration::ZERO));
            assert_eq!(channel.config[&channel.kind]["recoveryTemplate"], recovery);
        }
        assert_eq!(found[0].config["email"]["recoverySubjectTemplate"], RECOVERY_SUBJECT);
        let webhook = |channel: &Channel| (channel.attempts, channel.pause);
        assert_eq!(webhook(&found[1]), (Some(4), Some(Duration::from_millis(500))));
        assert_eq!(webhook(&found[0]), (None, None));
        let mut quiet = told.clone();
        quiet["send_recovery"] = false.into();
        assert!(channels(&quiet).iter().all(|channel| !channel.send_recovery));
        quiet["enabled"] = false.into();
        assert!(channels(&quiet).is_empty());
        assert!(
            channels(
                &json!({ "webhook": { "enabled": true, "url": "https://a.example/", "retry_count": 0 } })
            )
            .is_empty()
        );
    }
}
