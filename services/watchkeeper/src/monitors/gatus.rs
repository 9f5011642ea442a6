//! Gatus' `config.yaml`, of which conditions become assertions as they stand.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use super::{
    Draft, Translation, heartbeat,
    manifest::{slug, time},
    variables,
};

/// Gatus' defaults, milliseconds.
const INTERVAL: u64 = 60_000;
const TIMEOUT: u64 = 10_000;

/// Shortest interval here, milliseconds.
const SHORTEST: u64 = 1_000;

/// Thresholds of an alert that says none.
const FAILURES: u64 = 3;
const SUCCESSES: u64 = 2;

/// Highest threshold here.
const HIGHEST: u64 = 64;

/// What an endpoint may have that is carried over.
const KNOWN: &[&str] = &[
    "name",
    "group",
    "enabled",
    "url",
    "method",
    "body",
    "graphql",
    "headers",
    "interval",
    "conditions",
    "alerts",
    "client",
    "dns",
    "extra-labels",
    "maintenance-windows",
];

/// The same of an external endpoint, and of an alert.
const KNOWN_EXTERNAL: &[&str] =
    &["name", "group", "enabled", "token", "heartbeat", "alerts", "extra-labels", "maintenance-windows"];
const KNOWN_ALERT: &[&str] = &[
    "type",
    "enabled",
    "failure-threshold",
    "success-threshold",
    "send-on-resolved",
    "minimum-reminder-interval",
];

/// Blocks of the file that are no endpoints, and what stands in their place.
const BLOCKS: &[(&str, &str)] = &[
    ("alerting", "declare channels in the AnalyticsInstance, spec.notifications.channels"),
    ("maintenance", "give each endpoint its windows, spec.maintenance"),
    ("suites", "a suite has several steps, which one endpoint here has not"),
    ("remote", "endpoints of other instances are not shown"),
    ("security", "programs and people use the installation's admin token"),
    ("tunneling", "probes go out directly"),
    ("announcements", "write incidents on a status page"),
    ("ui", "a status page has settings of its own"),
    ("connectivity", "checks go on while this network is away: have endpoints depend on one, spec.dependsOn"),
    ("concurrency", "--probe-concurrency says how many probes are under way at once"),
    ("storage", "WATCHKEEPER_DATABASE_URL says where data is"),
    ("web", "--listen says where it answers"),
    ("metrics", "--metrics-listen says where metrics are"),
    ("debug", "--log says what is logged"),
    ("skip-invalid-config-update", "a file with mistakes never comes into force"),
    ("disable-monitoring-lock", "--probe-concurrency says how many probes are under way at once"),
];

pub fn translate(document: &Value) -> anyhow::Result<Translation> {
    let mut translation = Translation::default();
    for (block, instead) in BLOCKS {
        if document.get(block).is_some_and(|value| !value.is_null()) {
            translation.note(block, instead);
        }
    }
    let list = |name: &str| document.get(name).and_then(Value::as_array).cloned().unwrap_or_default();
    let alerting = variables::read(document.get("alerting").cloned().unwrap_or_default()).0;
    for (name, read) in [("endpoints", one as Reader), ("external-endpoints", external)] {
        for endpoint in list(name) {
            let (endpoint, variables) = variables::read(endpoint);
            if !variables.is_empty() {
                let told = text(&endpoint, "name").unwrap_or("an endpoint without a name");
                let names = variables.into_iter().collect::<Vec<_>>().join(", ");
                translation.note(
                    told,
                    format!("manifests take nothing from the environment: write what is in {names} there"),
                );
            }
            read(&endpoint, &alerting, &mut translation);
        }
    }
    Ok(translation)
}

/// Reads one endpoint, given the file's block of alerting.
type Reader = fn(&Value, &Value, &mut Translation);

fn text<'a>(value: &'a Value, key: &str) -> Option<&'a str> {
    value.get(key).and_then(Value::as_str)
}

