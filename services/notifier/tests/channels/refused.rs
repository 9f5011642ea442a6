//! What becomes of messages that a server refuses, or does not answer.

use std::time::Duration;

use serde_json::json;
use watchkeeper_store::alerts::{Channel, NoticeFilter, NoticeState};
use watchkeeper_testkit::{
    sink::{Answer, HttpSink},
    wait,
};

use crate::harness::{Database, PATIENCE, Watch, channel, webhook};

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
    // It waits longer for others of its host than it is tried, which is long enough for a busy machine.
    let give_up = Duration::from_secs(2);
    let patient = Channel { group_wait: Duration::from_secs(3), ..channel(webhook(&sink.url())) };
    let watch = Watch::start_on(Database::Sqlite, &[patient], |options| options.give_up = give_up).await;
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
    slow.answer(Answer { after: Duration::from_secs(25), ..Answer::status(200) });
    let watch = Watch::start(webhook(&slow.url())).await;
    let mut channels = watch.store.channels().await.unwrap();
    let mut other = channels[0].clone();
    other.name = "quick".into();
    other.config["webhook"]["url"]["value"] = json!(quick.url());
    channels.push(other);
    watch.store.put_channels(&channels).await.unwrap();
    let id = watch.endpoint("cart").await;
    watch.checked(&[id], false).await;
    let told = async || {
        let (sent, sending) =
            (watch.notices(NoticeState::Sent).await, watch.notices(NoticeState::Sending).await);
        Ok(((sent, sending) == (1, 1)).then_some(()))
    };
    let limit = Duration::from_secs(20);
    wait::until_async("the quick channel is told while the slow one hangs", limit, told).await.unwrap();
    assert_eq!(quick.taken().len(), 1);
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
