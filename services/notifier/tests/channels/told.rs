//! What each service is told while an endpoint goes down and comes back.

use serde_json::{Value, json};
use watchkeeper_testkit::sink::{Answer, HttpSink, Taken};

use crate::harness::{NAME, Watch, exchange, webhook};

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
        json!({"name": "c", "alertmanager": {"urls": [url], "username": "u", "password": {"value": "p"}}})
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

#[tokio::test(flavor = "multi_thread")]
async fn a_test_says_whether_the_channel_works() {
    let sink = HttpSink::start().unwrap();
    let watch = Watch::start(webhook(&sink.url())).await;
    watchkeeper_notifier::test(&watch.store, "c").await.unwrap();
    assert_eq!(sink.taken()[0].json()["kind"], "test");
    let error = watchkeeper_notifier::test(&watch.store, "nobody").await.unwrap_err().to_string();
    assert!(error.contains("there is no channel `nobody`"), "{error}");
}