/// A draft with what every endpoint has.
fn draft(endpoint: &Value, alerting: &Value, told: &str, translation: &mut Translation) -> Draft {
    let mut draft = Draft::new(told);
    draft.group(text(endpoint, "group").unwrap_or_default());
    if endpoint.get("enabled").and_then(Value::as_bool) == Some(false) {
        draft.set("suspended", true);
    }
    if let Some(labels) = endpoint.get("extra-labels").and_then(Value::as_object) {
        let labels: Map<String, Value> =
            labels.iter().map(|(key, value)| (key.clone(), plain(value).into())).collect();
        draft.set("labels", labels);
    }
    alerts(endpoint, alerting, told, &mut draft, translation);
    windows(endpoint, told, &mut draft, translation);
    draft
}

fn one(endpoint: &Value, alerting: &Value, translation: &mut Translation) {
    let told = text(endpoint, "name").unwrap_or("an endpoint without a name").to_owned();
    let Some(url) = text(endpoint, "url") else {
        return translation.note(told, "it has no url");
    };
    lost(endpoint, KNOWN, &told, translation);
    let mut draft = draft(endpoint, alerting, &told, translation);
    let client = endpoint.get("client").cloned().unwrap_or(Value::Null);
    let mut interval = length(endpoint, "interval", INTERVAL, &told, translation);
    let mut timeout = length(&client, "timeout", TIMEOUT, &told, translation);
    if interval < SHORTEST {
        interval = SHORTEST;
        translation.note(&told, format!("its interval is {} here, the shortest", time(interval)));
    }
    if timeout > interval {
        timeout = interval;
        translation.note(&told, format!("its timeout is its interval here, {}", time(timeout)));
    }
    draft.milliseconds("interval", interval);
    draft.milliseconds("timeout", timeout);
    let given = endpoint.get("conditions").and_then(Value::as_array).into_iter().flatten();
    for odd in given.clone().filter(|condition| !condition.is_string()) {
        translation.note(&told, format!("condition `{odd}` is no text"));
    }
    let conditions: Vec<&str> = given.filter_map(Value::as_str).collect();
    if endpoint.get("body").is_some_and(|body| !body.is_null() && !body.is_string()) {
        translation.note(&told, "its body is no text");
    }
    let (scheme, rest) = url.split_once("://").unwrap_or(("", url));
    let insecure = client.get("insecure").and_then(Value::as_bool) == Some(true);
    let skip = || json!({ "skipVerification": true });
    let address = rest.trim_end_matches('/');
    let mut kept = conditions.clone();
    if endpoint.get("dns").is_some_and(|dns| !dns.is_null()) {
        let dns = &endpoint["dns"];
        let name = text(dns, "query-name").unwrap_or_default().trim_end_matches('.');
        let kind = text(dns, "query-type").unwrap_or("A");
        draft.set("dns", json!({ "server": address, "name": name, "type": kind }));
        if let Some(condition) = conditions.iter().find(|condition| condition.contains("[BODY]")) {
            translation.note(
                &told,
                format!(
                    "`{condition}`: [BODY] is all answers here, one a line; in Gatus the last, of MX its host"
                ),
            );
        }
    } else {
        match scheme {
            "http" | "https" => {
                let mut http = http(endpoint, url, &client, &mut kept, &mut draft);
                if insecure {
                    http["tls"] = skip();
                }
                draft.set("http", http);
            }
            "tcp" => draft.set("tcp", tcp(endpoint, address, &told, translation)),
            // The probe of TLS alone says nothing.
            "tls" if says(endpoint).is_some() => {
                let mut tcp = tcp(endpoint, address, &told, translation);
                tcp["tls"] = if insecure { skip() } else { json!({}) };
                draft.set("tcp", tcp);
            }
            "tls" | "starttls" => {
                let mut tls = json!({ "address": address });
                if scheme == "starttls" {
                    tls["starttls"] = "SMTP".into();
                }
                if insecure {
                    tls["options"] = skip();
                }
                draft.set("tls", tls);
            }
            "icmp" => draft.set("icmp", json!({ "host": address })),
            "ws" | "wss" => {
                let mut socket = json!({ "url": url });
                if let Some(body) = text(endpoint, "body") {
                    socket["send"] = body.into();
                }
                set_headers(&headers(endpoint), &mut socket, &mut draft);
                if insecure {
                    socket["tls"] = skip();
                }
                draft.set("websocket", socket);
            }
            "grpc" | "grpcs" => {
                let mut grpc = json!({ "address": address });
                if scheme == "grpcs" {
                    grpc["tls"] = if insecure { skip() } else { json!({}) };
                }
                draft.set("grpc", grpc);
            }
            other => {
                let kind = if other.is_empty() { "an address without a scheme" } else { other };
                return translation.note(told, format!("{kind} has no probe here"));
            }
        }
    }
    for (key, value) in client.as_object().into_iter().flatten() {
        if !["insecure", "timeout", "ignore-redirect"].contains(&key.as_str()) && !value.is_null() {
            translation.note(&told, format!("client.{key} has no counterpart"));
        }
    }
    if !kept.is_empty() {
        let assertions: Vec<Value> = kept.iter().map(|it| json!({ "condition": it })).collect();
        draft.set("assertions", assertions);
    }
    translation.drafts.push(draft);
}

