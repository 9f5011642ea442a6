//! What dashboards keep and read beside hits, on each database.

#[macro_use]
mod common;

use common::{Fresh, open, project};
use uuid::Uuid;
use watchkeeper_store::{
    DashboardSettings, Hit, NewAnnotation, NewShare, ProjectId, Reach, Retention, StoreError, now_ms,
};

on_both! {
    a_share_is_found_by_its_link_until_it_is_revoked
    settings_and_annotations_are_a_projects_own
    what_a_deleted_project_had_goes_and_what_an_absorbed_one_had_moves
    a_session_lasts_until_it_ends_or_is_ended
    hits_are_told_once_in_the_order_of_their_arrival
    a_look_at_arrivals_takes_few_and_misses_none
}

fn share(project: ProjectId, reach: Reach, secret: &str) -> NewShare {
    NewShare {
        project,
        title: "t".into(),
        reach,
        secret: secret.into(),
        filter: "path=/a".into(),
        people: true,
    }
}

fn public(slug: &str) -> Reach {
    Reach::Public { slug: slug.into() }
}

async fn a_share_is_found_by_its_link_until_it_is_revoked(fresh: Fresh) {
    let store = open(&fresh).await;
    let (one, other) = (project(&store).await, project(&store).await);
    let secret = store.create_share(&share(one, Reach::Secret, "s3cret")).await.expect("create");
    store.create_share(&share(other, public("shop"), "unused")).await.expect("create");
    let taken = store.create_share(&share(one, public("shop"), "x")).await;
    assert!(matches!(taken, Err(StoreError::SlugTaken)), "{taken:?}");
    let guarded = Reach::Password { hash: "$argon2id$x".into() };
    store.create_share(&share(one, guarded.clone(), "guarded")).await.expect("create");
    let found = async |link: &str| store.share_by_link(link).await.expect("find");
    let share = found("s3cret").await.expect("there");
    assert_eq!(
        (share.id, share.project, share.filter.as_str(), share.people),
        (secret, one, "path=/a", true)
    );
    assert_eq!(found("shop").await.map(|share| share.project), Some(other));
    assert_eq!(found("guarded").await.map(|share| share.reach), Some(guarded));
    for nothing in ["", "unused", "S3cret", "$argon2id$x"] {
        assert_eq!(found(nothing).await, None, "{nothing}");
    }
    assert_eq!(store.shares(one).await.expect("list").len(), 2);
    assert_eq!(store.public_shares().await.expect("list").len(), 1);
    assert!(!store.revoke_share(other, secret).await.expect("revoke"), "another project's");
    assert!(store.revoke_share(one, secret).await.expect("revoke"));
    assert_eq!(found("s3cret").await, None);
}

async fn settings_and_annotations_are_a_projects_own(fresh: Fresh) {
    let store = open(&fresh).await;
    let (one, other) = (project(&store).await, project(&store).await);
    let settings = DashboardSettings { hidden: vec!["/h*".into()], hide_bots: true, ..Default::default() };
    for _ in 0..2 {
        store.put_dashboard_settings(one, &settings).await.expect("put");
    }
    assert_eq!(store.dashboard_settings(one).await.expect("get"), settings);
    assert_eq!(store.dashboard_settings(other).await.expect("get"), DashboardSettings::default());
    let note = |at, url: Option<&str>| NewAnnotation { at, text: "it's".into(), url: url.map(str::to_owned) };
    let first = store.annotate(one, &note(10, None)).await.expect("annotate").expect("there is room");
    store.annotate(one, &note(20, Some("https://a.example"))).await.expect("annotate");
    store.annotate(other, &note(15, None)).await.expect("annotate");
    let times = async |from, to| {
        let found = store.annotations(one, from, to).await.expect("list");
        found.iter().map(|annotation| annotation.note.at).collect::<Vec<_>>()
    };
    assert_eq!(times(i64::MIN, i64::MAX).await, [20, 10]);
    assert_eq!(times(10, 20).await, [10]);
    assert!(!store.delete_annotation(other, first).await.expect("delete"));
    assert!(store.delete_annotation(one, first).await.expect("delete"));
    assert_eq!(times(i64::MIN, i64::MAX).await, [20]);
}

