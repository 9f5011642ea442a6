use serde_json::{Value, json};

use super::*;

const HEARTBEAT: Duration = Duration::from_secs(900);

fn report(state: &str, since: &str, checked: &str) -> Report {
    serde_json::from_value(json!({
        "uid": "u", "state": state, "since": since, "uptime": {"24h": "99.95", "7d": null, "30d": null},
        "lastCheck": {"time": checked, "ok": true, "status": 200, "durationMs": 12, "message": null}}))
    .unwrap()
}

fn endpoint(status: Value) -> MonitoredEndpoint {
    let mut endpoint = MonitoredEndpoint::new(
        "front",
        serde_json::from_value(json!({"instanceRef": {"name": "shop"}, "http": {"url": "http://a"}}))
            .unwrap(),
    );
    endpoint.metadata.generation = Some(1);
    endpoint.status = serde_json::from_value(status).unwrap();
    endpoint
}

fn accepted() -> [Finding; 2] {
    [
        Finding::new("Ready", true, "Watched", "it is watched"),
        Finding::new("Accepted", true, "Accepted", "the instance lets it in"),
    ]
}

fn computed(before: &MonitoredEndpoint, report: Option<&Report>) -> MonitoredEndpointStatus {
    compute(before, &accepted(), report, HEARTBEAT, Timestamp::UNIX_EPOCH)
}

fn settled(report: &Report) -> MonitoredEndpoint {
    let mut endpoint = endpoint(Value::Null);
    endpoint.status = Some(computed(&endpoint, Some(report)));
    endpoint
}

const NOON: &str = "2026-01-01T12:00:00.000Z";

#[test]
fn a_first_report_is_taken_over_whole() {
    let status = settled(&report("Up", NOON, NOON)).status.unwrap();
    assert_eq!(status.state, Some(EndpointState::Up));
    assert_eq!(status.uptime.unwrap().day.as_deref(), Some("99.95"));
    assert_eq!(status.last_check.unwrap().duration_ms, Some(12));
    assert_eq!(status.observed_generation, Some(1));
}

#[test]
fn a_newer_check_alone_changes_nothing_until_the_heartbeat() {
    let before = settled(&report("Up", NOON, NOON));
    let soon = report("Up", NOON, "2026-01-01T12:14:59.000Z");
    assert_eq!(computed(&before, Some(&soon)), before.status.clone().unwrap());
    let later = report("Up", NOON, "2026-01-01T12:15:00.000Z");
    assert_eq!(computed(&before, Some(&later)).last_check.unwrap().time, "2026-01-01T12:15:00.000Z");
}

#[test]
fn a_transition_is_written_at_once() {
    let before = settled(&report("Up", NOON, NOON));
    let down = report("Down", "2026-01-01T12:00:30.000Z", "2026-01-01T12:00:30.000Z");
    assert!(is_stale(before.status.as_ref(), &down, HEARTBEAT));
    assert_eq!(computed(&before, Some(&down)).state, Some(EndpointState::Down));
}

#[test]
fn every_state_of_the_api_is_known_and_a_glance_tells_it_with_what_is_asked() {
    for state in ["Up", "Degraded", "Down", "Unknown", "Maintenance", "Suspended"] {
        let status = settled(&report(state, NOON, NOON)).status.unwrap();
        assert_eq!(status.state.map(EndpointState::as_str), Some(state));
        assert_eq!(status.target.as_deref(), Some("http://a"));
    }
}

#[test]
fn another_certificate_is_news_and_the_same_is_none() {
    let certified = |expires: &str| Report {
        certificate: serde_json::from_value(json!({"notAfter": expires})).unwrap(),
        ..report("Up", NOON, NOON)
    };
    let before = settled(&certified("2026-02-01T00:00:00Z"));
    assert!(!is_stale(before.status.as_ref(), &certified("2026-02-01T00:00:00Z"), HEARTBEAT));
    assert!(is_stale(before.status.as_ref(), &certified("2026-05-01T00:00:00Z"), HEARTBEAT));
}

#[test]
fn silence_of_the_api_keeps_what_is_known() {
    let before = settled(&report("Up", NOON, NOON));
    assert_eq!(computed(&before, None), before.status.clone().unwrap());
    assert_eq!(computed(&endpoint(Value::Null), None).state, Some(EndpointState::Unknown));
}

#[test]
fn an_endpoint_that_is_not_let_in_is_unknown() {
    let before = settled(&report("Up", NOON, NOON));
    let rejected = [
        Finding::new("Ready", false, "NotAllowed", "no"),
        Finding::new("Accepted", false, "NotAllowed", "no"),
    ];
    let status =
        compute(&before, &rejected, Some(&report("Up", NOON, NOON)), HEARTBEAT, Timestamp::UNIX_EPOCH);
    assert_eq!(status.state, Some(EndpointState::Unknown));
    assert_eq!(status.last_check, None);
}

#[test]
fn what_is_not_checked_any_more_is_unknown_and_not_ready_until_it_is() {
    let shop = InstanceKey { namespace: "shop".into(), name: "main".into() };
    let up = report("Up", NOON, NOON);
    let gone = Report { observed: false, ..report("Unknown", "2026-01-01T12:03:10.000Z", NOON) };
    let told = |before: &MonitoredEndpoint, report: &Report| {
        let findings = [watched(&shop, Some(report)), accepted()[1].clone()];
        compute(before, &findings, Some(report), HEARTBEAT, Timestamp::UNIX_EPOCH)
    };
    let mut endpoint = settled(&up);
    assert!(is_stale(endpoint.status.as_ref(), &gone, HEARTBEAT));
    endpoint.status = Some(told(&endpoint, &gone));
    let status = endpoint.status.clone().unwrap();
    assert_eq!(status.state, Some(EndpointState::Unknown));
    let ready = &status.conditions[0];
    assert_eq!((ready.status.as_str(), ready.reason.as_str()), ("False", "NotObserved"));
    assert_eq!(
        ready.message,
        format!(
            "no check has come since {NOON}: see whether checkers of AnalyticsInstance shop/main are at work"
        )
    );
    assert!(!is_stale(endpoint.status.as_ref(), &gone, HEARTBEAT), "told once");
    assert!(is_stale(endpoint.status.as_ref(), &up, HEARTBEAT));
    let status = told(&endpoint, &up);
    assert_eq!((status.state, status.conditions[0].reason.as_str()), (Some(EndpointState::Up), "Watched"));
}
