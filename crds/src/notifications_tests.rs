use serde_json::{Value, json};

use super::*;
use crate::testing;

fn judged(notifications: Value) -> Result<Notifications, String> {
    testing::judged(json!({ "notifications": notifications })).map(|instance| instance.spec.notifications)
}

fn with(channel: Value) -> Result<Notifications, String> {
    judged(json!({ "channels": [channel] }))
}

fn slack() -> Value {
    json!({"url": {"valueFrom": {"secretKeyRef": {"name": "slack", "key": "url"}}}})
}

#[test]
fn nothing_is_told_to_anybody_unless_it_is_asked_for() {
    assert_eq!(judged(json!({})).unwrap(), Notifications::default());
}

#[test]
fn a_channel_has_exactly_one_type() {
    with(json!({"name": "ops", "slack": slack()})).unwrap();
    for bad in [json!({"name": "ops"}), json!({"name": "ops", "slack": slack(), "teams": slack()})] {
        let error = with(bad.clone()).unwrap_err();
        assert!(error.contains("set exactly one of email"), "{bad}: {error}");
    }
}

#[test]
fn a_secret_text_has_exactly_one_source() {
    let url = |url: Value| with(json!({"name": "ops", "slack": {"url": url}}));
    for bad in [json!({}), json!({"value": "x", "valueFrom": {"env": "X"}})] {
        let error = url(bad.clone()).unwrap_err();
        assert!(error.contains("exactly one of value and valueFrom"), "{bad}: {error}");
    }
    for bad in [json!({}), json!({"env": "X", "file": "/x"})] {
        let error = url(json!({ "valueFrom": bad })).unwrap_err();
        assert!(error.contains("exactly one of secretKeyRef, env and file"), "{error}");
    }
    url(json!({"value": "https://hooks.example/x"})).unwrap();
}

#[test]
fn logins_are_whole() {
    let email = |extra: Value| {
        let mut email = json!({"host": "mail.example", "from": "a@b.example", "to": ["c@d.example"]});
        email.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
        with(json!({"name": "mail", "email": email}))
    };
    email(json!({})).unwrap();
    email(json!({"username": "u", "password": {"value": "p"}})).unwrap();
    assert!(email(json!({"username": "u"})).unwrap_err().contains("belong together"));
    let both = json!({"urls": ["http://am:9093"], "token": {"value": "t"}, "username": "u", "password": {"value": "p"}});
    assert!(with(json!({"name": "am", "alertmanager": both})).unwrap_err().contains("set token, or"));
}

#[test]
fn every_reference_is_resolved_and_nothing_secret_is_shown_for_debugging() {
    let spec = json!([
        {"name": "a", "slack": slack()},
        {"name": "b", "discord": slack()},
        {"name": "c", "teams": slack()},
        {"name": "d", "telegram": {"botToken": slack()["url"], "chatId": "1"}},
        {"name": "e", "pagerduty": {"routingKey": slack()["url"]}},
        {"name": "f", "opsgenie": {"apiKey": slack()["url"]}},
        {"name": "g", "ntfy": {"topic": slack()["url"], "token": slack()["url"]}},
        {"name": "h", "alertmanager": {"urls": ["http://am"], "token": slack()["url"]}},
        {"name": "i", "alertmanager": {"urls": ["http://am"], "username": "u", "password": slack()["url"]}},
        {"name": "j", "webhook": {"url": slack()["url"], "headers": [{"name": "X", "valueFrom": slack()["url"]["valueFrom"]}]}},
        {"name": "k", "email": {"host": "m", "from": "a@b", "to": ["c@d"], "username": "u", "password": slack()["url"]}},
    ]);
    let mut notifications = judged(json!({ "channels": spec })).unwrap();
    for channel in &mut notifications.channels {
        channel.resolve(|_| Ok("s3cret".to_owned())).unwrap();
    }
    let text = serde_json::to_string(&notifications).unwrap();
    assert!(!text.contains("secretKeyRef"), "{text}");
    assert_eq!(text.matches("s3cret").count(), 13);
    assert!(!format!("{notifications:?}").contains("s3cret"));
}
