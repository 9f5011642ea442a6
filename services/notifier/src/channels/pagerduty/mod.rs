//! PagerDuty, by its Events API v2: an event for each endpoint, so that each
//! incident is resolved by its own recovery. The same `dedup_key` for all of one
//! trouble makes a repeated event one incident.
//! <https://developer.pagerduty.com/docs/events-api-v2-overview>

use serde_json::{Value, json};
use watchkeeper_crds::notifications::{PagerDuty, PagerDutySeverity};

use crate::{
    failure::Untaken,
    http::Http,
    message::{Item, Message, Severity, cut},
};

/// Longest summary and key, characters.
const LONGEST: (usize, usize) = (1_024, 255);

pub async fn send(http: &Http, config: &PagerDuty, message: &Message) -> Vec<Untaken> {
    let url = format!("{}/v2/enqueue", config.api_url.trim_end_matches('/'));
    super::one_by_one(message, |item| http.send(http.post(&url).json(&event(config, message, item)))).await
}

fn event(config: &PagerDuty, message: &Message, item: &Item) -> Value {
    let one = Message { items: vec![item.clone()], ..message.clone() };
    let severity = match message.severity() {
        Severity::Critical => match config.severity {
            PagerDutySeverity::Critical => "critical",
            PagerDutySeverity::Error => "error",
            PagerDutySeverity::Warning => "warning",
            PagerDutySeverity::Info => "info",
        },
        Severity::Warning => "warning",
        Severity::Resolved | Severity::Info => "info",
    };
    json!({
        "routing_key": config.routing_key.get(),
        "event_action": if message.resolves() { "resolve" } else { "trigger" },
        "dedup_key": cut(&item.key, LONGEST.1),
        "client": "Watchkeeper",
        "payload": {
            "summary": cut(&format!("{}: {}", one.title(), item.message.as_deref().unwrap_or("no details")), LONGEST.0),
            "source": if item.target.is_empty() { &item.name } else { &item.target },
            "severity": severity,
            "timestamp": item.time(),
            "component": item.reference,
            "group": item.group,
            "class": item.to.as_str(),
            "custom_details": { "text": one.text(), "labels": item.labels },
        },
    })
}
