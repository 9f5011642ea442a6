//! Environment variables that change api-monitoring-system's file, by upstream's names.

use std::str::FromStr;

use watchkeeper_runtime::secret::Secret;

use super::config::Config;

/// Changes `config` by what `variable` gives; an empty value is none.
pub fn adapt(config: &mut Config, variable: impl Fn(&str) -> Option<String>) -> Result<(), String> {
    let given = |name: &str| variable(name).filter(|value| !value.is_empty());
    let secret = |name: &str, into: &mut Secret| {
        if let Some(value) = given(name) {
            *into = Secret::new(value);
        }
    };
    let text = |name: &str, into: &mut String| {
        if let Some(value) = given(name) {
            *into = value;
        }
    };
    if let Some(url) = given("DATABASE_URL") {
        // Such as `postgresql+asyncpg://`, as SQLAlchemy has it.
        let scheme = url.split([':', '+']).next().unwrap_or_default();
        config.database.kind = scheme.to_owned();
        config.database.url = Secret::new(url);
    }
    text("LOG_LEVEL", &mut config.logging.level);
    text("LOG_FORMAT", &mut config.logging.format);
    if let Some(host) = given("API_HOST") {
        config.api.host = Some(host);
    }
    number("API_PORT", given("API_PORT"), &mut config.api.port)?;
    flag("API_AUTH_ENABLED", given("API_AUTH_ENABLED"), &mut config.api.auth.enabled)?;
    secret("API_KEY", &mut config.api.auth.api_key);
    flag("PROMETHEUS_ENABLED", given("PROMETHEUS_ENABLED"), &mut config.prometheus.enabled)?;
    number("PROMETHEUS_PORT", given("PROMETHEUS_PORT"), &mut config.prometheus.port)?;
    let told = &mut config.notifications;
    text("SMTP_HOST", &mut told.email.smtp_host);
    number("SMTP_PORT", given("SMTP_PORT"), &mut told.email.smtp_port)?;
    text("SMTP_USER", &mut told.email.smtp_user);
    secret("SMTP_PASSWORD", &mut told.email.smtp_password);
    secret("WEBHOOK_URL", &mut told.webhook.url);
    secret("TELEGRAM_BOT_TOKEN", &mut told.telegram.bot_token);
    text("TELEGRAM_CHAT_ID", &mut told.telegram.chat_id);
    Ok(())
}

fn number<T: FromStr>(name: &str, value: Option<String>, into: &mut T) -> Result<(), String> {
    if let Some(value) = value {
        *into = value.parse().map_err(|_| format!("{name}: `{value}` must be a number"))?;
    }
    Ok(())
}

fn flag(name: &str, value: Option<String>, into: &mut bool) -> Result<(), String> {
    if let Some(value) = value {
        *into = match value.to_ascii_lowercase().as_str() {
            "true" | "1" | "yes" | "on" => true,
            "false" | "0" | "no" | "off" => false,
            _ => return Err(format!("{name}: `{value}` must be true or false")),
        };
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(variables: &[(&str, &str)]) -> Result<super::super::config::Read, Vec<String>> {
        let variable = |name: &str| {
            variables.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned())
        };
        Config::read("logging: {level: INFO}\napi: {port: 8000}\n", |config| adapt(config, variable))
    }

    #[test]
    fn the_environment_wins_over_the_file() {
        let url = "postgresql+asyncpg://u:p@db/monitor";
        let read = with(&[("DATABASE_URL", url), ("LOG_LEVEL", "warning"), ("API_PORT", "9000")]);
        let config = read.expect("a file").config;
        assert_eq!((config.database.kind.as_str(), config.database.url.expose()), ("postgresql", url));
        assert_eq!((config.level(), config.api.port), (Some("warn"), 9000));
    }

    #[test]
    fn every_variable_has_its_place() {
        let read = with(&[
            ("LOG_FORMAT", "json"),
            ("API_HOST", "0.0.0.0"),
            ("API_AUTH_ENABLED", "yes"),
            ("API_KEY", "k3y"),
            ("PROMETHEUS_ENABLED", "1"),
            ("PROMETHEUS_PORT", "9100"),
            ("SMTP_HOST", "mail.example"),
            ("SMTP_PORT", "25"),
            ("SMTP_USER", "user"),
            ("SMTP_PASSWORD", "p4ss"),
            ("WEBHOOK_URL", "https://hooks.example/"),
            ("TELEGRAM_BOT_TOKEN", "t0ken"),
            ("TELEGRAM_CHAT_ID", "-5"),
        ]);
        let config = read.expect("a file").config;
        assert_eq!((config.logging.format.as_str(), config.api.host.as_deref()), ("json", Some("0.0.0.0")));
        assert_eq!((config.api.auth.enabled, config.api.auth.api_key.expose()), (true, "k3y"));
        assert_eq!((config.prometheus.enabled, config.prometheus.port), (true, 9_100));
        let email = &config.notifications.email;
        assert_eq!((email.smtp_host.as_str(), email.smtp_port), ("mail.example", 25));
        assert_eq!((email.smtp_user.as_str(), email.smtp_password.expose()), ("user", "p4ss"));
        assert_eq!(config.notifications.webhook.url.expose(), "https://hooks.example/");
        let telegram = &config.notifications.telegram;
        assert_eq!((telegram.bot_token.expose(), telegram.chat_id.as_str()), ("t0ken", "-5"));
    }

    #[test]
    fn nonsense_in_the_environment_is_named() {
        assert_eq!(
            with(&[("API_PORT", "high")]).expect_err("mistake"),
            ["API_PORT: `high` must be a number"]
        );
        assert!(with(&[("LOG_LEVEL", "loud")]).is_err());
        assert!(with(&[("DATABASE_URL", "mysql://x")]).is_err());
        assert!(with(&[("API_AUTH_ENABLED", "true")]).is_err(), "a key is needed");
    }
}
