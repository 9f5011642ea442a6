//! Uptime Kuma's backup: `{"version", "notificationList", "monitorList"}`.

use std::collections::HashMap;

use serde_json::{Map, Value, json};

use super::{Draft, Translation, heartbeat, kuma_fields, manifest::slug};

/// Seconds of a monitor that says none.
const INTERVAL: u64 = 60;

/// Highest threshold here.
const HIGHEST: u64 = 64;

/// Shortest time after which trouble is told again here, seconds.
const REMINDER: u64 = 60;

/// Groups above a monitor that are looked at: a file may have them in a circle.
const DEPTH: usize = 16;

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
    for (block, value) in document.as_object().into_iter().flatten() {
        let known = ["version", "notificationList", "monitorList"].contains(&block.as_str());
        if !known && kuma_fields::says_something(value) {
            translation.note(block, "has no counterpart");
        }
    }
    for monitor in monitors {
        if text(monitor, "type") != Some("group") {
            one(monitor, &groups, &channels, &mut translation);
        } else if notified(monitor).next().is_some() {
            let name = text(monitor, "name").unwrap_or("a group without a name");
            translation.note(name, "a group tells nobody here, only its monitors do");
        }
    }
    Ok(translation)
}

/// Numbers of the notifications that are chosen.
fn notified(monitor: &Value) -> impl Iterator<Item = &String> {
    let ids = monitor.get("notificationIDList").and_then(Value::as_object).into_iter().flatten();
    ids.filter(|(_, chosen)| chosen.as_bool() != Some(false)).map(|(id, _)| id)
}

/// The groups above a monitor, the nearest first.
fn above<'a>(monitor: &Value, groups: &HashMap<i64, &'a Value>) -> Vec<&'a Value> {
    let parent = |monitor: &Value| monitor.get("parent").and_then(Value::as_i64);
    let group = |id: Option<i64>| id.and_then(|id| groups.get(&id).copied());
    std::iter::successors(group(parent(monitor)), |above| group(parent(above))).take(DEPTH).collect()
}

/// Whether somebody paused it.
fn is_paused(monitor: &Value) -> bool {
    monitor.get("active").is_some() && !flag(monitor, "active")
}

fn text<'a>(value: &'a Value, key: &str) -> Option<&'a str> {
    value.get(key).and_then(Value::as_str).filter(|text| !text.is_empty())
}

fn number(value: &Value, key: &str) -> Option<u64> {
    let value = value.get(key)?;
    let number = value.as_f64().or_else(|| value.as_str()?.parse().ok())?;
    (0.0..=1e12).contains(&number).then_some(number.ceil() as u64)
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
    let interval = number(monitor, "interval").filter(|it| *it > 0).unwrap_or(INTERVAL);
    draft.seconds("interval", interval);
    let timeout = number(monitor, "timeout").filter(|it| *it > 0).unwrap_or(interval * 4 / 5).max(1);
    if timeout > interval {
        translation.note(&told, format!("its timeout is its interval here, {interval}s"));
    }
    draft.seconds("timeout", timeout.min(interval));
    let groups = above(monitor, groups);
    let inverted = flag(monitor, "upsideDown");
    if inverted {
        translation.note(&told, "upside down: what is down here is never well, so it is suspended");
    }
    if inverted
        || flag(monitor, "forceInactive")
        || is_paused(monitor)
        || groups.iter().any(|it| is_paused(it))
    {
        draft.set("suspended", true);
    }
    let names: Vec<&str> = groups.iter().rev().filter_map(|group| text(group, "name")).collect();
    draft.group(names.join(" / "));
    alerts(monitor, interval, channels, &mut draft, &told, translation);
    labels(monitor, &mut draft, &told, translation);
    kuma_fields::tell_lost(monitor, &told, translation);
    if probe(kind, monitor, &mut draft, &told, translation) {
        translation.drafts.push(draft);
    }
}

/// Who is told, and when.
fn alerts(
    monitor: &Value,
    interval: u64,
    channels: &HashMap<String, String>,
    draft: &mut Draft,
    told: &str,
    translation: &mut Translation,
) {
    // Kuma counts further checks before it tells, an own interval apart.
    let retries = number(monitor, "maxretries").unwrap_or(0);
    if retries >= HIGHEST {
        translation.note(told, format!("it is down after {HIGHEST} bad checks here, the most"));
    }
    let pause = number(monitor, "retryInterval").filter(|pause| *pause > 0 && *pause != interval);
    if let (1.., Some(_)) = (retries, pause) {
        translation.note(told, "retryInterval: bad checks are the usual interval apart here");
    }
    let mut alerts = json!({ "failureThreshold": (retries + 1).min(HIGHEST) });
    let mut told_to = Vec::new();
    for id in notified(monitor) {
        match channels.get(id) {
            Some(channel) => told_to.push(channel),
            None => translation.note(told, format!("notification {id} is not in the backup")),
        }
    }
    // Also where it is empty: without a list, the installation's default channels would be told.
    alerts["channels"] = json!(told_to);
    if let Some(beats) = number(monitor, "resendInterval").filter(|beats| *beats > 0) {
        let reminder = beats.saturating_mul(interval);
        if reminder < REMINDER {
            translation.note(told, format!("it is told again after {REMINDER}s here, the shortest"));
        }
        alerts["reminder"] = format!("{}s", reminder.max(REMINDER)).into();
    }
    draft.set("alerts", alerts);
}