/// An HTTP probe. A condition on the status alone becomes its expected status; where there is none, any
/// status is good, as Gatus has it.
fn http(endpoint: &Value, url: &str, client: &Value, kept: &mut Vec<&str>, draft: &mut Draft) -> Value {
    let graphql = endpoint.get("graphql").and_then(Value::as_bool) == Some(true);
    let method = text(endpoint, "method").unwrap_or(if graphql { "POST" } else { "GET" });
    let mut http = json!({ "url": url, "method": method.to_ascii_uppercase() });
    let plain = kept.iter().position(|condition| plain_status(condition).is_some());
    http["expectedStatus"] = match plain {
        Some(index) => json!([plain_status(kept.remove(index)).unwrap_or_default()]),
        None => json!(["100-599"]),
    };
    if client.get("ignore-redirect").and_then(Value::as_bool) == Some(true) {
        http["followRedirects"] = false.into();
    }
    let mut headers = headers(endpoint);
    if let Some(body) = text(endpoint, "body") {
        http["body"] = match graphql {
            true => json!({ "query": body }).to_string().into(),
            false => body.into(),
        };
        if graphql && !headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("content-type")) {
            headers.push(("Content-Type".into(), "application/json".into()));
        }
    }
    set_headers(&headers, &mut http, draft);
    http
}

/// A TCP probe that sends what the endpoint does.
fn tcp(endpoint: &Value, address: &str, told: &str, translation: &mut Translation) -> Value {
    let Some(body) = says(endpoint) else { return json!({ "address": address }) };
    if !body.ends_with("\r\n") {
        translation.note(told, "its body ends with CR LF here");
    }
    // The probe adds that end itself.
    let line = body.strip_suffix('\n').map_or(body, |line| line.strip_suffix('\r').unwrap_or(line));
    json!({ "address": address, "conversation": [{ "send": line }] })
}

/// What an endpoint sends.
fn says(endpoint: &Value) -> Option<&str> {
    text(endpoint, "body").filter(|body| !body.is_empty())
}

/// Names and values of an endpoint's headers; a number is a text, too.
fn headers(endpoint: &Value) -> Vec<(String, String)> {
    let headers = endpoint.get("headers").and_then(Value::as_object).into_iter().flatten();
    headers.filter(|(_, value)| !value.is_null()).map(|(name, value)| (name.clone(), plain(value))).collect()
}

/// A value as text; a number is one, too.
fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// Tells what an object has that is not carried over.
fn lost(object: &Value, known: &[&str], told: &str, translation: &mut Translation) {
    for (key, value) in object.as_object().into_iter().flatten() {
        if !known.contains(&key.as_str()) && !value.is_null() {
            translation.note(told, format!("`{key}` has no counterpart"));
        }
    }
}

