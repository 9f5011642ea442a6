//! api-monitoring-system's YAML file: its keys, defaults and rules. Keys that are not known are
//! ignored, as upstream ignores them. Pure: no file, no environment.

use std::fmt::Display;

use serde::{Deserialize, Deserializer};
use serde_json::Value;
use watchkeeper_api::MonitoringEndpoint;
use watchkeeper_runtime::secret::Secret;

use crate::yaml;

/// The whole file.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Config {
    #[serde(deserialize_with = "or_default")]
    pub database: Database,
    #[serde(deserialize_with = "or_default")]
    endpoints: Vec<Value>,
    #[serde(deserialize_with = "or_default")]
    pub notifications: Notifications,
    #[serde(deserialize_with = "or_default")]
    pub monitoring: Monitoring,
    #[serde(deserialize_with = "or_default")]
    pub logging: Logging,
    #[serde(deserialize_with = "or_default")]
    pub prometheus: Prometheus,
    #[serde(deserialize_with = "or_default")]
    pub api: Api,
}

/// A block that is there without a value, as when all its keys are commented out, is as if it were not.
fn or_default<'de, T, D>(deserializer: D) -> Result<T, D::Error>
where
    T: Default + Deserialize<'de>,
    D: Deserializer<'de>,
{
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

/// Where the data lies.
#[derive(Debug, Deserialize)]
#[serde(default)]
pub struct Database {
    #[serde(rename = "type")]
    pub kind: String,
    #[serde(deserialize_with = "secret")]
    pub url: Secret,
}

impl Default for Database {
    fn default() -> Self {
        Self { kind: "sqlite".into(), url: Secret::new("") }
    }
}

/// Who is told, and how.
#[derive(Debug, Deserialize)]
#[serde(default)]
pub struct Notifications {
    pub enabled: bool,
    pub cooldown_seconds: i64,
    pub send_recovery: bool,
    #[serde(deserialize_with = "or_default")]
    pub email: Email,
    #[serde(deserialize_with = "or_default")]
    pub webhook: Webhook,
    #[serde(deserialize_with = "or_default")]
    pub telegram: Telegram,
}

impl Default for Notifications {
    fn default() -> Self {
        Self {
            enabled: true,
            cooldown_seconds: 300,
            send_recovery: true,
            email: Email::default(),
            webhook: Webhook::default(),
            telegram: Telegram::default(),
        }
    }
}

#[derive(Debug, Deserialize)]
#[serde(default)]
pub struct Email {
    pub enabled: bool,
    pub smtp_host: String,
    pub smtp_port: i64,
    pub smtp_use_tls: bool,
    #[serde(deserialize_with = "or_default")]
    pub smtp_user: String,
    #[serde(deserialize_with = "secret")]
    pub smtp_password: Secret,
    #[serde(deserialize_with = "or_default")]
    pub from_addr: String,
    pub from_name: String,
    #[serde(deserialize_with = "or_default")]
    pub to_addrs: Vec<String>,
    pub subject_template: String,
    pub body_template: String,
}

impl Default for Email {
    fn default() -> Self {
        Self {
            enabled: false,
            smtp_host: "smtp.gmail.com".into(),
            smtp_port: 587,
            smtp_use_tls: true,
            smtp_user: String::new(),
            smtp_password: Secret::new(""),
            from_addr: String::new(),
            from_name: "API Monitor".into(),
            to_addrs: Vec::new(),
            subject_template: "🚨 Alert: {endpoint_name} is DOWN".into(),
            body_template: "Endpoint {endpoint_name} is unreachable. Error: {error}".into(),
        }
    }
}

#[derive(Debug, Deserialize)]
#[serde(default)]
pub struct Webhook {
    pub enabled: bool,
    #[serde(deserialize_with = "secret")]
    pub url: Secret,
    pub method: String,
    #[serde(deserialize_with = "or_default")]
    pub headers: std::collections::BTreeMap<String, String>,
    pub retry_count: i64,
    pub retry_delay: f64,
    pub timeout: f64,
    pub payload_template: String,
}

impl Default for Webhook {
    fn default() -> Self {
        Self {
            enabled: false,
            url: Secret::new(""),
            method: "POST".into(),
            headers: std::collections::BTreeMap::new(),
            retry_count: 3,
            retry_delay: 5.0,
            timeout: 10.0,
            payload_template: r#"{"text": "🚨 {endpoint_name} is DOWN"}"#.into(),
        }
    }
}

#[derive(Debug, Deserialize)]
#[serde(default)]
pub struct Telegram {
    pub enabled: bool,
    #[serde(deserialize_with = "secret")]
    pub bot_token: Secret,
    #[serde(deserialize_with = "number_or_text")]
    pub chat_id: String,
    pub message_template: String,
    pub parse_mode: String,
    /// Server of the bot API; upstream knows Telegram's own alone.
    pub api_url: String,
}

impl Default for Telegram {
    fn default() -> Self {
        Self {
            enabled: false,
            bot_token: Secret::new(""),
            chat_id: String::new(),
            message_template: "🚨 *{endpoint_name}* is DOWN\nError: {error}".into(),
            parse_mode: "Markdown".into(),
            api_url: "https://api.telegram.org".into(),
        }
    }
}

/// How checks are made and kept.
#[derive(Debug, Deserialize)]
#[serde(default)]
pub struct Monitoring {
    pub check_history_days: i64,
    pub max_concurrent_checks: i64,
}

impl Default for Monitoring {
    fn default() -> Self {
        Self { check_history_days: 90, max_concurrent_checks: 20 }
    }
}

#[derive(Debug, Deserialize)]
#[serde(default)]
pub struct Logging {
    pub level: String,
    pub format: String,
}

impl Default for Logging {
    fn default() -> Self {
        Self { level: "INFO".into(), format: "text".into() }
    }
}

#[derive(Debug, Deserialize)]
#[serde(default)]
pub struct Prometheus {
    pub enabled: bool,
    pub port: i64,
}

impl Default for Prometheus {
    fn default() -> Self {
        Self { enabled: false, port: 9090 }
    }
}

/// How the API answers.
#[derive(Debug, Deserialize)]
#[serde(default)]
pub struct Api {
    pub host: Option<String>,
    pub port: i64,
    /// What the file itself says of pages of other sites.
    pub cors: Option<Cors>,
    #[serde(deserialize_with = "or_default")]
    pub auth: Auth,
}

impl Default for Api {
    fn default() -> Self {
        Self { host: None, port: 8000, cors: None, auth: Auth::default() }
    }
}

#[derive(Debug, Deserialize)]
#[serde(default)]
pub struct Cors {
    pub enabled: bool,
    pub allow_origins: Vec<String>,
    pub allow_credentials: bool,
    pub allow_methods: Vec<String>,
    pub allow_headers: Vec<String>,
}

impl Default for Cors {
    fn default() -> Self {
        let all = || vec!["*".to_owned()];
        Self {
            enabled: true,
            allow_origins: all(),
            allow_credentials: true,
            allow_methods: all(),
            allow_headers: all(),
        }
    }
}

#[derive(Debug, Deserialize)]
#[serde(default)]
pub struct Auth {
    pub enabled: bool,
    #[serde(deserialize_with = "secret")]
    pub api_key: Secret,
    pub header_name: String,
}

impl Default for Auth {
    fn default() -> Self {
        Self { enabled: false, api_key: Secret::new(""), header_name: "X-API-Key".into() }
    }
}

fn secret<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Secret, D::Error> {
    Ok(Secret::new(number_or_text(deserializer)?))
}

fn number_or_text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    match Value::deserialize(deserializer)? {
        Value::Null => Ok(String::new()),
        Value::String(text) => Ok(text),
        Value::Number(number) => Ok(number.to_string()),
        _ => Err(serde::de::Error::custom("must be text")),
    }
}

