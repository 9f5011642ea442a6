//! Pages of a project with known hits.
#![allow(dead_code)] // No test uses all of it.

use axum::body::Body;
use serde_json::{Value, json};
use uuid::Uuid;

use super::common::{Answer, Client, Fresh, account, batch, client, row};

/// The period that holds the hits of these tests: three days in November 2023, UTC.
pub const RANGE: &str = "from=2023-11-13&to=2023-11-15";

pub const HTML: (&str, &str) = ("accept", "text/html");

/// A hit: seconds after [`START`], method, path, status, milliseconds, and what else differs.
pub fn hit(second: i64, method: &str, path: &str, status: i32, ms: i64, more: &Value) -> Value {
    let mut row = row(second, path);
    row["method"] = method.into();
    row["status"] = status.into();
    row["response_time"] = ms.into();
    for (name, value) in more.as_object().expect("an object") {
        row[name] = value.clone();
    }
    row
}

/// Ten hits of known numbers: 8 of them good, by 3 users, of 2 hosts.
pub fn known() -> Value {
    let none = json!({});
    let other = json!({ "user_id": "u2", "ip_address": "5.6.7.8", "hostname": "b.example" });
    let chrome = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/120.0.0.0 Safari/537.36";
    let bot = json!({ "user_id": "u3", "user_agent": "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)" });
    json!([
        hit(0, "GET", "/v1/a", 200, 10, &none),
        hit(1, "GET", "/v1/a", 200, 20, &none),
        hit(2, "GET", "/v1/a", 200, 30, &json!({ "referrer": "https://news.example/x" })),
        hit(3, "GET", "/v2/b?x=1", 200, 40, &json!({ "user_agent": chrome })),
        hit(4, "GET", "/v2/b?x=2", 200, 50, &other),
        hit(5, "POST", "/v2/b", 201, 60, &other),
        hit(6, "GET", "/old", 301, 70, &other),
        hit(7, "GET", "/nope", 404, 3, &bot),
        hit(8, "GET", "/v2/b", 500, 4_000, &none),
        hit(7_200, "GET", "/v1/a", 200, 25, &none),
    ])
}

pub struct Project {
    pub client: Client,
    pub key: Uuid,
    pub base: String,
}

pub async fn project(fresh: &Fresh, rows: &Value) -> Project {
    let project = empty_project(fresh).await;
    let batch = batch(project.key, rows);
    project.client.post("/api/log-request", &batch).await.says(201, "API requests logged successfully.");
    project
}

pub async fn empty_project(fresh: &Fresh) -> Project {
    let client = client(&fresh.store).await;
    let (key, user) = account(&client).await;
    Project { client, key, base: format!("/p/{user}") }
}

impl Project {
    pub async fn get(&self, path: &str) -> Answer {
        self.client.call("GET", &format!("{}{path}", self.base), &[HTML], Body::empty()).await
    }

    /// The CSV of a listing as rows without their head.
    pub async fn csv(&self, listing: &str, query: &str) -> Vec<Vec<String>> {
        let answer = self.get(&format!("/table/{listing}.csv?{RANGE}&{query}")).await;
        assert_eq!(answer.status, 200, "{listing} {query}: {}", answer.text());
        assert_eq!(answer.header("content-type"), Some("text/csv; charset=utf-8"));
        let rows = answer.text().lines().skip(1).map(|line| line.split(',').map(str::to_owned).collect());
        rows.collect()
    }

    /// Hits that a query keeps.
    pub async fn hits(&self, query: &str) -> i64 {
        let rows = self.csv("methods", query).await;
        rows.iter().map(|row| row[1].parse::<i64>().expect("hits")).sum()
    }

    /// The value that a form of the settings page must send back.
    pub async fn token(&self) -> String {
        token(&self.get("/settings").await)
    }

    pub async fn form(&self, path: &str, fields: &[(&str, &str)]) -> Answer {
        let token = self.token().await;
        let fields: Vec<_> = fields.iter().copied().chain([("token", token.as_str())]).collect();
        post_form(&self.client, &format!("{}{path}", self.base), &[], &fields).await
    }
}

pub fn token(page: &Answer) -> String {
    assert_eq!(page.status, 200, "{}", page.text());
    let rest = page.text().split("name=\"token\" value=\"").nth(1).expect("a form");
    rest.split('"').next().expect("a value").to_owned()
}

pub async fn post_form(
    client: &Client,
    path: &str,
    headers: &[(&str, &str)],
    fields: &[(&str, &str)],
) -> Answer {
    let body = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
    let label = ("content-type", "application/x-www-form-urlencoded");
    let headers: Vec<_> = headers.iter().copied().chain([label, HTML]).collect();
    client.call("POST", path, &headers, body).await
}

/// The value of a tile.
pub fn tile(page: &str, name: &str) -> String {
    let rest = page
        .split(&format!("<h2>{name}</h2><p class=\"value\" title=\""))
        .nth(1)
        .unwrap_or_else(|| panic!("no {name}"));
    rest.split('"').next().expect("a value").to_owned()
}
