//! Prometheus' Alertmanager, by its API v2. An alert is known by its labels, so
//! the same trouble told again is the same alert. It fires until the recovery
//! is posted: a time of its own is given, for otherwise Alertmanager takes an
//! alert that nobody repeats for resolved.
//! <https://github.com/prometheus/alertmanager/blob/main/api/v2/openapi.yaml>

use jiff::{Timestamp, ToSpan};
use serde_json::{Map, Value, json};
use tokio::task::JoinSet;
use watchkeeper_crds::notifications::Alertmanager;
use watchkeeper_store::{State, alerts::Kind};

use crate::{
    failure::Failure,
    http::Http,
    message::{Item, Message},
};

/// Names of the alerts; `EndpointDegraded` ends when `EndpointDown` begins.
const DOWN: &str = "EndpointDown";
const DEGRADED: &str = "EndpointDegraded";
const FLAPPING: &str = "EndpointFlapping";
const TEST: &str = "WatchkeeperTest";

/// Attempts to have every member of a cluster take a recovery that one of them has. The next trouble of the
/// endpoint waits for them.
const ALL_TOLD: i64 = 4;

pub async fn send(http: &Http, config: &Alertmanager, message: &Message) -> Result<(), Failure> {
    let alerts = alerts(message, Timestamp::now());
    // All at once, so that one that hangs takes no other's time.
    let mut asked = JoinSet::new();
    for url in &config.urls {
        let url = format!("{}/api/v2/alerts", url.trim_end_matches('/'));
        let mut request = http.post(&url).json(&alerts);
        if let Some(token) = &config.token {
            request = request.bearer_auth(token.get());
        }
        if let (Some(username), Some(password)) = (&config.username, &config.password) {
            request = request.basic_auth(username, Some(password.get()));
        }
        let http = http.clone();
        asked.spawn(async move { http.send(request).await });
    }
    let mut failures = Vec::new();
    while let Some(answer) = asked.join_next().await {
        let answer = answer.unwrap_or_else(|_| Err(Failure::passing("the request broke off")));
        failures.extend(answer.err());
    }
    let (members, missed) = (config.urls.len(), failures.len());
    // What one of them may take later is not given up because another refuses it.
    failures.sort_by_key(|failure| failure.permanent);
    let Some(failure) = failures.into_iter().next() else { return Ok(()) };
    if missed == members {
        return Err(failure);
    }
    // Whichever member has it tells of trouble, but one that does not hear of its end goes on telling of it.
    if message.resolves() && message.attempts + 1 < ALL_TOLD {
        let error = failure.error;
        return Err(Failure::passing(format!("{missed} of {members} members did not take it: {error}")));
    }
    tracing::warn!(members, missed, "not every Alertmanager of a channel took what the others did");
    Ok(())
}

fn alerts(message: &Message, now: Timestamp) -> Vec<Value> {
    message
        .items
        .iter()
        .flat_map(|item| {
            let one = Message { items: vec![item.clone()], ..message.clone() };
            let fires = |name: &str| match (message.kind, name) {
                (Kind::Recovery, _) => false,
                (Kind::Test, _) | (Kind::Flapping, FLAPPING) => true,
                _ => name == if item.to == State::Down { DOWN } else { DEGRADED },
            };
            let names: &[&str] = match message.kind {
                Kind::Test => &[TEST],
                Kind::Flapping => &[FLAPPING],
                // Whatever of these fires no more is over: what has a state to tell flaps no more.
                _ => &[DOWN, DEGRADED, FLAPPING],
            };
            names.iter().map(|name| alert(&one, item, name, fires(name), now)).collect::<Vec<_>>()
        })
        .collect()
}

fn alert(one: &Message, item: &Item, name: &str, fires: bool, now: Timestamp) -> Value {
    // A test ends by itself, a flapping endpoint's alert if nothing is heard for a day.
    let lasts = match name {
        TEST => 5.minutes(),
        FLAPPING => 24.hours(),
        _ => (365 * 24).hours(),
    };
    let ends = if fires { now.saturating_add(lasts).unwrap_or(now) } else { now };
    json!({
        "labels": labels(item, name),
        "annotations": { "summary": one.title(), "description": one.lines().join("\n") },
        "startsAt": Timestamp::from_millisecond(item.at).unwrap_or(now).min(ends).to_string(),
        "endsAt": ends.to_string(),
    })
}

/// Names that Prometheus takes, and none of ours replaced.
fn labels(item: &Item, name: &str) -> Map<String, Value> {
    let plain = |c: char| if c.is_ascii_alphanumeric() { c } else { '_' };
    let mut labels: Map<String, Value> = item
        .labels
        .iter()
        .map(|(key, value)| (key.chars().map(plain).collect::<String>(), json!(value)))
        .filter(|(key, _)| !key.starts_with(|c: char| c.is_ascii_digit()))
        .collect();
    let severity = if name == DOWN { "critical" } else { "warning" };
    let own = [
        ("alertname", name),
        ("severity", severity),
        ("endpoint", item.reference.as_str()),
        ("instance", item.target.as_str()),
        ("group", item.group.as_deref().unwrap_or_default()),
    ];
    for (key, value) in own {
        labels.insert(key.to_owned(), json!(value));
    }
    // An empty label is one that is not there.
    labels.retain(|_, value| value != "");
    labels
}
