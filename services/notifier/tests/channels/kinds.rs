//! Each channel tells each kind of notice.

use std::{collections::BTreeSet, time::Duration};

use serde_json::{Value, json};
use watchkeeper_store::alerts::Channel;
use watchkeeper_testkit::sink::{Answer, HttpSink, SmtpOptions, SmtpSink};

use crate::harness::{Database, Watch, channel, opsgenie, pagerduty, webhook};

/// Each channel that speaks HTTP and says in words what it is about.
const SPEAKING: [fn(&str) -> Value; 8] = [
    webhook,
    pagerduty,
    opsgenie,
    |url| json!({"name": "c", "slack": {"url": {"value": url}}}),
    |url| json!({"name": "c", "discord": {"url": {"value": url}}}),
    |url| json!({"name": "c", "teams": {"url": {"value": url}}}),
    |url| json!({"name": "c", "telegram": {"botToken": {"value": "12:secret"}, "chatId": "-100", "apiUrl": url}}),
    |url| json!({"name": "c", "ntfy": {"topic": {"value": "alerts"}, "server": url}}),
];

/// How the titles of [`Watch::every_kind`] begin.
const TITLES: [&str; 4] =
    ["Degraded: The slow", "Down: The stuck", "Still down: The stuck", "Flapping: The flaky"];

/// A channel for all endpoints and one for those that name it; each sends every notice by itself.
fn own_and_deputy(own: Value, deputy: Value) -> [Channel; 2] {
    let own = Channel { group_wait: Duration::ZERO, ..channel(own) };
    let deputy = channel(deputy);
    [own, Channel { name: "deputy".into(), default: false, group_wait: Duration::ZERO, ..deputy }]
}

#[tokio::test(flavor = "multi_thread")]
async fn every_channel_tells_each_kind_of_notice_on_sqlite() {
    every_channel_tells_each_kind_of_notice(Database::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_channel_tells_each_kind_of_notice_on_postgres() {
    every_channel_tells_each_kind_of_notice(Database::Postgres).await;
}

async fn every_channel_tells_each_kind_of_notice(database: Database) {
    for config in SPEAKING {
        let (own, other) = (HttpSink::start().unwrap(), HttpSink::start().unwrap());
        for sink in [&own, &other] {
            // Telegram wants to hear that; the others do not mind.
            sink.answer(Answer { body: r#"{"ok": true}"#.into(), ..Answer::status(200) });
        }
        let channels = own_and_deputy(config(&own.url()), config(&other.url()));
        let watch = Watch::start_on(database, &channels, |_| ()).await;
        watch.every_kind().await;
        let kind = &channels[0].kind;
        let says = |sink: &HttpSink, title: &str| sink.taken().iter().any(|it| it.body.contains(title));
        for title in TITLES {
            assert!(says(&own, title), "{kind}: {title}: {:?}", own.taken());
        }
        assert!(says(&other, "Still down: The stuck"), "{kind}: {:?}", other.taken());
        let named = ["The slow", "The flaky"].iter().any(|name| says(&other, name));
        assert!(!named, "the deputy is told of what lasts alone");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn alertmanager_has_an_alert_for_each_kind_of_trouble() {
    let sink = HttpSink::start().unwrap();
    let config = json!({"name": "c", "alertmanager": {"urls": [sink.url()]}});
    let watch = Watch::start_on(Database::Sqlite, &own_and_deputy(config.clone(), config), |_| ()).await;
    watch.every_kind().await;
    let posted: Vec<Value> =
        sink.taken().iter().flat_map(|request| request.json().as_array().unwrap().clone()).collect();
    for (name, endpoint) in
        [("EndpointDegraded", "slow"), ("EndpointDown", "stuck"), ("EndpointFlapping", "flaky")]
    {
        let fires = posted.iter().any(|alert| {
            let ends: jiff::Timestamp = alert["endsAt"].as_str().unwrap().parse().unwrap();
            alert["labels"]["alertname"] == name
                && alert["labels"]["endpoint"] == format!("shop/{endpoint}")
                && ends > jiff::Timestamp::now()
        });
        assert!(fires, "{name}: {posted:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn email_tells_each_kind_of_notice_in_its_subject() {
    let sink = SmtpSink::start(SmtpOptions::default()).unwrap();
    let config = json!({"name": "c", "email": {"host": "localhost", "port": sink.address().port(),
        "encryption": "None", "from": "a@b.example", "to": ["c@d.example"]}});
    let channels = own_and_deputy(config.clone(), config);
    let watch = Watch::start_on(Database::Sqlite, &channels, |_| ()).await;
    watch.every_kind().await;
    let subjects: BTreeSet<String> =
        sink.taken().iter().map(|mail| mail.header("Subject").unwrap_or_default()).collect();
    for title in TITLES {
        assert!(subjects.iter().any(|subject| subject.starts_with(title)), "{title}: {subjects:?}");
    }
}
