//! api-monitoring-system's `config.yaml`.

use anyhow::anyhow;
use serde_json::{Value, json};
use watchkeeper_api::MonitoringEndpoint;

use super::{Draft, Translation, manifest::time};
use crate::monitoring::config::Config;

/// Attempts after one that got no answer, as upstream's documentation has them.
const RETRIES: u32 = 2;

/// Blocks of the file that are no endpoints, and what stands in their place.
const BLOCKS: &[(&str, &str)] = &[
    ("database", "WATCHKEEPER_DATABASE_URL, or spec.database of the AnalyticsInstance, says where data is"),
    ("monitoring", "spec.retention.checks of the AnalyticsInstance says how long checks are kept"),
    ("logging", "--log and --log-format say what is logged"),
    ("prometheus", "metrics are served in any case"),
    ("redis", "nothing here needs it"),
    ("retry", "upstream reads it nowhere; attempts without an answer are repeated twice"),
];

/// What the file has, as read and as it stands there.
pub fn translate(text: &str, document: &Value) -> anyhow::Result<Translation> {
    let read = Config::read(text, |_| Ok(()));
    let read = read.map_err(|mistakes| anyhow!("the file has mistakes:\n  {}", mistakes.join("\n  ")))?;
    let told = &read.config.notifications;
    let channels = [
        ("email", told.email.enabled),
        ("webhook", told.webhook.enabled),
        ("telegram", told.telegram.enabled),
    ];
    let channels = channels.into_iter().filter(|(_, enabled)| *enabled && told.enabled);
    let mut alerts = json!({ "cooldown": time(told.cooldown_seconds.unsigned_abs().saturating_mul(1_000)) });
    if channels.clone().next().is_none() {
        // Without a list, the installation's default channels would be told.
        alerts = json!({ "channels": [] });
    } else if !told.send_recovery {
        alerts["sendRecovery"] = false.into();
    }
    let mut translation = Translation::default();
    for endpoint in &read.endpoints {
        if endpoint.timeout > endpoint.interval {
            let why = format!("its timeout is its interval here, {}s", endpoint.interval);
            translation.note(&endpoint.name, why);
        }
        let mut draft = draft(endpoint);
        draft.set("alerts", alerts.clone());
        translation.drafts.push(draft);
    }
    for (block, instead) in BLOCKS {
        if document.get(block).is_some_and(|value| !value.is_null()) {
            translation.note(block, instead);
        }
    }
    let api = document.get("api").and_then(Value::as_object);
    if api.is_some_and(|api| api.keys().any(|key| key != "auth")) {
        translation
            .note("api", "--listen says where it answers; --monitoring-config goes by the whole block");
    }
    for (channel, _) in channels {
        translation.note(
            format!("notifications.{channel}"),
            "a channel belongs to the installation: declare it in the AnalyticsInstance, \
             spec.notifications.channels, as a default one",
        );
    }
    if read.config.api.auth.enabled {
        translation.note("api.auth", "programs send the installation's admin token as X-API-Key");
    }
    Ok(translation)
}

fn draft(endpoint: &MonitoringEndpoint) -> Draft {
    let mut draft = Draft::new(&endpoint.name);
    draft.seconds("interval", endpoint.interval.into());
    draft.seconds("timeout", endpoint.timeout.min(endpoint.interval).into());
    draft.set(
        "retries",
        json!({ "attempts": RETRIES, "backoff": "1s", "noAnswerOnly": true, "exponential": true }),
    );
    if !endpoint.is_active {
        draft.set("suspended", true);
    }
    let mut http = json!({
        "url": endpoint.url,
        "method": endpoint.method,
        "expectedStatus": [endpoint.expected_status.to_string()],
    });
    let mut headers: Vec<(&str, &str)> = endpoint
        .headers
        .iter()
        .flatten()
        .filter_map(|(name, value)| Some((name.as_str(), value.as_str()?)))
        .collect();
    if let Some(body) = &endpoint.body
        && ["POST", "PUT", "PATCH"].contains(&endpoint.method.as_str())
    {
        http["body"] = Value::Object(body.clone()).to_string().into();
        if !headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("content-type")) {
            headers.push(("Content-Type", "application/json"));
        }
    }
    if !headers.is_empty() {
        http["headers"] = draft.headers(headers.into_iter());
    }
    draft.set("http", http);
    draft
}
