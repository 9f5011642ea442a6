//! The OpenAPI document and the page that shows it.

mod common;

use std::{collections::BTreeSet, fs, path::Path};

use axum::body::Body;
use common::{ADMIN, client_with, options, sqlite};
use regex::Regex;
use serde_json::Value;
use watchkeeper_api::ApiOptions;

/// Where routes answer programs; all others are pages, forms and assets for people.
const INTERFACES: [&str; 3] = ["/api/", "/v1/", "/health"];

fn with_documents() -> ApiOptions {
    ApiOptions { documents: vec![watchkeeper_logger::openapi()], ..options() }
}

/// Every route that the sources of the API and the logger register: method and path.
fn registered() -> BTreeSet<(String, String)> {
    let services = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("services");
    let mut sources = String::new();
    for folder in ["api/src", "logger/src"] {
        collect(&services.join(folder), &mut sources);
    }
    let route = Regex::new(r#"\.route\(\s*"([^"]+)",\s*"#).expect("expression");
    let method = Regex::new(r"\b(get|post|put|delete|patch)\(").expect("expression");
    let mut routes = BTreeSet::new();
    let starts: Vec<_> = route.captures_iter(&sources).collect();
    for (index, found) in starts.iter().enumerate() {
        let from = found.get(0).expect("match").end();
        let to = starts.get(index + 1).map_or(sources.len(), |next| next.get(0).expect("match").start());
        let handlers = sources[from..to].split([';', '}']).next().unwrap_or_default();
        let handlers = handlers.split(".layer(").next().unwrap_or_default();
        for method in method.captures_iter(handlers) {
            routes.insert((method[1].to_owned(), found[1].to_owned()));
        }
    }
    routes
}

fn collect(folder: &Path, sources: &mut String) {
    for entry in fs::read_dir(folder).expect("folder") {
        let path = entry.expect("entry").path();
        if path.is_dir() {
            collect(&path, sources);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = fs::read_to_string(&path).expect("source");
            // Tests have routers of their own.
            sources.push_str(text.split("#[cfg(test)]").next().unwrap_or_default());
        }
    }
}

fn documented(document: &Value) -> BTreeSet<(String, String)> {
    let paths = document["paths"].as_object().expect("paths").iter();
    paths
        .flat_map(|(path, operations)| {
            let operations = operations.as_object().expect("operations").keys();
            operations.map(move |method| (method.clone(), path.clone()))
        })
        .collect()
}

#[tokio::test]
async fn every_route_is_documented_and_every_documented_path_answers() {
    let fresh = sqlite().await;
    let client = client_with(&fresh.store, with_documents()).await;
    let document = client.get("/openapi.json").await.json();
    let documented = documented(&document);
    let registered: BTreeSet<_> = registered()
        .into_iter()
        .filter(|(_, path)| INTERFACES.iter().any(|at| path.starts_with(at)))
        .collect();
    assert!(registered.len() > 25, "{registered:?}");
    assert_eq!(registered, documented);
    let parameter = Regex::new(r"\{[^}]+\}").expect("expression");
    for (method, path) in documented {
        let filled = parameter.replace_all(&path, "1");
        let answer = client.call(&method.to_uppercase(), &filled, &[], "{}").await;
        assert!(
            answer.status != 405 && answer.body != b"404 page not found",
            "{method} {path} has no route: {}",
            answer.status
        );
    }
}

#[tokio::test]
async fn every_reference_has_its_schema_and_every_operation_its_words() {
    let fresh = sqlite().await;
    let client = client_with(&fresh.store, with_documents()).await;
    let text = client.get("/openapi.json").await.text().to_owned();
    let document: Value = serde_json::from_str(&text).expect("JSON");
    for reference in Regex::new(r##""\$ref":\s*"#([^"]+)""##).expect("expression").captures_iter(&text) {
        assert!(document.pointer(&reference[1]).is_some(), "{} leads nowhere", &reference[1]);
    }
    let described: BTreeSet<_> =
        document["tags"].as_array().expect("tags").iter().filter_map(|tag| tag["name"].as_str()).collect();
    let mut used = BTreeSet::new();
    for (path, operations) in document["paths"].as_object().expect("paths") {
        for (method, operation) in operations.as_object().expect("operations") {
            assert!(operation["summary"].is_string(), "{method} {path} has no summary");
            let tag = operation["tags"][0].as_str().unwrap_or_else(|| panic!("{method} {path} has no tag"));
            used.insert(tag);
        }
    }
    assert_eq!(used, described);
}

#[tokio::test]
async fn the_examples_of_queries_and_exports_are_answered() {
    let fresh = sqlite().await;
    let client = client_with(&fresh.store, with_documents()).await;
    let key = serde_json::json!({ "key": uuid::Uuid::new_v4() }).to_string();
    client.call("PUT", "/api/v1/projects/shop", &[ADMIN], key).await;
    let document = client.get("/openapi.json").await.json();
    let examples =
        &document["paths"]["/api/v1/query"]["post"]["requestBody"]["content"]["application/json"]["examples"];
    let examples = examples.as_object().expect("examples");
    assert_eq!(examples.len(), 2);
    for (name, example) in examples {
        let answer = client.call("POST", "/api/v1/query", &[ADMIN], example["value"].to_string()).await;
        assert_eq!(answer.status, 200, "{name}: {}", answer.text());
    }
    let example =
        &document["paths"]["/api/v1/export"]["post"]["requestBody"]["content"]["application/json"]["example"];
    let answer = client.call("POST", "/api/v1/export", &[ADMIN], example.to_string()).await;
    assert_eq!(answer.status, 200, "{example}: {}", answer.text());
}

#[tokio::test]
async fn the_page_comes_out_of_this_binary_alone() {
    let fresh = sqlite().await;
    let client = client_with(&fresh.store, with_documents()).await;
    let page = client.get("/docs/").await;
    assert_eq!(page.status, 200);
    let policy = page.header("content-security-policy").expect("a policy");
    assert!(policy.starts_with("default-src 'self'") && !policy.contains("http"), "{policy}");
    let assets = Regex::new(r#"(?:src|href)="([^"]+)""#).expect("expression");
    let mut count = 0;
    for asset in assets.captures_iter(page.text()) {
        assert!(!asset[1].contains("//"), "{} is elsewhere", &asset[1]);
        let answer = client.get(&format!("/docs/{}", asset[1].trim_start_matches("./"))).await;
        assert_eq!(answer.status, 200, "{}", &asset[1]);
        count += 1;
    }
    assert!(count > 4);
    let settings = client.get("/docs/swagger-initializer.js").await;
    assert!(settings.text().contains("\"validatorUrl\": \"none\""), "{}", settings.text());
}

#[tokio::test]
async fn the_other_address_that_fastapi_has_leads_to_the_page() {
    let fresh = sqlite().await;
    let client = client_with(&fresh.store, with_documents()).await;
    let led = client.get("/redoc").await;
    assert_eq!((led.status, led.header("location")), (303, Some("/docs/")));
}

#[tokio::test]
async fn protected_documentation_asks_for_the_admin() {
    let fresh = sqlite().await;
    let client = client_with(&fresh.store, ApiOptions { protect_docs: true, ..with_documents() }).await;
    let basic = ("authorization", "Basic eDp0MGtlbi1vZi10aGUtYWRtaW5pc3RyYXRvcg==");
    for path in ["/docs", "/docs/", "/docs/swagger-ui.css", "/redoc", "/openapi.json"] {
        let refused = client.get(path).await;
        assert_eq!(refused.status, 401, "{path}");
        assert!(refused.header("www-authenticate").is_some_and(|challenge| challenge.starts_with("Basic")));
        let answer = client.call("GET", path, &[basic], Body::empty()).await;
        assert!(matches!(answer.status, 200 | 303), "{path}: {}", answer.status);
    }
}
