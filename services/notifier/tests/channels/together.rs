//! Endpoints that are told of together.

use std::{collections::BTreeSet, time::Duration};

use watchkeeper_store::alerts::{NoticeFilter, NoticeState};
use watchkeeper_testkit::{
    sink::{Answer, HttpSink},
    wait,
};

use crate::harness::{PATIENCE, Watch, opsgenie, pagerduty, webhook};

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
    // All of them one after another take longer than a message may.
    let patience = Duration::from_secs(4);
    let watch = Watch::start_with(pagerduty(&sink.url()), |options| options.patience = patience).await;
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
    let watch = Watch::start(pagerduty(&sink.url())).await;
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
