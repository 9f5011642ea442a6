//! The dashboard as people use it: in a real browser, on realistic data.
#![allow(clippy::unwrap_used)]

use watchkeeper_e2e::browser::Site;
use watchkeeper_testkit::paths;

const HITS: u32 = 12_000;

async fn site() -> Site {
    Site::start(HITS, 14).await.unwrap()
}

#[tokio::test]
async fn a_value_filters_by_a_click_and_back_undoes_it() {
    site().await.check("click", None).await.unwrap();
}

#[tokio::test]
async fn every_panel_and_filter_counts_what_the_query_interface_counts() {
    site().await.check("everything", None).await.unwrap();
}

#[tokio::test]
async fn everything_is_reached_by_keys_alone() {
    site().await.check("keyboard", None).await.unwrap();
}

#[tokio::test]
async fn the_pages_are_whole_without_a_script() {
    site().await.check("scriptless", None).await.unwrap();
}

#[tokio::test]
async fn the_pages_fit_three_sizes_in_light_and_dark() {
    // Where a person can look at them.
    let shots = paths::cache().unwrap().join("screenshots");
    site().await.check("looks", Some(&shots)).await.unwrap();
}

#[tokio::test]
async fn nothing_keeps_anybody_from_reading_the_pages() {
    site().await.check("accessibility", None).await.unwrap();
}

#[tokio::test]
async fn every_page_is_valid() {
    site().await.check("valid", None).await.unwrap();
}

#[tokio::test]
async fn projects_stand_beside_each_other_with_the_query_interfaces_numbers() {
    site().await.check("beside", None).await.unwrap();
}

#[tokio::test]
async fn the_browsers_zone_is_offered() {
    site().await.check("zone", None).await.unwrap();
}

#[tokio::test]
async fn requests_come_in_while_one_watches() {
    site().await.check("live", None).await.unwrap();
}

#[tokio::test]
async fn an_owner_shares_and_annotates() {
    site().await.check("owner", None).await.unwrap();
}

/// Draws the pictures of the documentation anew; they go into `docs` where
/// `WATCHKEEPER_WRITE_PICTURES` is set.
#[tokio::test]
async fn the_pictures_are_small() {
    let directory = tempfile::tempdir().unwrap();
    let site = Site::start(60_000, 30).await.unwrap();
    site.check("pictures", Some(directory.path())).await.unwrap();
    for file in std::fs::read_dir(directory.path()).unwrap() {
        let file = file.unwrap();
        let (name, size) = (file.file_name(), file.metadata().unwrap().len());
        assert!(size < 300_000, "{}: {size} bytes", name.display());
        if std::env::var_os("WATCHKEEPER_WRITE_PICTURES").is_some() {
            std::fs::copy(file.path(), paths::workspace().join("docs").join(name)).unwrap();
        }
    }
}
