//! Who is told, how often, and in what words.

use std::time::Duration;

use serde_json::{Value, json};
use watchkeeper_e2e::stores::Store;
use watchkeeper_testkit::{
    sink::{Answer, HttpSink, SmtpOptions, SmtpSink},
    wait,
};

use crate::harness::{PATIENCE, Seen, Server, World, telling};

on_both_stores! {
    an_endpoint_that_goes_down_is_told_once
    a_mail_is_sent_once_for_each_transition
    telegram_is_told_once_for_each_transition_in_the_files_words
    the_first_check_of_all_may_be_the_one_that_tells
    a_recovery_is_told_unless_nobody_wants_it
    within_the_cooldown_trouble_is_told_once
    a_webhook_is_tried_as_often_as_the_file_says
    a_template_for_slack_stays_json_whatever_the_error_says
    a_template_that_is_no_json_falls_back
    nobody_is_told_when_notifications_are_off
    a_restart_tells_nobody_again_and_the_recovery_still_comes
}

/// The payloads that are of trouble.
fn down(seen: &[Seen]) -> Vec<Value> {
    seen.iter().map(Seen::json).filter(|payload| payload.get("down").is_some()).collect()
}

/// The payloads that are of recovery.
fn recovered(seen: &[Seen]) -> Vec<Value> {
    seen.iter().map(Seen::json).filter(|payload| payload["status"] == "recovery").collect()
}

/// Waits for so many notices and a moment more, in which no other comes.
async fn exactly(sink: &Server, count: usize) -> Vec<Seen> {
    sink.wait_for(count).await;
    tokio::time::sleep(Duration::from_secs(3)).await;
    let seen = sink.seen();
    assert_eq!(seen.len(), count, "{seen:?}");
    seen
}

async fn an_endpoint_that_goes_down_is_told_once(store: Store) {
    let (target, sink) = (Server::start(200).await, Server::start(200).await);
    let world = World::start(store, &telling(&sink, "")).await;
    let id = world.create("shop", target.url(), json!({})).await;
    world.newest(id, true).await;
    assert!(sink.seen().is_empty());
    target.say(&[503]);
    wait::until_async("two bad checks", PATIENCE, async || {
        let bad = world.history(id).await.iter().filter(|it| it["success"] == false).count();
        Ok((bad >= 2).then_some(()))
    })
    .await
    .unwrap();
    let seen = exactly(&sink, 1).await;
    let told = down(&seen);
    assert_eq!(told[0]["down"], "shop");
    assert!(told[0]["error"].as_str().unwrap().contains("503"), "{told:?}");
}

async fn a_mail_is_sent_once_for_each_transition(store: Store) {
    let (target, sink) = (Server::start(200).await, SmtpSink::start(SmtpOptions::default()).unwrap());
    let email = json!({
        "enabled": true, "smtp_host": "127.0.0.1", "smtp_port": sink.address().port(), "smtp_use_tls": false,
        "from_addr": "monitor@a.example", "to_addrs": ["ops@a.example"], "subject_template": "Down: {endpoint_name}",
    });
    let config = json!({ "notifications": { "enabled": true, "cooldown_seconds": 0, "email": email } });
    let world = World::start(store, &config.to_string()).await;
    let id = world.create("shop", target.url(), json!({})).await;
    world.newest(id, true).await;
    for (status, mails) in [(503, 1), (200, 2)] {
        target.say(&[status]);
        world.newest(id, status == 200).await;
        let told = async || Ok((sink.taken().len() >= mails).then_some(()));
        wait::until_async("a mail", PATIENCE, told).await.unwrap();
    }
    // Each check was followed by others that found the same.
    tokio::time::sleep(Duration::from_secs(3)).await;
    let mails = sink.taken();
    assert_eq!(mails.len(), 2, "{mails:?}");
    for mail in &mails {
        assert_eq!((mail.from.as_str(), &*mail.to), ("monitor@a.example", &["ops@a.example".to_owned()][..]));
    }
    let subjects = [0, 1].map(|number| mails[number].header("Subject").unwrap());
    assert_eq!(subjects[0], "Down: shop");
    assert_ne!(subjects[1], subjects[0], "the recovery has words of its own");
}