/// A file that was read, and the endpoints that it declares.
#[derive(Debug)]
pub struct Read {
    pub config: Config,
    pub endpoints: Vec<MonitoringEndpoint>,
}

impl Config {
    /// Reads a file; `adapt` may then change it, as the environment does.
    ///
    /// # Errors
    /// Every mistake, a line each.
    pub fn read(
        text: &str,
        adapt: impl FnOnce(&mut Self) -> Result<(), String>,
    ) -> Result<Read, Vec<String>> {
        let read: Result<Option<Self>, _> = serde_yaml::from_str(text);
        let mut config = read.map_err(|error| vec![error.to_string()])?.unwrap_or_default();
        // That has told where mistakes are, and passed over what merge keys say.
        if text.contains("<<") {
            let merged = yaml::read(text).map_err(|error| vec![error.to_string()])?;
            config = serde_json::from_value(merged).map_err(|error| vec![error.to_string()])?;
        }
        adapt(&mut config).map_err(|error| vec![error])?;
        let mut mistakes = config.mistakes();
        let endpoints = config.read_endpoints(&mut mistakes);
        if mistakes.is_empty() { Ok(Read { config, endpoints }) } else { Err(mistakes) }
    }

    fn read_endpoints(&mut self, mistakes: &mut Vec<String>) -> Vec<MonitoringEndpoint> {
        let mut endpoints: Vec<MonitoringEndpoint> = Vec::with_capacity(self.endpoints.len());
        for (index, value) in std::mem::take(&mut self.endpoints).iter().enumerate() {
            match MonitoringEndpoint::create(value) {
                Ok(endpoint) if endpoints.iter().any(|known| known.name == endpoint.name) => {
                    mistakes.push(format!(
                        "endpoints[{index}].name: there are two endpoints called `{}`; rename one",
                        endpoint.name
                    ));
                }
                Ok(endpoint) => endpoints.push(endpoint),
                Err(problems) => {
                    mistakes.extend(problems.iter().map(|problem| format!("endpoints[{index}].{problem}")));
                }
            }
        }
        endpoints
    }

