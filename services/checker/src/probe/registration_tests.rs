//! Registrations over a registry of our own, which speaks RDAP.

use std::net::IpAddr;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::Router;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::get;
use serde_json::json;

use super::super::Probers;
use super::super::documents::PATIENCE;
use super::super::resolver::Resolver;
use super::super::tls::Trusted;
use super::*;
use crate::guard::{GuardRules, Rules, Trust};
use watchkeeper_store::{Assertion, HttpProbe, Probe, Severity};

const DAY: i64 = 86_400_000;

/// A registry, the list that names it, and a port where a page is.
struct Registry {
    list: Url,
    port: u16,
    asked: Arc<AtomicUsize>,
}

fn redirect(to: &str) -> Response {
    Redirect::temporary(to).into_response()
}

/// Documents of servers whose names all come to this machine, where these networks are open to all.
fn documents(allow: &[&str]) -> Documents {
    let allow = allow.iter().map(|net| net.parse().expect("a network")).collect();
    let rules = Rules::new(GuardRules { allow, ..GuardRules::default() });
    let here = Resolver::told(|_| vec![IpAddr::from([127, 0, 0, 1])]);
    Documents::new(&Trusted::load(), &here, &rules)
}

async fn registry() -> Registry {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = listener.local_addr().expect("an address").port();
    let base = format!("http://127.0.0.1:{port}");
    let asked = Arc::new(AtomicUsize::new(0));
    let list = json!({
        "version": "1.0",
        "services": [[["net", "com"], [format!("{base}/gone/")]], [["test", "co.test"], [format!("{base}/rdap/")]]],
    });
    let domain = move |State(asked): State<Arc<AtomicUsize>>, Path(name): Path<String>| async move {
        asked.fetch_add(1, Ordering::Relaxed);
        let ends = Timestamp::from_millisecond(now_ms() + 30 * DAY).expect("a time").to_string();
        let events = match name.as_str() {
            "example.test" | "shop.co.test" | "xn--mnchen-3ya.test" => json!([
                { "eventAction": "registration", "eventDate": "2001-01-01T00:00:00Z" },
                { "eventAction": "expiration", "eventDate": ends },
            ]),
            "silent.test" => json!([]),
            "moved.test" => return redirect(&format!("http://127.0.0.1:{port}/rdap/domain/example.test")),
            "named.test" => return redirect(&format!("http://inside.test:{port}/rdap/domain/example.test")),
            "turning.test" => return redirect(&format!("http://127.0.0.1:{port}/rdap/domain/turning.test")),
            "garbled.test" => return "<html>".into_response(),
            "endless.test" => return vec![b' '; ANSWER + 1].into_response(),
            _ => return StatusCode::NOT_FOUND.into_response(),
        };
        axum::Json(json!({ "objectClassName": "domain", "ldhName": name, "events": events })).into_response()
    };
    let router = Router::new()
        .route("/dns.json", get(axum::Json(list)))
        .route("/rdap/domain/{name}", get(domain))
        .route("/", get("a page"))
        .route("/gone/domain/{name}", get(StatusCode::TOO_MANY_REQUESTS))
        .with_state(Arc::clone(&asked));
    tokio::spawn(async move { axum::serve(listener, router).await });
    Registry { list: format!("{base}/dns.json").parse().expect("a URL"), port, asked }
}

async fn told(registrations: &Registrations, host: &str) -> Result<i64, String> {
    registrations.left(host, PATIENCE).await.expect("an answer in time")
}

#[tokio::test]
async fn the_domain_of_a_host_is_found_and_asked_for_once() {
    let registry = registry().await;
    let registrations = Registrations::new(Some(registry.list), documents(&[]));
    for host in ["example.test", "www.Example.test.", "a.b.shop.co.test", "münchen.test"] {
        let left = told(&registrations, host).await.expect(host);
        assert!((29 * DAY..=30 * DAY).contains(&left), "{host}: {left}");
    }
    let asked = registry.asked.load(Ordering::Relaxed);
    let again = futures::future::join_all((0..20).map(|_| told(&registrations, "example.test"))).await;
    assert!(again.iter().all(Result::is_ok));
    assert_eq!(registry.asked.load(Ordering::Relaxed), asked);
}

