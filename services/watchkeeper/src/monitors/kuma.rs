//! Uptime Kuma's backup: `{"version", "notificationList", "monitorList"}`.

use std::collections::HashMap;

use serde_json::{Map, Value, json};

use super::{Draft, Translation, heartbeat, manifest::slug};

/// Seconds of a monitor that says none.
const INTERVAL: u64 = 60;

/// Settings that a probe here has no counterpart for, with what they are when they mean nothing.
const LOST: &[(&str, &str)] = &[
    ("upsideDown", "upside down: what is down here is never well"),
    ("proxyId", "probes go out directly, without a proxy"),
    ("mqttTopic", "MQTT has no probe here"),
    ("docker_container", "containers have no probe here"),
];

pub fn translate(document: &Value) -> anyhow::Result<Translation> {
    let mut translation = Translation::default();
    let list = |name: &str| document.get(name).and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    let monitors = list("monitorList");
    let id = |value: &Value| value.get("id").and_then(Value::as_i64);
    let groups: HashMap<i64, &Value> = monitors
        .iter()
        .filter(|monitor| text(monitor, "type") == Some("group"))
        .filter_map(|monitor| Some((id(monitor)?, monitor)))
        .collect();
    let mut channels: HashMap<String, String> = HashMap::new();
    for notification in list("notificationList") {
        let name = text(notification, "name").unwrap_or("a notification");
        if let Some(id) = id(notification) {
            channels.insert(id.to_string(), slug(name));
        }
        translation.note(
            format!("notification `{name}`"),
            format!(
                "declare the channel `{}` in the AnalyticsInstance, spec.notifications.channels",
                slug(name)
            ),
        );
    }
    for monitor in monitors {
        if text(monitor, "type") != Some("group") {
            one(monitor, &groups, &channels, &mut translation);
        }
    }
    Ok(translation)
}

fn text<'a>(value: &'a Value, key: &str) -> Option<&'a str> {
    value.get(key).and_then(Value::as_str).filter(|text| !text.is_empty())
}

fn number(value: &Value, key: &str) -> Option<u64> {
    let value = value.get(key)?;
    value.as_u64().or_else(|| value.as_str()?.parse().ok())
}

/// Yes as Kuma writes it: true or 1.
fn flag(value: &Value, key: &str) -> bool {
    let value = value.get(key);
    value.is_some_and(|value| value.as_bool() == Some(true) || value.as_i64().is_some_and(|it| it != 0))
}

fn one(
    monitor: &Value,
    groups: &HashMap<i64, &Value>,
    channels: &HashMap<String, String>,
    translation: &mut Translation,
) {
    let told = text(monitor, "name").unwrap_or("a monitor without a name").to_owned();
    let kind = text(monitor, "type").unwrap_or("http");
    let mut draft = Draft::new(&told);
    let interval = number(monitor, "interval").unwrap_or(INTERVAL).max(1);
    draft.seconds("interval", interval);
    let timeout =
        number(monitor, "timeout").filter(|it| *it > 0).unwrap_or(interval * 4 / 5).clamp(1, interval);
    draft.seconds("timeout", timeout);
    if monitor.get("active").is_some() && !flag(monitor, "active") {
        draft.set("suspended", true);
    }
    // Kuma counts further checks before it tells, an own interval apart.
    let failures = number(monitor, "maxretries").unwrap_or(0) + 1;
    let mut alerts = json!({ "failureThreshold": failures.min(64) });
    let ids = monitor.get("notificationIDList").and_then(Value::as_object).into_iter().flatten();
    let mut told_to = Vec::new();
    for (id, _) in ids.filter(|(_, chosen)| chosen.as_bool() != Some(false)) {
        match channels.get(id) {
            Some(channel) => told_to.push(channel),
            None => translation.note(&told, format!("notification {id} is not in the backup")),
        }
    }
    // Also where it is empty: without a list, the installation's default channels would be told.
    alerts["channels"] = json!(told_to);
    if let Some(resend) = number(monitor, "resendInterval").filter(|beats| *beats > 0) {
        alerts["reminder"] = format!("{}s", resend * interval).into();
    }
    draft.set("alerts", alerts);
    if let Some(group) = monitor.get("parent").and_then(Value::as_i64).and_then(|id| groups.get(&id)) {
        draft.group(text(group, "name").unwrap_or_default());
    }
    labels(monitor, &mut draft);
    for (key, why) in LOST {
        let set = monitor.get(key).is_some_and(|it| it.as_str() != Some("") && !it.is_null());
        if set && (flag(monitor, key) || text(monitor, key).is_some()) {
            translation.note(&told, why);
        }
    }
    if probe(kind, monitor, &mut draft, &told, translation) {
        translation.drafts.push(draft);
    }
}

fn labels(monitor: &Value, draft: &mut Draft) {
    let mut labels = Map::new();
    for tag in monitor.get("tags").and_then(Value::as_array).into_iter().flatten() {
        if let Some(name) = text(tag, "name") {
            labels.insert(slug(name), text(tag, "value").unwrap_or("true").into());
        }
    }
    if !labels.is_empty() {
        draft.set("labels", labels);
    }
}