async fn telegram_is_told_once_for_each_transition_in_the_files_words(store: Store) {
    let (target, sink) = (Server::start(200).await, HttpSink::start().unwrap());
    sink.answer(Answer { body: r#"{"ok": true}"#.into(), ..Answer::status(200) });
    let telegram = json!({
        "enabled": true, "bot_token": "12:secret", "chat_id": -100, "parse_mode": "HTML", "api_url": sink.url(),
        "message_template": "<b>{endpoint_name}</b> is DOWN: {error}",
    });
    let config = json!({ "notifications": { "enabled": true, "cooldown_seconds": 0, "telegram": telegram } });
    let world = World::start(store, &config.to_string()).await;
    let id = world.create("shop", target.url(), json!({})).await;
    world.newest(id, true).await;
    for (status, messages) in [(503, 1), (200, 2)] {
        target.say(&[status]);
        world.newest(id, status == 200).await;
        let told = async || Ok((sink.taken().len() >= messages).then_some(()));
        wait::until_async("a message", PATIENCE, told).await.unwrap();
    }
    world.sent(2).await;
    // Each check was followed by others that found the same.
    tokio::time::sleep(Duration::from_secs(3)).await;
    let taken = sink.taken();
    assert_eq!(taken.len(), 2, "{taken:?}");
    for request in &taken {
        assert_eq!((request.method.as_str(), request.path.as_str()), ("POST", "/bot12:secret/sendMessage"));
        let body = request.json();
        assert_eq!((&body["chat_id"], &body["parse_mode"]), (&json!("-100"), &json!("HTML")), "{body}");
    }
    let text = |number: usize| taken[number].json()["text"].as_str().unwrap().to_owned();
    assert!(text(0).starts_with("<b>shop</b> is DOWN: ") && text(0).contains("503"), "{}", text(0));
    assert!(text(1).starts_with("✅ shop is back online!\nURL: "), "{}", text(1));
    let log = std::fs::read_to_string(world.watchkeeper.log()).unwrap();
    assert!(!log.contains("12:secret"), "a bot's token is a secret");
}

async fn the_first_check_of_all_may_be_the_one_that_tells(store: Store) {
    let (target, sink) = (Server::start(500).await, Server::start(200).await);
    let world = World::start(store, &telling(&sink, "")).await;
    world.create("shop", target.url(), json!({})).await;
    assert_eq!(down(&exactly(&sink, 1).await).len(), 1);
}

async fn a_recovery_is_told_unless_nobody_wants_it(store: Store) {
    for wanted in [true, false] {
        let (target, sink) = (Server::start(500).await, Server::start(200).await);
        let config = telling(&sink, &format!("  send_recovery: {wanted}\n"));
        let world = World::start(store, &config).await;
        let id = world.create("shop", target.url(), json!({})).await;
        sink.wait_for(1).await;
        target.say(&[200]);
        world.newest(id, true).await;
        let seen = exactly(&sink, 1 + usize::from(wanted)).await;
        let recovered = recovered(&seen);
        assert_eq!(recovered.len(), usize::from(wanted));
        for payload in recovered {
            assert_eq!(payload["endpoint_name"], "shop");
            assert!(payload["url"].as_str().unwrap().starts_with(target.url()), "{payload}");
            assert!(payload["timestamp"].is_string());
        }
    }
}

async fn within_the_cooldown_trouble_is_told_once(store: Store) {
    for (cooldown, failures) in [(300, 1), (0, 2)] {
        let (target, sink) = (Server::start(500).await, Server::start(200).await);
        let config =
            telling(&sink, "").replace("cooldown_seconds: 0", &format!("cooldown_seconds: {cooldown}"));
        let world = World::start(store, &config).await;
        let id = world.create("shop", target.url(), json!({})).await;
        sink.wait_for(1).await;
        target.say(&[200]);
        world.newest(id, true).await;
        sink.wait_for(2).await;
        target.say(&[500]);
        world.newest(id, false).await;
        let seen = exactly(&sink, failures + 1).await;
        assert_eq!((down(&seen).len(), recovered(&seen).len()), (failures, 1), "{cooldown}");
    }
}

async fn a_webhook_is_tried_as_often_as_the_file_says(store: Store) {
    for (statuses, attempts, state) in [(&[500, 500, 200][..], 3, "sent"), (&[500][..], 3, "dead")] {
        let (target, sink) = (Server::start(500).await, Server::start(200).await);
        sink.say(statuses);
        let world = World::start(store, &telling(&sink, "")).await;
        world.create("shop", target.url(), json!({})).await;
        let seen = exactly(&sink, attempts).await;
        assert_eq!(down(&seen).len(), attempts, "the same each time");
        let log = std::fs::read_to_string(world.watchkeeper.log()).unwrap();
        let said = if state == "sent" { "a notice is sent" } else { "a notice is given up" };
        assert!(log.contains(said), "{state}");
    }
}

async fn a_template_for_slack_stays_json_whatever_the_error_says(store: Store) {
    let (target, sink) = (Server::start(200).await, Server::start(200).await);
    // As upstream's README has it, braces and all.
    let template = r#"{"text": "🚨 *{endpoint_name}* is DOWN", "attachments": [{"color": "danger", "fields": [
        {"title": "URL", "value": "{url}"}, {"title": "Error", "value": "{error}"}, {"title": "Status", "value": "{status_code}"},
        {"title": "Time", "value": "{response_time}"}, {"title": "At", "value": "{timestamp}"}]}]}"#;
    let config = json!({ "notifications": { "webhook": { "enabled": true, "url": sink.url(), "payload_template": template } } });
    let world = World::start(store, &config.to_string()).await;
    world.create("the \"shop\"\\", target.url(), json!({ "expected_status": 201 })).await;
    let seen = exactly(&sink, 1).await;
    let payload = seen[0].json();
    assert_eq!(payload["text"], "🚨 *the \"shop\"\\* is DOWN");
    let fields = payload["attachments"][0]["fields"].as_array().unwrap();
    let value = |title: &str| {
        fields.iter().find(|it| it["title"] == title).unwrap()["value"].as_str().unwrap().to_owned()
    };
    assert!(value("Error").contains("200") && value("Status") == "200", "{payload}");
    for field in fields {
        assert!(!field["value"].as_str().unwrap().contains('{'), "{payload}");
    }
}

