//! Several Alertmanagers of one channel.

use serde_json::{Value, json};
use watchkeeper_store::alerts::NoticeState;
use watchkeeper_testkit::sink::{Answer, HttpSink};

use crate::harness::Watch;

/// Where nobody listens.
const AWAY: &str = "http://127.0.0.1:1";

fn alertmanager(urls: &[&str]) -> Value {
    json!({"name": "c", "alertmanager": {"urls": urls}})
}

fn statuses(sink: &HttpSink) -> Vec<u16> {
    sink.taken().iter().map(|request| request.status).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_member_that_is_away_holds_up_no_trouble_and_a_recovery_only_for_a_few_attempts() {
    let sink = HttpSink::start().unwrap();
    let watch = Watch::start(alertmanager(&[AWAY, &sink.url()])).await;
    let id = watch.endpoint("cart").await;
    watch.checked(&[id], true).await;
    watch.checked(&[id], false).await;
    watch.all_sent(1).await;
    assert_eq!(sink.taken().len(), 1, "one that has it is enough");
    watch.checked(&[id], true).await;
    watch.all_sent(2).await;
    assert_eq!(sink.taken().len(), 5, "the recovery is tried four times");
    watch.checked(&[id], false).await;
    watch.all_sent(3).await;
    assert_eq!((sink.taken().len(), watch.notices(NoticeState::Dead).await), (6, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_recovery_is_told_again_until_every_member_has_it() {
    let (one, other) = (HttpSink::start().unwrap(), HttpSink::start().unwrap());
    // It takes the trouble, and hears of its end late; what it refuses is tried again as well.
    for status in [200, 503, 400] {
        other.answer_next(Answer::status(status));
    }
    let watch = Watch::start(alertmanager(&[&one.url(), &other.url()])).await;
    watch.down_and_up().await;
    assert_eq!(statuses(&other), [200, 503, 400, 200]);
    assert_eq!(statuses(&one), [200; 4]);
    let last = other.taken().pop().unwrap().json();
    for alert in last.as_array().unwrap() {
        let ends: jiff::Timestamp = alert["endsAt"].as_str().unwrap().parse().unwrap();
        assert!(ends <= jiff::Timestamp::now(), "{alert}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_one_member_refuses_is_tried_again_while_another_is_away() {
    let sink = HttpSink::start().unwrap();
    for _ in 0..3 {
        sink.answer_next(Answer::status(400));
    }
    let watch = Watch::start(alertmanager(&[&sink.url(), AWAY])).await;
    let id = watch.endpoint("cart").await;
    watch.checked(&[id], false).await;
    watch.all_sent(1).await;
    assert_eq!(statuses(&sink), [400, 400, 400, 200], "three refusals alone would have been the end of it");
}