#[tokio::test]
async fn a_list_that_is_not_given_is_asked_for_once_for_all_domains() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let list = format!("http://{}/dns.json", listener.local_addr().expect("an address"));
    let asked = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&asked);
    let refuse = move || {
        counted.fetch_add(1, Ordering::Relaxed);
        std::future::ready(StatusCode::SERVICE_UNAVAILABLE)
    };
    let router = Router::new().route("/dns.json", get(refuse));
    tokio::spawn(async move { axum::serve(listener, router).await });
    let registrations = Registrations::new(Some(list.parse().expect("a URL")), documents(&[]));
    for host in ["one.test", "two.test", "three.test"] {
        let error = told(&registrations, host).await.expect_err(host);
        assert!(error.contains("answered 503"), "{host}: {error}");
    }
    assert_eq!(asked.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn many_that_ask_at_once_are_one_question() {
    let registry = registry().await;
    let registrations = Registrations::new(Some(registry.list), documents(&[]));
    let answers = futures::future::join_all((0..20).map(|_| told(&registrations, "example.test"))).await;
    assert!(answers.iter().all(Result::is_ok));
    assert_eq!(registry.asked.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn what_a_registry_does_not_tell_is_told_with_the_reason() {
    let registry = registry().await;
    let registrations = Registrations::new(Some(registry.list), documents(&[]));
    for (host, reason) in [
        ("unheard-of.test", "does not know unheard-of.test"),
        ("silent.test", "does not tell when the registration of silent.test ends"),
        ("garbled.test", "answered something else"),
        ("endless.test", "answered more than"),
        ("example.com", "answered 429"),
        ("example.zz", "the registry of .zz answers no RDAP"),
        ("192.0.2.1", "no domain"),
        ("localhost", "no domain"),
    ] {
        let error = told(&registrations, host).await.expect_err(host);
        assert!(error.contains(reason), "{host}: {error}");
    }
    let nobody = Registrations::new(None, documents(&[]));
    assert_eq!(told(&nobody, "example.test").await, Err("no registries are asked here".into()));
}

#[tokio::test]
async fn a_registry_redirects_only_to_where_strangers_may_ask() {
    let registry = registry().await;
    let guarded = Registrations::new(Some(registry.list.clone()), documents(&[]));
    for (host, reason) in [
        ("moved.test", "127.0.0.1 redirects, and refused: the target's address is loopback"),
        ("named.test", "127.0.0.1 redirects, and inside.test did not answer"),
    ] {
        let error = told(&guarded, host).await.expect_err(host);
        assert!(error.contains(reason), "{host}: {error}");
    }
    assert_eq!(registry.asked.load(Ordering::Relaxed), 2, "nobody was asked where they lead");

    let open = Registrations::new(Some(registry.list), documents(&["127.0.0.0/8"]));
    for host in ["moved.test", "named.test"] {
        assert!(told(&open, host).await.is_ok(), "{host}");
    }
    let error = told(&open, "turning.test").await.expect_err("there is no end");
    assert!(error.contains("redirects more than 4 times"), "{error}");
}

#[tokio::test]
async fn nobody_is_led_to_metadata_by_a_list_of_registries() {
    let list = "http://169.254.169.254/dns.json".parse().expect("a URL");
    let registrations = Registrations::new(Some(list), documents(&["0.0.0.0/0"]));
    let error = told(&registrations, "example.test").await.expect_err("it is refused");
    assert!(error.contains("refused: the target's address is link-local or metadata"), "{error}");
}

#[tokio::test]
async fn an_assertion_about_a_domain_is_judged_and_no_registry_makes_an_endpoint_bad() {
    let registry = registry().await;
    let told = Resolver::told(|_| vec![IpAddr::from([127, 0, 0, 1])]);
    let probers = Probers::with(GuardRules::default(), told, Some(registry.list));
    for (host, condition, ok, degraded, message) in [
        ("www.example.test", "[DOMAIN_EXPIRATION] > 24h", true, false, ""),
        ("www.example.test", "[DOMAIN_EXPIRATION] > 720h", false, false, "[DOMAIN_EXPIRATION] ("),
        ("www.example.zz", "[DOMAIN_EXPIRATION] > 24h", true, true, "is not known: the registry of .zz"),
    ] {
        let probe = Probe::Http(HttpProbe::new(format!("http://{host}:{}/", registry.port)));
        let assertions = [Assertion { condition: condition.into(), severity: Severity::Down }];
        let found = probers.probe(Trust::Operator, "shop", &probe, &assertions, PATIENCE).await;
        let text = found.message.unwrap_or_default();
        assert_eq!((found.ok, found.degraded), (ok, degraded), "{host}: {text}");
        assert!(text.contains(message) && text.is_empty() == message.is_empty(), "{text}");
    }
}
