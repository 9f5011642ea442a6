//! Monitors and status pages as people and feed readers use them, on endpoints with a past.
#![allow(clippy::unwrap_used)]

use watchkeeper_e2e::{browser::Site, oracles::Oracles};
use watchkeeper_testkit::paths;

async fn site() -> Site {
    let site = Site::start(100, 1).await.unwrap();
    site.watch().await.unwrap();
    site
}

#[tokio::test]
async fn monitors_are_filtered_and_searched_with_and_without_a_script() {
    site().await.check("monitors", None).await.unwrap();
}

#[tokio::test]
async fn what_is_watched_is_drawn_anew_by_itself() {
    site().await.check("renews", None).await.unwrap();
}

#[tokio::test]
async fn an_incident_is_posted_and_ended_by_forms_alone() {
    site().await.check("incident", None).await.unwrap();
}

#[tokio::test]
async fn the_pages_of_the_watch_fit_three_sizes_in_light_and_dark() {
    // Where a person can look at them.
    let shots = paths::cache().unwrap().join("screenshots");
    site().await.check("watchLooks", Some(&shots)).await.unwrap();
}

#[tokio::test]
async fn nothing_keeps_anybody_from_reading_the_pages_of_the_watch() {
    site().await.check("watchAccessibility", None).await.unwrap();
}

#[tokio::test]
async fn the_pages_of_the_watch_are_valid() {
    site().await.check("watchValid", None).await.unwrap();
}

#[tokio::test]
async fn dead_letters_are_tried_again_by_forms_alone() {
    site().await.check("notices", None).await.unwrap();
}

#[tokio::test]
async fn a_status_page_of_500_endpoints_is_valid() {
    let site = Site::start(100, 1).await.unwrap();
    site.watch_many().await.unwrap();
    site.check("manyValid", None).await.unwrap();
}

#[tokio::test]
async fn a_feed_reader_understands_both_feeds_alike() {
    let site = site().await;
    let oracles = tokio::task::spawn_blocking(Oracles::new).await.unwrap().unwrap();
    let read = async |name: &str| {
        oracles.read_feed(&site.public(&format!("/status/shop/{name}")).await.unwrap()).unwrap()
    };
    let (rss, atom) = (read("rss").await, read("atom").await);
    assert_eq!((&rss["version"], &atom["version"]), (&"rss20".into(), &"atom10".into()));
    assert_eq!(rss["title"], "Shop status");
    let entries = atom["entries"].as_array().unwrap();
    let titles: Vec<_> = entries.iter().map(|entry| entry["title"].as_str().unwrap()).collect();
    assert_eq!(titles, ["Scheduled: Database upgrade", "Identified: Search answers slowly or not at all"]);
    assert!(entries[1]["html"].as_str().unwrap().contains("An index was damaged. It is being rebuilt."));
    for (one, other) in entries.iter().zip(rss["entries"].as_array().unwrap()) {
        for field in ["title", "id", "link", "moment"] {
            assert_eq!(one[field], other[field], "{field}");
        }
    }
    // A malformed one is noticed.
    assert!(oracles.read_feed("<rss><channel><title>a</channel></rss>").is_err());
}

/// Draws the pictures of the documentation anew; they go into `docs` where
/// `WATCHKEEPER_WRITE_PICTURES` is set.
#[tokio::test]
async fn the_pictures_of_the_watch_are_small() {
    let directory = tempfile::tempdir().unwrap();
    site().await.check("watchPictures", Some(directory.path())).await.unwrap();
    for file in std::fs::read_dir(directory.path()).unwrap() {
        let file = file.unwrap();
        let (name, size) = (file.file_name(), file.metadata().unwrap().len());
        assert!(size < 200_000, "{}: {size} bytes", name.display());
        if std::env::var_os("WATCHKEEPER_WRITE_PICTURES").is_some() {
            std::fs::copy(file.path(), paths::workspace().join("docs").join(name)).unwrap();
        }
    }
}
