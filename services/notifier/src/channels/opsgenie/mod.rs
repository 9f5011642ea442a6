//! Opsgenie, by its Alert API: an alert for each endpoint, whose alias is the same
//! for all of one trouble, so that repeating it makes no second one.
//! <https://docs.opsgenie.com/docs/alert-api>

use serde_json::{Value, json};
use watchkeeper_crds::notifications::{Opsgenie, OpsgeniePriority};

use crate::{
    failure::Untaken,
    http::Http,
    message::{Item, Message, Severity, cut},
};

/// Longest message, description, and alias or entity, characters.
const LONGEST: (usize, usize, usize) = (130, 15_000, 512);

pub async fn send(http: &Http, config: &Opsgenie, message: &Message) -> Vec<Untaken> {
    let base = format!("{}/v2/alerts", config.api_url.trim_end_matches('/'));
    super::one_by_one(message, |item| {
        let alias = alias(item);
        let one = Message { items: vec![item.clone()], ..message.clone() };
        let request = if message.resolves() {
            let note = json!({ "source": "Watchkeeper", "note": cut(&one.text(), LONGEST.1) });
            http.post(&format!("{base}/{alias}/close")).query(&[("identifierType", "alias")]).json(&note)
        } else {
            http.post(&base).json(&alert(config, &one, item, &alias))
        };
        http.send(request.header("authorization", format!("GenieKey {}", config.api_key.get())))
    })
    .await
}

fn alert(config: &Opsgenie, one: &Message, item: &Item, alias: &str) -> Value {
    let priority = match (one.severity(), config.priority) {
        (Severity::Critical, OpsgeniePriority::P1) => "P1",
        (Severity::Critical, OpsgeniePriority::P2) => "P2",
        (Severity::Critical, OpsgeniePriority::P3) | (Severity::Warning, _) => "P3",
        (Severity::Critical, OpsgeniePriority::P4) => "P4",
        (Severity::Critical, OpsgeniePriority::P5) | (Severity::Resolved | Severity::Info, _) => "P5",
    };
    json!({
        "message": cut(&one.title(), LONGEST.0),
        "alias": alias,
        "description": cut(&one.lines().join("\n"), LONGEST.1),
        "priority": priority,
        "tags": config.tags,
        "source": "Watchkeeper",
        "entity": cut(&item.target, LONGEST.2),
        "details": item.labels,
    })
}

/// It stands in a path when the alert is closed, so it has no slashes.
fn alias(item: &Item) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() || "-_.".contains(c) { c } else { ':' };
    cut(&item.key.chars().map(plain).collect::<String>(), LONGEST.2)
}
