//! Every example of docs/query-api.md is run as it stands there.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::process::Command;

use serde_json::{Value, json};
use watchkeeper_e2e::upstream::http_client;
use watchkeeper_testkit::paths;
use watchkeeper_testkit::watchkeeper::Watchkeeper;

const KEY: &str = "00000000-0000-4000-8000-00000000d0c5";

/// The fenced blocks of a language.
fn blocks(text: &str, language: &str) -> Vec<String> {
    let fence = format!("```{language}\n");
    let after = text.split(&fence).skip(1);
    after.map(|rest| rest.split("```").next().unwrap().to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_example_of_the_query_api_is_answered() {
    let server = Watchkeeper::local().start().unwrap();
    let token = fs::read_to_string(server.data().join("admin-token")).unwrap();
    let (url, token) = (server.base_url(), token.trim());
    let client = http_client().unwrap();
    let put = client.put(format!("{url}/api/v1/projects/shop")).bearer_auth(token);
    assert!(put.body(json!({ "key": KEY }).to_string()).send().await.unwrap().status().is_success());
    let now = jiff::Timestamp::now().to_string();
    let row = json!({ "path": "/checkout", "method": "GET", "status": 500, "response_time": 12,
                      "hostname": "shop.example", "user_agent": "Firefox", "created_at": now });
    let batch = json!({ "api_key": KEY, "framework": "FastAPI", "requests": [row] }).to_string();
    let post = client.post(format!("{url}/api/log-request")).body(batch);
    assert_eq!(post.send().await.unwrap().status(), 201);

    let text = fs::read_to_string(paths::workspace().join("docs/query-api.md")).unwrap();
    let questions = blocks(&text, "json");
    assert_eq!(questions.len(), 3);
    for question in questions {
        let post = client.post(format!("{url}/api/v1/query")).bearer_auth(token).body(question.clone());
        let answer = post.send().await.unwrap();
        let status = answer.status();
        let answer: Value = serde_json::from_str(&answer.text().await.unwrap()).unwrap();
        assert_eq!(status, 200, "{question}\n{answer}");
        let table = answer.get("panels").map_or(&answer, |panels| &panels[0]);
        assert_eq!(table["results"][0]["metrics"][0], 1, "{question}\n{answer}");
    }
    let commands = blocks(&text, "sh");
    assert_eq!(commands.len(), 3);
    let directory = tempfile::tempdir().unwrap();
    for command in commands {
        let mut shell = Command::new("sh");
        shell.current_dir(directory.path()).env("URL", &url).env("TOKEN", token).env("KEY", KEY);
        let output = shell.args(["-euc", &command]).output().unwrap();
        let told =
            format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success(), "{command}\n{told}");
        assert!(!told.contains("\"imported\":0"), "{told}");
    }
}