/// Sets the probe; tells whether there is one.
fn probe(kind: &str, monitor: &Value, draft: &mut Draft, told: &str, translation: &mut Translation) -> bool {
    let host = text(monitor, "hostname").unwrap_or_default();
    let port = number(monitor, "port").unwrap_or_default();
    let address = if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") };
    match kind {
        "http" | "keyword" | "json-query" => {
            let http = http(monitor, draft, told, translation);
            draft.set("http", http);
            assertions(kind, monitor, draft, told, translation);
        }
        "port" => draft.set("tcp", json!({ "address": address })),
        "ping" => {
            let mut icmp = json!({ "host": host });
            if let Some(size) = number(monitor, "packetSize") {
                icmp["payloadBytes"] = size.into();
            }
            draft.set("icmp", icmp);
        }
        "dns" => {
            let server = text(monitor, "dns_resolve_server").unwrap_or("1.1.1.1");
            let server = server.split(',').next().unwrap_or(server).trim();
            let port = number(monitor, "port").filter(|port| *port > 0).unwrap_or(53);
            let kind = text(monitor, "dns_resolve_type").unwrap_or("A");
            draft.set("dns", json!({ "server": format!("{server}:{port}"), "name": host, "type": kind }));
        }
        "push" => {
            heartbeat(text(monitor, "pushToken").unwrap_or_default(), told, draft, translation);
        }
        "grpc-keyword" => {
            let url = text(monitor, "grpcUrl").unwrap_or_default();
            let mut grpc = json!({ "address": url.split("://").last().unwrap_or(url) });
            if flag(monitor, "grpcEnableTls") {
                grpc["tls"] = json!({});
            }
            draft.set("grpc", grpc);
            translation.note(told, "any method of gRPC became the health check of its server");
        }
        "websocket-upgrade" => draft.set("websocket", json!({ "url": text(monitor, "url") })),
        "smtp" => {
            let mut tls = json!({ "address": address });
            if text(monitor, "smtpSecurity") != Some("secure") {
                tls["starttls"] = "SMTP".into();
            }
            draft.set("tls", tls);
        }
        other => {
            translation.note(told, format!("monitors of type `{other}` have no probe here"));
            return false;
        }
    }
    true
}

fn http(monitor: &Value, draft: &mut Draft, told: &str, translation: &mut Translation) -> Value {
    let method = text(monitor, "method").unwrap_or("GET").to_ascii_uppercase();
    let mut http = json!({ "url": text(monitor, "url"), "method": method });
    let codes: Vec<String> = monitor
        .get("accepted_statuscodes")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(|code| Some(code.as_str()?.replace(' ', "")))
        .collect();
    if !codes.is_empty() {
        http["expectedStatus"] = json!(codes);
    }
    if number(monitor, "maxredirects") == Some(0) {
        http["followRedirects"] = false.into();
    }
    if flag(monitor, "ignoreTls") {
        http["tls"] = json!({ "skipVerification": true });
    }
    let mut headers: Vec<(String, String)> = Vec::new();
    match text(monitor, "headers").map(serde_json::from_str::<Map<String, Value>>) {
        None => {}
        Some(Ok(given)) => headers.extend(given.into_iter().map(|(name, value)| {
            let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            (name, text)
        })),
        Some(Err(_)) => translation.note(told, "its headers are no JSON object"),
    }
    match text(monitor, "authMethod") {
        None => basic(monitor, &mut http, draft),
        Some("basic") => basic(monitor, &mut http, draft),
        Some(other) => translation.note(told, format!("authentication by `{other}` has no counterpart")),
    }
    if let Some(body) = text(monitor, "body") {
        http["body"] = body.into();
        let label = match text(monitor, "httpBodyEncoding") {
            Some("xml") => "text/xml",
            Some("form") => "application/x-www-form-urlencoded",
            _ => "application/json",
        };
        if !headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("content-type")) {
            headers.push(("Content-Type".into(), label.into()));
        }
    }
    if !headers.is_empty() {
        let pairs = headers.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        http["headers"] = draft.headers(pairs);
    }
    http
}

/// Basic authentication, where there is a user.
fn basic(monitor: &Value, http: &mut Value, draft: &mut Draft) {
    if let Some(user) = text(monitor, "basic_auth_user") {
        let password = draft.secret("password", text(monitor, "basic_auth_pass").unwrap_or_default());
        let password = json!({ "valueFrom": { "secretKeyRef": password } });
        http["auth"] = json!({ "basic": { "username": user, "password": password } });
    }
}

fn assertions(kind: &str, monitor: &Value, draft: &mut Draft, told: &str, translation: &mut Translation) {
    let mut list = Vec::new();
    let inverted = flag(monitor, "invertKeyword");
    if kind == "keyword"
        && let Some(keyword) = text(monitor, "keyword")
    {
        let comparison = if inverted { "NotContains" } else { "Contains" };
        list.push(json!({ "source": "Body", "comparison": comparison, "target": keyword }));
    }
    if kind == "json-query" {
        let path =
            text(monitor, "jsonPath").unwrap_or_default().trim_start_matches('$').trim_start_matches('.');
        let simple = path.chars().all(|c| c.is_ascii_alphanumeric() || "._-[]".contains(c));
        match text(monitor, "expectedValue") {
            Some(value) if simple && !path.is_empty() => {
                list.push(
                    json!({ "source": "Body", "property": path, "comparison": "Equals", "target": value }),
                );
            }
            _ => translation.note(told, "its JSON query is more than a path; write an assertion by hand"),
        }
    }
    if flag(monitor, "expiryNotification") {
        list.push(json!({ "condition": "[CERTIFICATE_EXPIRATION] > 504h", "severity": "Degraded" }));
    }
    if !list.is_empty() {
        draft.set("assertions", list);
    }
}
