//! Every channel against a real server: what is sent, once, and what becomes of refusals.
#![allow(clippy::unwrap_used)]

use std::{
    collections::BTreeSet,
    sync::atomic::{AtomicI64, Ordering},
    time::Duration,
};

use prometheus::Registry;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;
use watchkeeper_crds::notifications;
use watchkeeper_notifier::{NotifierOptions, run};
use watchkeeper_store::{
    Check, EndpointSpec, Escalation, FlappingSpec, HttpProbe, LastCheck, NewEndpoint, Options, Origin, Probe,
    ProjectId, Store,
    alerts::{Channel, Kind, NoticeFilter, NoticeState},
    now_ms,
};
use watchkeeper_testkit::{
    postgres::Postgres,
    sink::{Answer, HttpSink, Mail, SmtpOptions, SmtpSink, Taken},
    wait,
};

const PATIENCE: Duration = Duration::from_secs(30);

/// A store with one channel, and a notifier at work on it.
struct Watch {
    store: Store,
    registry: Registry,
    stop: CancellationToken,
    clock: AtomicI64,
    _directory: Option<TempDir>,
}

/// Where a store is.
#[derive(Debug, Clone, Copy)]
enum Database {
    Sqlite,
    Postgres,
}

/// A channel that all endpoints use.
fn channel(config: Value) -> Channel {
    let parsed: notifications::Channel = serde_json::from_value(config).unwrap();
    let config = serde_json::to_value(&parsed).unwrap();
    Channel { group_wait: Duration::from_millis(300), ..Channel::new(&parsed.name, parsed.kind(), config) }
}

impl Watch {
    async fn start(config: Value) -> Self {
        Self::start_with(config, |_| ()).await
    }

    async fn start_with(config: Value, adjust: impl FnOnce(&mut NotifierOptions)) -> Self {
        Self::start_on(Database::Sqlite, &[channel(config)], adjust).await
    }

    async fn start_on(
        database: Database,
        channels: &[Channel],
        adjust: impl FnOnce(&mut NotifierOptions),
    ) -> Self {
        let (options, directory) = match database {
            Database::Sqlite => {
                let directory = TempDir::new().unwrap();
                (Options::sqlite(directory.path().join("store.db")), Some(directory))
            }
            Database::Postgres => {
                let url = Postgres::shared().unwrap().database().unwrap();
                (Options::postgres(&url, None).unwrap(), None)
            }
        };
        let store = Store::open(&options).await.unwrap();
        store.put_channels(channels).await.unwrap();
        let (registry, stop) = (Registry::new(), CancellationToken::new());
        let mut options = NotifierOptions {
            poll: Duration::from_millis(20),
            pauses: (Duration::from_millis(20), Duration::from_millis(100)),
            ..NotifierOptions::default()
        };
        adjust(&mut options);
        tokio::spawn(run(store.clone(), registry.clone(), options, stop.clone()));
        Self { store, registry, stop, clock: AtomicI64::new(0), _directory: directory }
    }

    async fn endpoint(&self, name: &str) -> i64 {
        self.endpoint_with(name, |_| ()).await
    }

    async fn endpoint_with(&self, name: &str, change: impl FnOnce(&mut EndpointSpec)) -> i64 {
        let probe = Probe::Http(HttpProbe::new(format!("https://user:pw@shop.example/{name}?token=hidden")));
        let mut spec = EndpointSpec::new(format!("The {name} \"page\" <&>"), probe);
        spec.group = Some("front".into());
        spec.labels.insert("team".into(), "web".into());
        change(&mut spec);
        let new = NewEndpoint {
            uid: format!("uid/{name}"),
            origin: Origin::Kubernetes,
            project: ProjectId::INSTALLATION,
            namespace: "shop".into(),
            name: name.into(),
            generation: 1,
            spec,
        };
        self.store.put_endpoint(&new).await.unwrap();
        self.store.endpoints().await.unwrap().into_iter().find(|known| known.uid == new.uid).unwrap().id
    }

