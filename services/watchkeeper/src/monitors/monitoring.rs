//! api-monitoring-system's `config.yaml`.

use anyhow::anyhow;
use serde_json::{Value, json};
use watchkeeper_api::MonitoringEndpoint;

use super::{Draft, Translation};
use crate::monitoring::config::Config;

/// Attempts after one that got no answer, as upstream's documentation has them.
const RETRIES: u32 = 2;

pub fn translate(text: &str) -> anyhow::Result<Translation> {
    let read = Config::read(text, |_| Ok(()));
    let read = read.map_err(|mistakes| anyhow!("the file has mistakes:\n  {}", mistakes.join("\n  ")))?;
    let drafts = read.endpoints.iter().map(draft).collect();
    let mut translation = Translation { drafts, ..Translation::default() };
    let told = &read.config.notifications;
    let channels = [
        ("email", told.email.enabled),
        ("webhook", told.webhook.enabled),
        ("telegram", told.telegram.enabled),
    ];
    for (channel, _) in channels.into_iter().filter(|(_, enabled)| *enabled && told.enabled) {
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