fn set_headers(headers: &[(String, String)], probe: &mut Value, draft: &mut Draft) {
    if !headers.is_empty() {
        let pairs = headers.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        probe["headers"] = draft.headers(pairs);
    }
}

/// The status of `[STATUS] == 200`.
fn plain_status(condition: &str) -> Option<String> {
    let status = condition.trim().strip_prefix("[STATUS] == ")?.trim();
    (status.len() == 3 && status.bytes().all(|byte| byte.is_ascii_digit())).then(|| status.to_owned())
}

/// Who is told. What an alert leaves out is its provider's `default-alert`'s, then Gatus' own default.
fn alerts(endpoint: &Value, alerting: &Value, told: &str, draft: &mut Draft, translation: &mut Translation) {
    let whole = |alert: &Value| {
        let defaults = &alerting[text(alert, "type").unwrap_or_default()]["default-alert"];
        let mut all = defaults.as_object().cloned().unwrap_or_default();
        let own = alert.as_object().into_iter().flatten().filter(|(_, value)| !value.is_null());
        all.extend(own.map(|(key, value)| (key.clone(), value.clone())));
        Value::Object(all)
    };
    let flag = |alert: &Value, key: &str| alert.get(key).and_then(Value::as_bool);
    let enabled: Vec<Value> = endpoint
        .get("alerts")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .map(whole)
        .filter(|alert| flag(alert, "enabled") != Some(false))
        .collect();
    if enabled.is_empty() {
        // Without a list, the installation's default channels would be told.
        return draft.set("alerts", json!({ "channels": [] }));
    }
    let mut channels: Vec<String> =
        enabled.iter().filter_map(|alert| text(alert, "type")).map(slug).collect();
    channels.sort_unstable();
    channels.dedup();
    if enabled.iter().any(|alert| text(alert, "type").is_none()) {
        translation.note(told, "one of its alerts has no type");
    }
    let distinct = |mut all: Vec<u64>| {
        all.sort_unstable();
        all.dedup();
        all
    };
    let thresholds = |key: &str, default: u64| -> Vec<u64> {
        let of = |alert: &Value| alert.get(key).and_then(Value::as_u64).filter(|count| *count > 0);
        distinct(enabled.iter().map(|alert| of(alert).unwrap_or(default)).collect())
    };
    let (failures, successes) =
        (thresholds("failure-threshold", FAILURES), thresholds("success-threshold", SUCCESSES));
    if failures.len() > 1 || successes.len() > 1 {
        translation.note(told, "its alerts differ in thresholds; all have the lowest here");
    }
    let lowest = |all: &[u64]| all.first().map(|lowest| *lowest.min(&HIGHEST));
    if [&failures, &successes].into_iter().any(|all| all.first() > Some(&HIGHEST)) {
        translation.note(told, format!("a threshold of its alerts is {HIGHEST} here, the highest"));
    }
    let recoveries = enabled.iter().filter(|alert| flag(alert, "send-on-resolved") == Some(true)).count();
    if (1..enabled.len()).contains(&recoveries) {
        translation.note(told, "its alerts differ in send-on-resolved; all tell recoveries here");
    }
    let mut spec = json!({
        "channels": channels,
        "sendRecovery": recoveries > 0,
        "failureThreshold": lowest(&failures),
        "successThreshold": lowest(&successes),
    });
    let reminders =
        enabled.iter().map(|alert| length(alert, "minimum-reminder-interval", 0, told, translation));
    let reminders = distinct(reminders.collect());
    if reminders.len() > 1 {
        translation.note(told, "its alerts differ in minimum-reminder-interval; all have the shortest here");
    }
    if let Some(reminder) = reminders.into_iter().find(|reminder| *reminder > 0) {
        spec["reminder"] = time(reminder.max(60_000)).into();
    }
    let keys: BTreeSet<&String> = enabled.iter().filter_map(Value::as_object).flat_map(Map::keys).collect();
    for key in keys.into_iter().filter(|key| !KNOWN_ALERT.contains(&key.as_str())) {
        translation.note(told, format!("`{key}` of alerts has no counterpart"));
    }
    draft.set("alerts", spec);
}