    /// What breaks a rule.
    fn mistakes(&self) -> Vec<String> {
        let mut mistakes = Vec::new();
        let mut rule = |holds: bool, field: &str, fix: &dyn Display| {
            if !holds {
                mistakes.push(format!("{field}: {fix}"));
            }
        };
        let port = |port: i64| (1..=65_535).contains(&port);
        let ports = "must be a port, from 1 to 65535";
        match self.database.kind.to_ascii_lowercase().as_str() {
            "sqlite" => {}
            "postgresql" | "postgres" => {
                let url = self.database.url.expose();
                rule(!url.is_empty(), "database.url", &"must be set for postgresql");
            }
            "mysql" => rule(false, "database.type", &"mysql is not supported; use sqlite or postgresql"),
            other => rule(false, "database.type", &format!("`{other}` must be sqlite or postgresql")),
        }
        let level = self.level();
        rule(level.is_some(), "logging.level", &"must be DEBUG, INFO, WARNING, ERROR or CRITICAL");
        let format = ["text", "json"].contains(&self.logging.format.as_str());
        rule(format, "logging.format", &"must be text or json");
        rule(port(self.prometheus.port), "prometheus.port", &ports);
        rule(port(self.api.port), "api.port", &ports);
        let address = |host: &str| host == "localhost" || host.parse::<std::net::IpAddr>().is_ok();
        let host = self.api.host.as_deref().is_none_or(address);
        rule(host, "api.host", &"must be an address of this machine, such as 127.0.0.1 or 0.0.0.0");
        let auth = &self.api.auth;
        let key = !auth.enabled || !auth.api_key.expose().is_empty();
        rule(key, "api.auth.api_key", &"must be set where api.auth.enabled is");
        let header = auth.header_name.parse::<http::HeaderName>().is_ok();
        rule(header, "api.auth.header_name", &"must be the name of a header");
        let monitoring = &self.monitoring;
        let days = (1..=36_500).contains(&monitoring.check_history_days);
        rule(days, "monitoring.check_history_days", &"must be 1 or more");
        let checks = (1..=100_000).contains(&monitoring.max_concurrent_checks);
        rule(checks, "monitoring.max_concurrent_checks", &"must be 1 or more");

        let is_web = |url: &str| url.starts_with("http://") || url.starts_with("https://");
        let web = "must be an absolute URL, http or https";
        let told = &self.notifications;
        let seconds = (0..=31_536_000).contains(&told.cooldown_seconds);
        rule(seconds, "notifications.cooldown_seconds", &"must be 0 or more");
        let email = &told.email;
        if email.enabled {
            rule(port(email.smtp_port), "notifications.email.smtp_port", &ports);
            let login = email.smtp_user.is_empty() || !email.smtp_password.expose().is_empty();
            rule(login, "notifications.email.smtp_password", &"must be set where smtp_user is");
            rule(!email.to_addrs.is_empty(), "notifications.email.to_addrs", &"must name somebody");
            let from = !email.from_addr.is_empty() || email.smtp_user.contains('@');
            rule(from, "notifications.email.from_addr", &"must be set");
        }
        let webhook = &told.webhook;
        if webhook.enabled {
            rule(is_web(webhook.url.expose()), "notifications.webhook.url", &web);
            let retries = (0..=100).contains(&webhook.retry_count);
            rule(retries, "notifications.webhook.retry_count", &"must be from 0 to 100");
            let delay = (0.0..=3_600.0).contains(&webhook.retry_delay);
            rule(delay, "notifications.webhook.retry_delay", &"must be from 0 to 3600");
            let timeout = webhook.timeout > 0.0 && webhook.timeout <= 300.0;
            rule(timeout, "notifications.webhook.timeout", &"must be more than 0 and at most 300");
        }
        let telegram = &told.telegram;
        if telegram.enabled {
            let token = !telegram.bot_token.expose().is_empty();
            rule(token, "notifications.telegram.bot_token", &"must be set");
            rule(!telegram.chat_id.is_empty(), "notifications.telegram.chat_id", &"must be set");
            rule(is_web(&telegram.api_url), "notifications.telegram.api_url", &web);
        }
        mistakes
    }