    async fn checked(&self, endpoints: &[i64], ok: bool) {
        self.found(endpoints, ok, false).await;
    }

    async fn found(&self, endpoints: &[i64], ok: bool, degraded: bool) {
        // Each later than the one before, however fast the test is.
        let at = self.clock.fetch_max(now_ms(), Ordering::SeqCst).max(now_ms()) + 1;
        self.clock.store(at, Ordering::SeqCst);
        let checks: Vec<Check> = endpoints
            .iter()
            .map(|endpoint| Check {
                project: ProjectId::INSTALLATION,
                endpoint: *endpoint,
                result: LastCheck {
                    at,
                    ok,
                    status: Some(if ok { 200 } else { 503 }),
                    duration_us: 12_345,
                    message: (!ok).then(|| "status 503, said \"no\"\nand more".into()),
                    degraded,
                    ..LastCheck::default()
                },
            })
            .collect();
        self.store.record_checks(&checks).await.unwrap();
    }

    /// One endpoint goes down and comes back, each told before the next.
    async fn down_and_up(&self) {
        let id = self.endpoint("cart").await;
        self.checked(&[id], true).await;
        self.checked(&[id], false).await;
        self.all_sent(1).await;
        self.checked(&[id], true).await;
        self.all_sent(2).await;
    }

    /// Has one endpoint slow, one down for so long that it is told again and to the deputy, and one that
    /// changes too often; waits until all of it was sent.
    async fn every_kind(&self) {
        let slow = self.endpoint("slow").await;
        let stuck = self.endpoint_with("stuck", |spec| {
            spec.alerts.reminder = Some(Duration::from_millis(200));
            spec.alerts.escalation =
                vec![Escalation { after: Duration::ZERO, channels: vec!["deputy".into()] }];
        });
        let stuck = stuck.await;
        let flaky = self.endpoint_with("flaky", |spec| {
            spec.alerts.flapping = Some(FlappingSpec { changes: 2, within: Duration::from_secs(3_600) });
        });
        let flaky = flaky.await;
        self.checked(&[slow, stuck, flaky], true).await;
        self.found(&[slow], true, true).await;
        self.checked(&[stuck, flaky], false).await;
        self.checked(&[flaky], true).await;
        let kinds = [Kind::Degraded, Kind::Down, Kind::Reminder, Kind::Escalation, Kind::Flapping];
        let told = async || {
            let filter = NoticeFilter { state: Some(NoticeState::Sent), ..NoticeFilter::default() };
            let sent = self.store.notices(&filter, 1_000).await.unwrap();
            let sent: BTreeSet<Kind> = sent.iter().map(|notice| notice.kind).collect();
            Ok(kinds.iter().all(|kind| sent.contains(kind)).then_some(()))
        };
        wait::until_async("every kind is told", PATIENCE, told).await.unwrap();
    }

    async fn notices(&self, state: NoticeState) -> usize {
        let filter = NoticeFilter { state: Some(state), ..NoticeFilter::default() };
        self.store.notices(&filter, 1_000).await.unwrap().len()
    }

    async fn all_sent(&self, count: usize) {
        let sent = async || Ok((self.notices(NoticeState::Sent).await >= count).then_some(()));
        wait::until_async("the notices are sent", PATIENCE, sent).await.unwrap();
    }