fn labels(monitor: &Value, draft: &mut Draft, told: &str, translation: &mut Translation) {
    let mut labels = Map::new();
    for tag in monitor.get("tags").and_then(Value::as_array).into_iter().flatten() {
        if let Some(name) = text(tag, "name") {
            let value = text(tag, "value").unwrap_or("true");
            if labels.insert(slug(name), value.into()).is_some() {
                translation.note(told, format!("tag `{name}` is there twice: its last value is kept"));
            }
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
            for (key, field, most) in [("packetSize", "payloadBytes", 1_400), ("ping_count", "count", 10)] {
                let Some(given) = number(monitor, key).filter(|it| *it > 0) else { continue };
                if given > most {
                    translation.note(told, format!("{key} is {most} here, the most"));
                }
                icmp[field] = given.min(most).into();
            }
            draft.set("icmp", icmp);
        }
        "dns" => {
            let server = text(monitor, "dns_resolve_server").unwrap_or("1.1.1.1");
            let mut servers = server.split(',').map(str::trim);
            let server = servers.next().unwrap_or(server);
            if servers.next().is_some() {
                translation.note(told, format!("only the first of its DNS servers is asked here, {server}"));
            }
            let server = match server.parse::<std::net::Ipv6Addr>() {
                Ok(server) => format!("[{server}]"),
                Err(_) => server.to_owned(),
            };
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
            if text(monitor, "grpcMetadata").is_some() {
                translation.note(told, "its gRPC metadata: write spec.grpc.metadata by hand");
            }
        }
        "websocket-upgrade" => draft.set("websocket", json!({ "url": text(monitor, "url") })),
        "smtp" if text(monitor, "smtpSecurity") == Some("nostarttls") => {
            let greeted = json!([{ "expect": "^220", "send": "QUIT" }]);
            draft.set("tcp", json!({ "address": address, "conversation": greeted }));
        }
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
    match number(monitor, "maxredirects") {
        None => {}
        Some(0) => http["followRedirects"] = false.into(),
        Some(most) => {
            if most > 20 {
                translation.note(told, "20 redirects are followed here, the most");
            }
            http["maxRedirects"] = most.min(20).into();
        }
    }
    let mut tls = Map::new();
    if flag(monitor, "ignoreTls") {
        tls.insert("skipVerification".into(), true.into());
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
        Some("mtls") => {
            let files = [("ca", "tlsCa"), ("clientCertificate", "tlsCert"), ("clientKey", "tlsKey")];
            for (field, key) in files {
                if let Some(pem) = text(monitor, key) {
                    let reference = draft.secret(key, pem);
                    tls.insert(field.into(), json!({ "valueFrom": { "secretKeyRef": reference } }));
                }
            }
        }
        Some(other) => translation.note(told, format!("authentication by `{other}` has no counterpart")),
    }
    if !tls.is_empty() {
        http["tls"] = tls.into();
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
        let comparison = match text(monitor, "jsonPathOperator") {
            None | Some("==") => Some("Equals"),
            Some("!=") => Some("NotEquals"),
            Some("<") => Some("LessThan"),
            Some("<=") => Some("AtMost"),
            Some(">") => Some("GreaterThan"),
            Some(">=") => Some("AtLeast"),
            Some("contains") => Some("Contains"),
            Some(_) => None,
        };
        match (text(monitor, "expectedValue"), comparison) {
            (Some(value), Some(comparison)) if simple && !path.is_empty() => {
                list.push(
                    json!({ "source": "Body", "property": path, "comparison": comparison, "target": value }),
                );
            }
            _ => translation.note(told, "its JSON query is more than a path; write an assertion by hand"),
        }
    }
    // Without TLS there is none, and the condition would never hold.
    let secure = text(monitor, "url").is_some_and(|url| url.starts_with("https://"));
    if secure && flag(monitor, "expiryNotification") {
        list.push(json!({ "condition": "[CERTIFICATE_EXPIRATION] > 504h", "severity": "Degraded" }));
    }
    if !list.is_empty() {
        draft.set("assertions", list);
    }
}
