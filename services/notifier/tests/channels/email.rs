//! Email: its encryption, its login and its headers.

use serde_json::json;
use watchkeeper_testkit::sink::{Mail, SmtpOptions, SmtpSink};

use crate::harness::Watch;

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
