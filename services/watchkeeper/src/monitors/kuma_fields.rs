//! Fields of Uptime Kuma's monitors that are carried over, that say nothing of what is watched, or that are lost.
//! An export has every field in every monitor, most of them with a default.

use serde_json::{Value, json};

use super::Translation;

/// What is carried over or told where it is read, and what Kuma itself makes.
const READ: &[&str] = &[
    "accepted_statuscodes",
    "active",
    "authDomain",
    "authMethod",
    "authWorkstation",
    "basic_auth_pass",
    "basic_auth_user",
    "body",
    "childrenIDs",
    "dns_last_result",
    "dns_resolve_server",
    "dns_resolve_type",
    "expectedValue",
    "expiryNotification",
    "forceInactive",
    "grpcBody",
    "grpcEnableTls",
    "grpcMetadata",
    "grpcMethod",
    "grpcProtobuf",
    "grpcServiceName",
    "grpcUrl",
    "headers",
    "hostname",
    "httpBodyEncoding",
    "id",
    "ignoreTls",
    "includeSensitiveData",
    "interval",
    "invertKeyword",
    "jsonPath",
    "jsonPathOperator",
    "keyword",
    "maintenance",
    "maxredirects",
    "maxretries",
    "method",
    "name",
    "notificationIDList",
    "oauth_auth_method",
    "oauth_client_id",
    "oauth_client_secret",
    "oauth_scopes",
    "oauth_token_url",
    "packetSize",
    "parent",
    "path",
    "pathName",
    "ping_count",
    "port",
    "pushToken",
    "resendInterval",
    "retryInterval",
    "screenshot",
    "smtpSecurity",
    "tags",
    "timeout",
    "tlsCa",
    "tlsCert",
    "tlsKey",
    "type",
    "upsideDown",
    "url",
    "weight",
];

/// Why some have no counterpart.
const WHY: &[(&str, &str)] = &[
    ("docker_container", "containers have no probe here"),
    ("mqttTopic", "MQTT has no probe here"),
    ("proxyId", "probes go out directly, without a proxy"),
];

/// Values that say something and are what every monitor has.
fn is_usual(key: &str, value: &Value) -> bool {
    match key {
        "gamedigGivenPortOnly" | "ping_numeric" => *value == json!(true),
        "kafkaProducerSaslOptions" => *value == json!({ "mechanism": "None" }),
        "mqttCheckType" => *value == json!("keyword"),
        "ping_per_request_timeout" => *value == json!(2),
        "snmpVersion" => *value == json!("2c"),
        _ => false,
    }
}

/// Whether a value is more than nothing.
pub fn says_something(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::Bool(it) => *it,
        Value::Number(it) => it.as_f64() != Some(0.0),
        Value::String(it) => !it.is_empty(),
        Value::Array(it) => !it.is_empty(),
        Value::Object(it) => !it.is_empty(),
    }
}

/// Tells what a monitor has that is not carried over.
pub fn tell_lost(monitor: &Value, told: &str, translation: &mut Translation) {
    for (key, value) in monitor.as_object().into_iter().flatten() {
        if READ.contains(&key.as_str()) || !says_something(value) || is_usual(key, value) {
            continue;
        }
        match WHY.iter().find(|(known, _)| known == key) {
            Some((_, why)) => translation.note(told, why),
            None => translation.note(told, format!("`{key}` has no counterpart")),
        }
    }
}
