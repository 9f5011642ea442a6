use serde_json::{Value, json};

use super::*;

fn endpoint(change: Value) -> MonitoredEndpoint {
    let mut spec = json!({
        "instanceRef": {"name": "shop"},
        "http": {"url": "https://shop.example/health"},
    });
    for (key, value) in change.as_object().unwrap() {
        spec[key] = value.clone();
    }
    MonitoredEndpoint::new("front", serde_json::from_value(spec).unwrap())
}

fn refusal(change: Value) -> String {
    endpoint(change).validate_cel().unwrap_err().to_string()
}

#[test]
fn what_is_left_out_has_its_default() {
    let endpoint = endpoint(json!({}));
    endpoint.validate_cel().unwrap();
    let spec = endpoint.spec;
    assert_eq!(spec.interval.as_str(), "60s");
    assert_eq!(spec.timeout.as_str(), "10s");
    assert_eq!((spec.retries.attempts, spec.retries.backoff.as_str()), (0, "1s"));
    let http = spec.http.unwrap();
    assert_eq!(http.method, HttpMethod::Get);
    assert_eq!(http.expected_status, ["2xx"]);
    assert!(http.follow_redirects);
}

#[test]
fn an_endpoint_has_exactly_one_probe() {
    let mut bare = endpoint(json!({}));
    bare.spec.http = None;
    let error = bare.validate_cel().unwrap_err().to_string();
    assert!(error.contains("exactly one probe"), "{error}");
}

#[test]
fn a_timeout_fits_into_the_interval() {
    endpoint(json!({"interval": "10s", "timeout": "10s"})).validate_cel().unwrap();
    let error = refusal(json!({"interval": "5s", "timeout": "1m"}));
    assert!(error.contains("not be longer than interval"), "{error}");
    let error = refusal(json!({"timeout": "0s"}));
    assert!(error.contains("longer than nothing"), "{error}");
}

#[test]
fn an_interval_is_at_least_a_second() {
    let error = refusal(json!({"interval": "999ms", "timeout": "10ms"}));
    assert!(error.contains("at least 1s"), "{error}");
    endpoint(json!({"interval": "1s", "timeout": "1s"})).validate_cel().unwrap();
}

#[test]
fn an_url_names_scheme_and_host() {
    for url in ["shop.example", "ftp://shop.example", "https://", "https:///x", "http://a b"] {
        let error = refusal(json!({"http": {"url": url}}));
        assert!(error.contains("url must begin with"), "{url}: {error}");
    }
    for url in ["http://a", "https://a.example:8443/x?y=z#w", "http://[::1]:80/"] {
        endpoint(json!({"http": {"url": url}})).validate_cel().unwrap();
    }
}

#[test]
fn a_range_of_statuses_begins_with_its_least() {
    let probe = |codes: Value| json!({"http": {"url": "http://a", "expectedStatus": codes}});
    for good in [json!(["200-299"]), json!(["404-404"]), json!(["2xx", "301", "400-404"])] {
        endpoint(probe(good)).validate_cel().unwrap();
    }
    for bad in [json!(["300-200"]), json!(["2xx", "299-298"])] {
        let error = refusal(probe(bad));
        assert!(error.contains("begin with their least code"), "{error}");
    }
}

#[test]
fn a_header_has_exactly_one_source() {
    let secret = json!({"secretKeyRef": {"name": "token", "key": "value"}});
    for header in [json!({"name": "X-Token"}), json!({"name": "X-Token", "value": "a", "valueFrom": secret})]
    {
        let error = refusal(json!({"http": {"url": "http://a", "headers": [header]}}));
        assert!(error.contains("exactly one of value and valueFrom"), "{error}");
    }
    endpoint(json!({"http": {"url": "http://a", "headers": [
        {"name": "X-Token", "valueFrom": secret}, {"name": "Accept", "value": "*/*"}]}}))
    .validate_cel()
    .unwrap();
}

#[test]
fn an_endpoint_never_moves_to_another_instance() {
    let old = endpoint(json!({}));
    let moved = endpoint(json!({"instanceRef": {"name": "other"}}));
    let error = moved.validate_cel_update(&old).unwrap_err().to_string();
    assert!(error.contains("instanceRef cannot change"), "{error}");
    endpoint(json!({"interval": "30s"})).validate_cel_update(&old).unwrap();
}

#[test]
fn states_and_uptime_are_written_as_documented() {
    let status = MonitoredEndpointStatus {
        state: Some(EndpointState::Up),
        uptime: Some(Uptime { day: Some("99.95".into()), ..Uptime::default() }),
        ..MonitoredEndpointStatus::default()
    };
    assert_eq!(serde_json::to_value(status).unwrap(), json!({"state": "Up", "uptime": {"24h": "99.95"}}));
}