async fn what_a_deleted_project_had_goes_and_what_an_absorbed_one_had_moves(fresh: Fresh) {
    let store = open(&fresh).await;
    let note = NewAnnotation { at: 1, text: "n".into(), url: None };
    let settings = DashboardSettings { hide_bots: true, ..Default::default() };
    let (named_key, new_key) = (Uuid::new_v4(), Uuid::new_v4());
    store.put_project("shop", named_key).await.expect("put");
    let nameless = store.register_key(new_key).await.expect("register").id;
    store.create_share(&share(nameless, Reach::Secret, "s")).await.expect("create");
    store.annotate(nameless, &note).await.expect("annotate");
    store.put_dashboard_settings(nameless, &settings).await.expect("put");
    store.put_project("shop", new_key).await.expect("absorb");
    let shop = store.project_by_name("shop").await.expect("find").expect("there").id;
    assert_eq!(store.share_by_link("s").await.expect("find").map(|share| share.project), Some(shop));
    assert_eq!(store.annotations(shop, 0, 2).await.expect("list").len(), 1);
    assert_eq!(store.dashboard_settings(shop).await.expect("get"), settings);
    store.delete_project(shop).await.expect("delete");
    assert_eq!(store.share_by_link("s").await.expect("find"), None);
    assert!(store.annotations(shop, 0, 2).await.expect("list").is_empty());
    assert_eq!(store.dashboard_settings(shop).await.expect("get"), DashboardSettings::default());
}

async fn a_session_lasts_until_it_ends_or_is_ended(fresh: Fresh) {
    let store = open(&fresh).await;
    store.start_session(b"one", now_ms() + 60_000).await.expect("start");
    store.start_session(b"past", now_ms() - 1).await.expect("start");
    let has = async |token: &[u8]| store.has_session(token).await.expect("look");
    assert!(has(b"one").await && !has(b"past").await && !has(b"other").await);
    assert_eq!(store.expire(Retention::default()).await.expect("expire"), 1, "what has ended goes");
    store.end_session(b"one").await.expect("end");
    assert!(!has(b"one").await);
}

async fn hits_are_told_once_in_the_order_of_their_arrival(fresh: Fresh) {
    let store = open(&fresh).await;
    let (one, other) = (project(&store).await, project(&store).await);
    let hit = |ts| Hit { ts, ..Hit::default() };
    let start = store.arrival_cursor(one).await.expect("cursor");
    store.append(one, vec![hit(5), hit(3)]).await.expect("append");
    store.append(other, vec![hit(9)]).await.expect("append");
    store.append(one, vec![hit(1)]).await.expect("append");
    let arrived = store.arrivals(one, start, 100, |_| true).await.expect("arrivals");
    assert_eq!(arrived.hits.iter().map(|hit| hit.ts).collect::<Vec<_>>(), [5, 3, 1]);
    assert_eq!(store.arrival_cursor(one).await.expect("cursor"), arrived.cursor);
    let again = store.arrivals(one, arrived.cursor, 100, |_| true).await.expect("arrivals");
    assert_eq!((again.hits.len(), again.cursor), (0, arrived.cursor));
    store.seal_all().await.expect("seal");
    store.append(one, vec![hit(7)]).await.expect("append");
    let later = store.arrivals(one, arrived.cursor, 100, |_| true).await.expect("arrivals");
    assert_eq!(later.hits.iter().map(|hit| hit.ts).collect::<Vec<_>>(), [7], "sealing tells nothing twice");
}

async fn a_look_at_arrivals_takes_few_and_misses_none(fresh: Fresh) {
    let store = open(&fresh).await;
    let project = project(&store).await;
    let hit = |ts| Hit { ts, ..Hit::default() };
    for batch in 0..5 {
        store.append(project, (0..4_000).map(|n| hit(batch * 4_000 + n)).collect()).await.expect("append");
    }
    let (mut cursor, mut looks, mut seen) = (0, 0, 0);
    loop {
        let arrived = store.arrivals(project, cursor, usize::MAX, |_| true).await.expect("arrivals");
        if arrived.hits.is_empty() {
            break;
        }
        assert!(arrived.hits.len() <= 12_000, "{} at once", arrived.hits.len());
        (cursor, looks, seen) = (arrived.cursor, looks + 1, seen + arrived.hits.len());
    }
    assert_eq!((looks, seen), (2, 20_000));
    let last = store.arrivals(project, 0, 3, |hit| hit.ts % 2 == 0).await.expect("arrivals");
    assert_eq!(last.hits.iter().map(|hit| hit.ts).collect::<Vec<_>>(), [11_994, 11_996, 11_998]);
}