    /// The level of logs in the words of this program.
    pub fn level(&self) -> Option<&'static str> {
        match self.logging.level.to_ascii_uppercase().as_str() {
            "DEBUG" => Some("debug"),
            "INFO" => Some("info"),
            "WARNING" | "WARN" => Some("warn"),
            "ERROR" | "CRITICAL" => Some("error"),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Read, Vec<String>> {
        Config::read(text, |_| Ok(()))
    }

    #[test]
    fn an_empty_file_means_upstreams_defaults() {
        for text in ["", "endpoints:\nnotifications:\n", "retry: {max_attempts: 5}\nredis: {enabled: true}\n"]
        {
            let read = read(text).expect("a file");
            assert!(read.endpoints.is_empty());
            let config = read.config;
            assert_eq!((config.api.port, config.monitoring.max_concurrent_checks), (8000, 20));
            assert!(config.notifications.enabled && config.notifications.send_recovery);
            assert!(!config.api.auth.enabled && config.api.cors.is_none());
        }
    }

    #[test]
    fn endpoints_have_upstreams_fields_and_defaults() {
        let text = "
endpoints:
  - name: shop
    url: https://shop.example/health
    method: post
    interval: 30
    headers: {Authorization: Bearer x}
    body: {ping: true}
  - {name: blog, url: 'http://blog.example/', is_active: false}
";
        let endpoints = read(text).expect("a file").endpoints;
        let shop = &endpoints[0];
        assert_eq!((shop.method.as_str(), shop.interval, shop.timeout), ("POST", 30, 5));
        assert!(shop.body.is_some() && shop.headers.is_some() && shop.is_active);
        assert_eq!((endpoints[1].interval, endpoints[1].is_active), (60, false));
    }

    #[test]
    fn merge_keys_give_endpoints_what_they_have_in_common() {
        let text = "
usual: &usual {interval: 30, timeout: 9}
endpoints:
  - {<<: *usual, name: shop, url: 'https://shop.example/'}
  - {<<: *usual, name: blog, url: 'https://blog.example/', timeout: 2}
";
        let endpoints = read(text).expect("a file").endpoints;
        let found: Vec<_> = endpoints.iter().map(|it| (it.interval, it.timeout)).collect();
        assert_eq!(found, [(30, 9), (30, 2)]);
    }

    #[test]
    fn every_mistake_is_named() {
        let text = "
database: {type: mysql}
logging: {level: LOUD}
api: {port: 70000, auth: {enabled: true}}
monitoring: {max_concurrent_checks: 0}
notifications:
  cooldown_seconds: -1
  webhook: {enabled: true, retry_count: -1}
  email: {enabled: true, smtp_user: me@example.com}
  telegram: {enabled: true, api_url: bots.example}
endpoints:
  - {name: a, url: 'http://a.example/', interval: 9, timeout: 0, expected_status: 600}
  - {name: b, url: 'http://b.example/'}
  - {name: b, url: 'http://b.example/'}
";
        let mistakes = read(text).expect_err("mistakes");
        let all = mistakes.join("\n");
        for field in [
            "database.type",
            "logging.level",
            "api.port",
            "api.auth.api_key",
            "monitoring.max_concurrent_checks",
            "notifications.cooldown_seconds",
            "notifications.webhook.url",
            "notifications.webhook.retry_count",
            "notifications.email.smtp_password",
            "notifications.email.to_addrs",
            "notifications.telegram.bot_token",
            "notifications.telegram.chat_id",
            "notifications.telegram.api_url",
            "endpoints[0].interval: Input should be greater than or equal to 10",
            "endpoints[0].timeout",
            "endpoints[0].expected_status",
            "endpoints[2].name",
        ] {
            assert!(mistakes.iter().any(|line| line.starts_with(field)), "{field}: {all}");
        }
    }

    #[test]
    fn broken_yaml_says_where() {
        let told = read("api:\n  port: [1,\n").expect_err("mistake").join("\n");
        assert!(told.contains("line"), "{told}");
        let told = read("api: {port: high}").expect_err("mistake").join("\n");
        assert!(told.contains("api.port"), "{told}");
    }
}
