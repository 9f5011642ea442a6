//! A website that reports its views, and what is read of them.
#![allow(dead_code)] // No test uses all of it.

use std::path::{Path, PathBuf};

use axum::body::Body;
use serde_json::{Value, json};
use tempfile::TempDir;
use watchkeeper_logger::{Bounds, Logger, Signup};
use watchkeeper_store::Store;
use watchkeeper_testkit::mmdb::{self, map, text};

use super::common::{
    Answer, Client, Fresh, SECRET, client_of, enricher, logger, logger_with, options, processor,
};

pub const FIREFOX: &str = "Mozilla/5.0 (X11; Linux x86_64; rv:120.0) Gecko/20100101 Firefox/120.0";
pub const CHROME: &str =
    "Mozilla/5.0 (Windows NT 10.0) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/120.0.0.0 Safari/537.36";

/// A website.
pub struct Site {
    pub store: Store,
    pub client: Client,
}

impl Site {
    pub async fn of(fresh: &Fresh) -> Self {
        Self::with(fresh, logger(&fresh.store, Signup::Open, 0, Bounds::default()).await)
    }

    /// One whose views gain countries and cities from a file.
    pub async fn located(fresh: &Fresh, file: &Path) -> Self {
        let enricher = enricher(&fresh.store, 0, Some(file.to_owned())).await;
        Self::with(fresh, logger_with(&fresh.store, Signup::Open, enricher, Bounds::default()))
    }

    /// One with a logger of its own.
    pub fn with(fresh: &Fresh, logger: Logger) -> Self {
        Self { store: fresh.store.clone(), client: client_of(&fresh.store, options(), logger) }
    }

    pub async fn report(&self, views: &[Value]) {
        let body = json!({ "traffic": views }).to_string();
        let answer = self.client.call("POST", "/api/v1/traffic", &[("authorization", SECRET)], body).await;
        assert_eq!((answer.status, answer.text()), (200, ""));
    }

    pub async fn process(&self) {
        processor(&self.store, None, None).await.process_all(|_| {}).await.expect("process");
    }

    pub async fn get(&self, path: &str) -> Answer {
        let path = format!("/api/v1/data/{path}");
        self.client.call("GET", &path, &[("authorization", SECRET)], Body::empty()).await
    }

    pub async fn rows(&self, path: &str) -> Value {
        let answer = self.get(path).await;
        assert_eq!(answer.status, 200, "{path}: {}", answer.text());
        answer.json()
    }

    /// The sum of a column over all rows.
    pub async fn sum(&self, path: &str, column: &str) -> u64 {
        let rows = self.rows(path).await;
        rows.as_array().expect("rows").iter().filter_map(|row| row[column].as_u64()).sum()
    }
}

/// A view as it is reported.
pub fn view(url: &str, ip: &str, agent: &str, time: &str) -> Value {
    json!({ "url": url, "ip_address": ip, "user_agent": agent, "timestamp": time })
}

/// A file that places some addresses in Berlin, 8.8.8.8 among them, and others nowhere.
pub fn cities(directory: &TempDir) -> PathBuf {
    let file = directory.path().join("city.mmdb");
    let record =
        map(&[("country_code", text("DE")), ("city", text("Berlin")), ("state1", text("Land Berlin"))]);
    mmdb::write(&file, &record).expect("write");
    file
}