    fn metric(&self, line: &str) -> f64 {
        let text = prometheus::TextEncoder::new().encode_to_string(&self.registry.gather()).unwrap();
        let value = text.lines().find_map(|found| found.strip_prefix(line)).unwrap_or("nothing");
        value.trim().parse().unwrap_or_else(|_| panic!("{line} in {text}"))
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

/// What a channel's server takes while an endpoint goes down and comes back.
async fn exchange(config: impl FnOnce(&str) -> Value) -> (Taken, Taken) {
    let sink = HttpSink::start().unwrap();
    let watch = Watch::start(config(&sink.url())).await;
    watch.down_and_up().await;
    let taken = sink.taken();
    assert_eq!(taken.len(), 2, "{taken:?}");
    for request in &taken {
        let text = format!("{request:?}");
        assert!(!text.contains("hidden") && !text.contains("user:pw"), "what may be secret is told: {text}");
    }
    (taken[0].clone(), taken[1].clone())
}

const NAME: &str = "The cart \"page\" <&>";

#[tokio::test(flavor = "multi_thread")]
async fn webhook_tells_everything_as_json_under_a_key() {
    let (down, up) = exchange(|url| {
        json!({"name": "c", "webhook": {"url": {"value": format!("{url}/hook")}, "method": "PUT",
               "headers": [{"name": "X-Token", "value": "t0ken"}]}})
    })
    .await;
    assert_eq!((down.method.as_str(), down.path.as_str()), ("PUT", "/hook"));
    assert_eq!(down.headers["x-token"], "t0ken");
    assert_eq!(down.headers["content-type"], "application/json");
    let told = down.json();
    assert_eq!(down.headers["idempotency-key"], told["delivery"]);
    assert_ne!(down.headers["idempotency-key"], up.headers["idempotency-key"]);
    let endpoint = &told["endpoints"][0];
    assert_eq!((&told["kind"], &endpoint["name"]), (&json!("down"), &json!(NAME)));
    assert_eq!(endpoint["url"], "https://shop.example/cart");
    assert_eq!((&endpoint["from"], &endpoint["to"]), (&json!("Up"), &json!("Down")));
    assert_eq!(endpoint["statusCode"], 503);
    assert_eq!(up.json()["kind"], "recovery");
    assert_eq!(up.json()["endpoints"][0]["key"], endpoint["key"], "one trouble, one key");
}

#[tokio::test(flavor = "multi_thread")]
async fn webhook_templates_become_valid_json_whatever_the_error_says() {
    let (down, up) = exchange(|url| {
        json!({"name": "c", "webhook": {"url": {"value": url},
            "template": r#"{"text": "🚨 {endpoint_name} is DOWN: {error} ({status_code})", "nested": {"a": {"b": "{url}"}}}"#,
            "recoveryTemplate": "not JSON: {endpoint_name}"}})
    })
    .await;
    let told = down.json();
    assert_eq!(told["text"], format!("🚨 {NAME} is DOWN: status 503, said \"no\"\nand more (503)"));
    assert_eq!(told["nested"]["a"]["b"], "https://shop.example/cart");
    // A template that does not become JSON is no reason to say nothing.
    assert_eq!(up.json()["kind"], "recovery");
}

#[tokio::test(flavor = "multi_thread")]
async fn slack_is_told_in_its_own_escapes() {
    let (down, up) =
        exchange(|url| json!({"name": "c", "slack": {"url": {"value": format!("{url}/services/T/B/x")}}}))
            .await;
    assert_eq!((down.method.as_str(), down.path.as_str()), ("POST", "/services/T/B/x"));
    let told = down.json();
    assert_eq!(told["text"], "*Down: The cart \"page\" &lt;&amp;&gt;*");
    assert_eq!(told["attachments"][0]["color"], "danger");
    assert_eq!(up.json()["attachments"][0]["color"], "good");
}

#[tokio::test(flavor = "multi_thread")]
async fn discord_is_told_in_an_embed_that_mentions_nobody() {
    let (down, up) = exchange(
        |url| json!({"name": "c", "discord": {"url": {"value": format!("{url}/api/webhooks/1/x")}}}),
    )
    .await;
    assert_eq!(down.path, "/api/webhooks/1/x?wait=true");
    let told = down.json();
    assert_eq!(told["embeds"][0]["title"], format!("Down: {NAME}"));
    assert_eq!(told["allowed_mentions"], json!({"parse": []}));
    assert_ne!(up.json()["embeds"][0]["color"], told["embeds"][0]["color"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn teams_is_told_in_an_adaptive_card() {
    let (down, up) = exchange(|url| json!({"name": "c", "teams": {"url": {"value": url}}})).await;
    let told = down.json();
    let card = &told["attachments"][0];
    assert_eq!(card["contentType"], "application/vnd.microsoft.card.adaptive");
    assert_eq!(card["content"]["type"], "AdaptiveCard");
    assert_eq!(card["content"]["body"][0]["text"], format!("Down: {NAME}"));
    let up = up.json();
    let title = &up["attachments"][0]["content"]["body"][0];
    assert_eq!((&title["text"], &title["color"]), (&json!(format!("Recovered: {NAME}")), &json!("Good")));
}

#[tokio::test(flavor = "multi_thread")]
async fn telegram_is_told_in_plain_text_and_must_say_ok() {
    let sink = HttpSink::start().unwrap();
    let config = json!({"name": "c", "telegram": {"botToken": {"value": "12:secret"}, "chatId": "-100", "threadId": 4, "apiUrl": sink.url()}});
    // Telegram answers 200 as well where it does not take a message.
    sink.answer_next(Answer {
        body: r#"{"ok": false, "description": "not now"}"#.into(),
        ..Answer::status(200)
    });
    sink.answer(Answer { body: r#"{"ok": true}"#.into(), ..Answer::status(200) });
    let watch = Watch::start(config).await;
    watch.down_and_up().await;
    let taken = sink.taken();
    assert_eq!(taken.len(), 3);
    assert_eq!(taken[0].path, "/bot12:secret/sendMessage");
    let told = taken[1].json();
    assert_eq!((&told["chat_id"], &told["message_thread_id"]), (&json!("-100"), &json!(4)));
    assert!(told["text"].as_str().unwrap().starts_with(&format!("Down: {NAME}\n")), "{told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn pagerduty_is_told_of_one_incident_that_its_recovery_resolves() {
    let (down, up) = exchange(|url| json!({"name": "c", "pagerduty": {"routingKey": {"value": "rk"}, "severity": "error", "apiUrl": url}})).await;
    assert_eq!(down.path, "/v2/enqueue");
    let (down, up) = (down.json(), up.json());
    assert_eq!((&down["routing_key"], &down["event_action"]), (&json!("rk"), &json!("trigger")));
    assert_eq!(down["payload"]["severity"], "error");
    assert_eq!(down["payload"]["source"], "https://shop.example/cart");
    assert_eq!(up["event_action"], "resolve");
    assert_eq!(up["dedup_key"], down["dedup_key"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn opsgenie_is_told_of_one_alert_that_its_recovery_closes() {
    let (down, up) = exchange(|url| json!({"name": "c", "opsgenie": {"apiKey": {"value": "k3y"}, "priority": "P2", "tags": ["x"], "apiUrl": url}})).await;
    assert_eq!((down.path.as_str(), down.headers["authorization"].as_str()), ("/v2/alerts", "GenieKey k3y"));
    let told = down.json();
    assert_eq!((&told["priority"], &told["tags"]), (&json!("P2"), &json!(["x"])));
    let alias = told["alias"].as_str().unwrap();
    assert_eq!(up.path, format!("/v2/alerts/{alias}/close?identifierType=alias"));
}

#[tokio::test(flavor = "multi_thread")]
async fn ntfy_is_told_by_topic_with_a_priority() {
    let (down, up) = exchange(|url| json!({"name": "c", "ntfy": {"topic": {"value": "alerts"}, "token": {"value": "tk"}, "server": url}})).await;
    assert_eq!((down.path.as_str(), down.headers["authorization"].as_str()), ("/", "Bearer tk"));
    let (down, up) = (down.json(), up.json());
    assert_eq!((&down["topic"], &down["title"]), (&json!("alerts"), &json!(format!("Down: {NAME}"))));
    assert_eq!((&down["priority"], &up["priority"]), (&json!(5), &json!(3)));
}

#[tokio::test(flavor = "multi_thread")]
async fn alertmanager_is_told_of_an_alert_that_fires_until_it_is_resolved() {
    let (down, up) = exchange(|url| {
        json!({"name": "c", "alertmanager": {"urls": ["http://127.0.0.1:1", url], "username": "u", "password": {"value": "p"}}})
    })
    .await;
    assert_eq!(
        (down.path.as_str(), down.headers["authorization"].as_str()),
        ("/api/v2/alerts", "Basic dTpw")
    );
    let find = |request: &Taken| -> Value {
        let alerts = request.json();
        alerts
            .as_array()
            .unwrap()
            .iter()
            .find(|alert| alert["labels"]["alertname"] == "EndpointDown")
            .unwrap()
            .clone()
    };
    let (down, up) = (find(&down), find(&up));
    assert_eq!(down["labels"], up["labels"], "an alert is known by its labels");
    assert_eq!((&down["labels"]["endpoint"], &down["labels"]["team"]), (&json!("shop/cart"), &json!("web")));
    let ends = |alert: &Value| alert["endsAt"].as_str().unwrap().parse::<jiff::Timestamp>().unwrap();
    assert!(ends(&down) > jiff::Timestamp::now() && ends(&up) <= jiff::Timestamp::now());
}

/// What a mail server takes while an endpoint goes down and comes back.
async fn mails(options: SmtpOptions, encryption: &str) -> Vec<Mail> {
    let sink = SmtpSink::start(options).unwrap();
    let mut email = json!({"host": "localhost", "port": sink.address().port(), "encryption": encryption,
        "ca": sink.certificate(), "from": "Watchkeeper <watch@own.example>",
        "to": ["Ops <ops@team.example>", "boss@team.example"]});
    if options.login {
        email["username"] = json!("watch");
        email["password"] = json!({"value": "pass w0rd"});
    }
    let watch = Watch::start(json!({"name": "c", "email": email})).await;
    watch.down_and_up().await;
    sink.taken()
}

#[tokio::test(flavor = "multi_thread")]
async fn email_goes_out_in_clear_text_where_it_is_asked_for() {
    let taken = mails(SmtpOptions::default(), "None").await;
    assert_eq!(taken.len(), 2);
    let down = &taken[0];
    assert_eq!(down.from, "watch@own.example");
    assert_eq!(down.to, ["ops@team.example", "boss@team.example"]);
    assert!(!down.encrypted && down.login.is_none());
    let id = down.header("Message-ID").unwrap();
    assert!(id.starts_with('<') && id.ends_with("@own.example>"), "{id}");
    assert_ne!(taken[1].header("Message-ID"), Some(id));
    assert_eq!(taken[1].header("References"), down.header("References"));
    assert!(down.header("Subject").unwrap().contains("Down"), "{}", down.text);
    assert!(down.text.contains("shop.example/cart"), "{}", down.text);
}

#[tokio::test(flavor = "multi_thread")]
async fn email_goes_out_by_starttls_with_a_login() {
    let taken = mails(SmtpOptions { starttls: true, login: true, tls: false }, "StartTls").await;
    assert_eq!(taken.len(), 2);
    assert!(taken[0].encrypted);
    assert_eq!(taken[0].login, Some(("watch".into(), "pass w0rd".into())));
}

#[tokio::test(flavor = "multi_thread")]
async fn email_goes_out_over_tls_from_the_first_byte() {
    let taken = mails(SmtpOptions { tls: true, ..SmtpOptions::default() }, "Tls").await;
    assert_eq!((taken.len(), taken[0].encrypted), (2, true));
}

#[tokio::test(flavor = "multi_thread")]
async fn email_is_not_sent_in_clear_text_to_a_server_without_starttls() {
    let sink = SmtpSink::start(SmtpOptions::default()).unwrap();
    let email = json!({"host": "localhost", "port": sink.address().port(), "from": "a@b.example", "to": ["c@d.example"]});
    let watch = Watch::start(json!({"name": "c", "email": email})).await;
    let error = watchkeeper_notifier::test(&watch.store, "c").await.unwrap_err().to_string();
    assert!(error.contains("STARTTLS") || error.contains("StartTls"), "{error}");
    assert_eq!(sink.taken(), []);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mail_server_that_is_busy_is_asked_again() {
    let sink = SmtpSink::start(SmtpOptions::default()).unwrap();
    sink.refuse_next("451 4.3.0 come back later");
    let email = json!({"host": "localhost", "port": sink.address().port(), "encryption": "None", "from": "a@b.example", "to": ["c@d.example"]});
    let watch = Watch::start(json!({"name": "c", "email": email})).await;
    watch.down_and_up().await;
    assert_eq!(sink.taken().len(), 2);
}

fn webhook(url: &str) -> Value {
    json!({"name": "c", "webhook": {"url": {"value": url}}})
}

fn pagerduty(url: &str) -> Value {
    json!({"name": "c", "pagerduty": {"routingKey": {"value": "rk"}, "apiUrl": url}})
}

fn opsgenie(url: &str) -> Value {
    json!({"name": "c", "opsgenie": {"apiKey": {"value": "k3y"}, "apiUrl": url}})
}

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

#[tokio::test(flavor = "multi_thread")]
async fn endpoints_of_one_host_are_one_request_that_lists_them() {
    let sink = HttpSink::start().unwrap();
    let watch = Watch::start(webhook(&sink.url())).await;
    let mut ids = Vec::new();
    for number in 0..30 {
        ids.push(watch.endpoint(&format!("page-{number}")).await);
    }
    watch.checked(&ids, true).await;
    watch.checked(&ids, false).await;
    watch.all_sent(30).await;
    let taken = sink.taken();
    assert_eq!(taken.len(), 1, "one message");
    let told = taken[0].json();
    assert_eq!(told["endpoints"].as_array().unwrap().len(), 30);
    assert_eq!(told["title"], "Down: 30 endpoints on shop.example");
    assert!(told["text"].as_str().unwrap().contains("and 10 more"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_channel_of_single_requests_gets_through_however_many_endpoints_fail_at_once() {
    let sink = HttpSink::start().unwrap();
    sink.answer(Answer { after: Duration::from_millis(50), ..Answer::status(202) });
    let config = json!({"name": "c", "pagerduty": {"routingKey": {"value": "rk"}, "apiUrl": sink.url()}});
    // All of them one after another take longer than a message may.
    let watch = Watch::start_with(config, |options| options.patience = Duration::from_secs(4)).await;
    let mut ids = Vec::new();
    for number in 0..100 {
        ids.push(watch.endpoint(&format!("page-{number}")).await);
    }
    watch.checked(&ids, true).await;
    watch.checked(&ids, false).await;
    watch.all_sent(100).await;
    let keys: BTreeSet<_> =
        sink.taken().iter().map(|request| request.json()["dedup_key"].to_string()).collect();
    assert_eq!(keys.len(), 100);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_endpoint_that_is_refused_holds_up_none_that_is_told_with_it() {
    let sink = HttpSink::start().unwrap();
    sink.answer_next(Answer::status(400));
    let config = json!({"name": "c", "pagerduty": {"routingKey": {"value": "rk"}, "apiUrl": sink.url()}});
    let watch = Watch::start(config).await;
    let ids = [watch.endpoint("a").await, watch.endpoint("b").await, watch.endpoint("c").await];
    watch.checked(&ids, true).await;
    watch.checked(&ids, false).await;
    watch.all_sent(3).await;
    let taken = sink.taken();
    let statuses: Vec<_> = taken.iter().map(|request| request.status).collect();
    assert_eq!(statuses, [400, 200, 200, 200], "it alone is sent once more");
    let keys: Vec<_> = taken.iter().map(|request| request.json()["dedup_key"].to_string()).collect();
    assert_eq!((keys.iter().collect::<BTreeSet<_>>().len(), &keys[3]), (3, &keys[0]), "under its key");
}

#[tokio::test(flavor = "multi_thread")]
async fn of_endpoints_that_are_told_together_only_the_one_that_is_refused_for_good_is_a_dead_letter() {
    for config in [pagerduty, opsgenie] {
        let sink = HttpSink::start().unwrap();
        for status in [202, 400, 202, 400, 400] {
            sink.answer_next(Answer::status(status));
        }
        let watch = Watch::start(config(&sink.url())).await;
        let ids = [watch.endpoint("a").await, watch.endpoint("b").await, watch.endpoint("c").await];
        watch.checked(&ids, true).await;
        watch.checked(&ids, false).await;
        let dead = async || Ok((watch.notices(NoticeState::Dead).await == 1).then_some(()));
        wait::until_async("the refused one is given up", PATIENCE, dead).await.unwrap();
        assert_eq!((watch.notices(NoticeState::Sent).await, sink.taken().len()), (2, 5));
        let filter = NoticeFilter { state: Some(NoticeState::Dead), ..NoticeFilter::default() };
        let letter = watch.store.notices(&filter, 1).await.unwrap().remove(0);
        assert_eq!((letter.details.name.as_str(), letter.attempts), ("b", 3));
        assert!(letter.error.unwrap().contains("400"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_busy_server_took_of_a_message_is_not_sent_again() {
    let sink = HttpSink::start().unwrap();
    for status in [202, 503] {
        sink.answer_next(Answer::status(status));
    }
    let watch = Watch::start(pagerduty(&sink.url())).await;
    let ids = [watch.endpoint("a").await, watch.endpoint("b").await, watch.endpoint("c").await];
    watch.checked(&ids, true).await;
    watch.checked(&ids, false).await;
    watch.all_sent(3).await;
    let statuses: Vec<_> = sink.taken().iter().map(|request| request.status).collect();
    assert_eq!(statuses, [202, 503, 200, 200], "the third was not asked for while it was busy");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_fails_is_sent_again_under_the_same_key_until_it_is_taken() {
    let sink = HttpSink::start().unwrap();
    for status in [500, 429, 502] {
        sink.answer_next(Answer::status(status));
    }
    let watch = Watch::start(webhook(&sink.url())).await;
    watch.down_and_up().await;
    let taken = sink.taken();
    assert_eq!(taken.iter().map(|request| request.status).collect::<Vec<_>>(), [500, 429, 502, 200, 200]);
    let keys: Vec<_> = taken.iter().map(|request| request.headers["idempotency-key"].clone()).collect();
    assert!(keys[..4].iter().all(|key| *key == keys[0]) && keys[4] != keys[0], "{keys:?}");
    assert!(
        (watch.metric(r#"watchkeeper_notices_total{channel_type="webhook",outcome="sent"}"#) - 2.0).abs()
            < 0.1
    );
    assert!(
        (watch.metric(r#"watchkeeper_notices_total{channel_type="webhook",outcome="retried"}"#) - 3.0).abs()
            < 0.1
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_fails_is_tried_for_its_time_from_the_first_attempt_however_long_it_waited() {
    let sink = HttpSink::start().unwrap();
    sink.answer(Answer::status(503));
    // It waits longer for others of its host than it is tried.
    let give_up = Duration::from_millis(200);
    let watch = Watch::start_with(webhook(&sink.url()), |options| options.give_up = give_up).await;
    let id = watch.endpoint("cart").await;
    watch.checked(&[id], false).await;
    let dead = async || Ok((watch.notices(NoticeState::Dead).await == 1).then_some(()));
    wait::until_async("the notice is given up", PATIENCE, dead).await.unwrap();
    let tried = sink.taken().len();
    assert!(tried > 1, "{tried}");
    // Retried by hand, it has its time anew.
    sink.answer_next(Answer::status(503));
    sink.answer(Answer::status(200));
    let notice = watch.store.notices(&NoticeFilter::default(), 1).await.unwrap().remove(0);
    assert!(watch.store.retry_notice(notice.id).await.unwrap());
    watch.all_sent(1).await;
    assert_eq!(sink.taken().len(), tried + 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_refused_for_good_is_a_dead_letter_that_shows_no_secret() {
    let sink = HttpSink::start().unwrap();
    let refusal = Answer { body: "no hook s3cretpath here".into(), ..Answer::status(404) };
    sink.answer(refusal);
    let watch =
        Watch::start(json!({"name": "c", "webhook": {"url": {"value": format!("{}/s3cretpath", sink.url())},
        "headers": [{"name": "Authorization", "value": "s3cretpath"}]}}))
        .await;
    let id = watch.endpoint("cart").await;
    watch.checked(&[id], false).await;
    let dead = async || Ok((watch.notices(NoticeState::Dead).await == 1).then_some(()));
    wait::until_async("the notice is dead", PATIENCE, dead).await.unwrap();
    assert_eq!(sink.taken().len(), 3);
    let notice = watch.store.notices(&NoticeFilter::default(), 1).await.unwrap().remove(0);
    let error = notice.error.unwrap();
    assert!(error.contains("404") && !error.contains("s3cretpath"), "{error}");
    // Mended and retried, it arrives.
    sink.answer(Answer::status(204));
    assert!(watch.store.retry_notice(notice.id).await.unwrap());
    watch.all_sent(1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_channel_that_hangs_holds_up_no_other() {
    let (slow, quick) = (HttpSink::start().unwrap(), HttpSink::start().unwrap());
    slow.answer(Answer { after: Duration::from_secs(10), ..Answer::status(200) });
    let watch = Watch::start(webhook(&slow.url())).await;
    let mut channels = watch.store.channels().await.unwrap();
    let mut other = channels[0].clone();
    other.name = "quick".into();
    other.config["webhook"]["url"]["value"] = json!(quick.url());
    channels.push(other);
    watch.store.put_channels(&channels).await.unwrap();
    let id = watch.endpoint("cart").await;
    watch.checked(&[id], false).await;
    let told = async || Ok((watch.notices(NoticeState::Sent).await == 1).then_some(()));
    wait::until_async("the quick channel is told", Duration::from_secs(8), told).await.unwrap();
    assert_eq!((quick.taken().len(), watch.notices(NoticeState::Sending).await), (1, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redirect_is_not_followed() {
    let (sink, elsewhere) = (HttpSink::start().unwrap(), HttpSink::start().unwrap());
    sink.answer(Answer { headers: format!("location: {}/\r\n", elsewhere.url()), ..Answer::status(307) });
    let watch = Watch::start(webhook(&sink.url())).await;
    let error = watchkeeper_notifier::test(&watch.store, "c").await.unwrap_err().to_string();
    assert!(error.contains("307"), "{error}");
    assert_eq!(elsewhere.taken(), []);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_test_says_whether_the_channel_works() {
    let sink = HttpSink::start().unwrap();
    let watch = Watch::start(webhook(&sink.url())).await;
    watchkeeper_notifier::test(&watch.store, "c").await.unwrap();
    assert_eq!(sink.taken()[0].json()["kind"], "test");
    let error = watchkeeper_notifier::test(&watch.store, "nobody").await.unwrap_err().to_string();
    assert!(error.contains("there is no channel `nobody`"), "{error}");
}