async fn a_template_that_is_no_json_falls_back(store: Store) {
    let (target, sink) = (Server::start(500).await, Server::start(200).await);
    let config = json!({ "notifications": { "webhook": { "enabled": true, "url": sink.url(), "payload_template": "{endpoint_name} is down" } } });
    let world = World::start(store, &config.to_string()).await;
    world.create("shop", target.url(), json!({})).await;
    let payload = exactly(&sink, 1).await[0].json();
    for key in ["endpoint_name", "url", "error", "timestamp"] {
        assert!(payload[key].is_string(), "{key} of {payload}");
    }
    assert_eq!(payload["endpoint_name"], "shop");
}

async fn nobody_is_told_when_notifications_are_off(store: Store) {
    let (target, sink) = (Server::start(500).await, Server::start(200).await);
    let config = telling(&sink, "").replace("enabled: true\n  cooldown", "enabled: false\n  cooldown");
    let world = World::start(store, &config).await;
    let id = world.create("shop", target.url(), json!({})).await;
    world.newest(id, false).await;
    exactly(&sink, 0).await;
}

async fn a_restart_tells_nobody_again_and_the_recovery_still_comes(store: Store) {
    let (target, sink) = (Server::start(500).await, Server::start(200).await);
    let world = World::start(store, &telling(&sink, "")).await;
    let id = world.create("shop", target.url(), json!({})).await;
    sink.wait_for(1).await;
    world.sent(1).await;
    world.watchkeeper.kill9().unwrap();
    world.watchkeeper.restart().unwrap();
    let before = world.history(id).await.len();
    wait::until_async("a check after the restart", PATIENCE, async || {
        Ok((world.history(id).await.len() > before).then_some(()))
    })
    .await
    .unwrap();
    exactly(&sink, 1).await;
    target.say(&[200]);
    world.newest(id, true).await;
    assert_eq!(recovered(&exactly(&sink, 2).await).len(), 1);
}
