//! What an installation may decide: who may post, and what is kept of it.

use serde_json::json;
use tempfile::TempDir;
use uuid::Uuid;
use watchkeeper_logger::{Bounds, Signup, router};
use watchkeeper_runtime::http::finish;
use watchkeeper_testkit::mmdb::{self, map, text};

use crate::{
    LOG, LOGGED, client, client_with,
    common::{Client, Fresh, batch, enricher, logger_with, row, stored},
};

on_both_stores! {
    a_closed_installation_takes_known_keys_only
    the_stricter_privacy_level_decides_what_is_kept
    a_key_whose_project_was_deleted_starts_anew
}

async fn a_closed_installation_takes_known_keys_only(fresh: Fresh) {
    let client = client_with(&fresh.store, Signup::Closed, 0, Bounds::default()).await;
    let (known, unknown) = (Uuid::new_v4(), Uuid::new_v4());
    fresh.store.put_project("shop", known).await.expect("put");
    client.post(LOG, &batch(known, &json!([row(0, "/")]))).await.says(201, LOGGED);
    let refused = client.post(LOG, &batch(unknown, &json!([row(0, "/")]))).await;
    refused.blames(400, "api_key");
    assert_eq!(refused.json()["message"], "Invalid API key.");
    assert!(!refused.text().contains(&unknown.to_string()));
    assert_eq!(fresh.store.stored().await.expect("stored").projects, 1);
    // A key that becomes known may write at once.
    fresh.store.put_project("blog", unknown).await.expect("put");
    client.post(LOG, &batch(unknown, &json!([row(0, "/")]))).await.says(201, LOGGED);
}

async fn the_stricter_privacy_level_decides_what_is_kept(fresh: Fresh) {
    let directory = TempDir::new().expect("directory");
    let file = directory.path().join("country.mmdb");
    mmdb::write(&file, &map(&[("country", map(&[("iso_code", text("DE"))]))])).expect("write");
    for (configured, asked, level) in [
        (0, json!(0), 0),
        (0, json!(null), 0),
        (0, json!(-1), 0),
        (0, json!(1), 1),
        (0, json!(2), 2),
        (0, json!(99), 2),
        (1, json!(0), 1),
        (2, json!(0), 2),
        (1, json!(2), 2),
    ] {
        let enricher = enricher(&fresh.store, configured, Some(file.clone())).await;
        let logger = logger_with(&fresh.store, Signup::Open, enricher, Bounds::default());
        let client = Client(finish(router(logger)));
        let key = Uuid::new_v4();
        let mut body = batch(key, &json!([row(0, "/")]));
        body["privacy_level"] = asked.clone();
        client.post(LOG, &body).await.says(201, LOGGED);
        let hit = stored(&fresh.store, key).await.remove(0);
        let kept = (hit.ip.is_some(), hit.country.as_deref() == Some("DE"));
        assert_eq!(kept, (level < 1, level < 2), "configured {configured}, asked {asked}");
        assert!(hit.visitor.is_some(), "visitors are counted at every level");
    }
}

async fn a_key_whose_project_was_deleted_starts_anew(fresh: Fresh) {
    let client = client(&fresh.store).await;
    let key = Uuid::new_v4();
    let body = batch(key, &json!([row(0, "/")]));
    client.post(LOG, &body).await.says(201, LOGGED);
    let project = fresh.store.project_by_key(key).await.expect("find").expect("is there");
    fresh.store.delete_project(project.id).await.expect("delete");
    client.post(LOG, &body).await.says(201, LOGGED);
    assert_eq!(stored(&fresh.store, key).await.len(), 1);
}