fn windows(endpoint: &Value, told: &str, draft: &mut Draft, translation: &mut Translation) {
    let Some(windows) = endpoint.get("maintenance-windows").and_then(Value::as_array) else { return };
    let mut all = Vec::new();
    for window in windows {
        if window.get("enabled").and_then(Value::as_bool) == Some(false) {
            continue;
        }
        let start = text(window, "start").and_then(|start| start.split_once(':'));
        let length = text(window, "duration").and_then(milliseconds);
        let (Some((hour, minute)), Some(length)) = (start, length) else {
            translation.note(told, "a maintenance window has no start or no duration");
            continue;
        };
        let every = window.get("every").and_then(Value::as_array).into_iter().flatten();
        let Some(days) = every.map(|day| weekday(day.as_str()?)).collect::<Option<Vec<_>>>() else {
            translation.note(told, "a maintenance window names a day that is no day of the week");
            continue;
        };
        let days = if days.is_empty() { "*".to_owned() } else { days.join(",") };
        let number = |text: &str| text.trim_start_matches('0').parse::<u32>().unwrap_or_default();
        all.push(json!({
            "start": "2020-01-01T00:00:00",
            "duration": time(length),
            "recurrence": format!("{} {} * * {days}", number(minute), number(hour)),
            "timezone": text(window, "timezone").unwrap_or("UTC"),
        }));
    }
    if !all.is_empty() {
        draft.set("maintenance", all);
    }
}

/// A day of the week as cron counts it.
fn weekday(name: &str) -> Option<String> {
    const DAYS: [&str; 7] = ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];
    DAYS.iter().position(|day| day.eq_ignore_ascii_case(name)).map(|number| number.to_string())
}

fn external(endpoint: &Value, alerting: &Value, translation: &mut Translation) {
    let told = text(endpoint, "name").unwrap_or("an external endpoint without a name").to_owned();
    lost(endpoint, KNOWN_EXTERNAL, &told, translation);
    let beat = endpoint.get("heartbeat").and_then(|beat| text(beat, "interval")).and_then(milliseconds);
    let Some(interval) = beat.filter(|interval| *interval >= SHORTEST) else {
        return translation
            .note(told, "an external endpoint without heartbeat.interval is never judged here");
    };
    let mut draft = draft(endpoint, alerting, &told, translation);
    draft.milliseconds("interval", interval);
    draft.milliseconds("timeout", TIMEOUT.min(interval));
    heartbeat(text(endpoint, "token").unwrap_or_default(), &told, &mut draft, translation);
    translation.drafts.push(draft);
}

/// A length of time, milliseconds. Nothing and none are the default; what cannot be read is told.
fn length(object: &Value, key: &str, default: u64, told: &str, translation: &mut Translation) -> u64 {
    let Some(given) = object.get(key).filter(|given| !given.is_null()) else { return default };
    let read = given.as_str().and_then(milliseconds);
    if read.is_none() {
        let instead = if default == 0 { "never".to_owned() } else { time(default) };
        translation.note(told, format!("{key} `{}` is no length of time: {instead} here", plain(given)));
    }
    read.filter(|ms| *ms > 0).unwrap_or(default)
}

/// Milliseconds of a length of time as Go writes it, such as `1h30m`.
fn milliseconds(text: &str) -> Option<u64> {
    let mut total = 0.0;
    let mut rest = text.trim();
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let number: f64 = rest[..digits].parse().ok()?;
        rest = &rest[digits..];
        let unit = rest.find(|c: char| c.is_ascii_digit()).unwrap_or(rest.len());
        total += number
            * match &rest[..unit] {
                "h" => 3_600_000.0,
                "m" => 60_000.0,
                "s" => 1_000.0,
                "ms" => 1.0,
                "us" | "µs" | "μs" => 1e-3,
                "ns" => 1e-6,
                _ => return None,
            };
        rest = &rest[unit..];
    }
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // of years at most, and not negative
    Some(total.ceil() as u64)
}
