//! What is lost is told, and what need not be lost is not.

use super::*;

/// The notes of an import that begin with `about`, without that.
fn told(notes: &[String], about: &str) -> Vec<String> {
    let prefix = format!("{about}: ");
    notes.iter().filter_map(|note| note.strip_prefix(&prefix)).map(str::to_owned).collect()
}

fn kuma(monitors: Value) -> (Vec<Value>, Vec<String>) {
    import(&json!({ "monitorList": monitors }).to_string())
}

#[test]
fn what_endpoints_of_gatus_have_in_common_by_merge_keys_is_theirs() {
    let (documents, notes) = import(
        "
default-endpoint: &defaults
  group: core
  interval: 5m
  client: {insecure: true, timeout: 30s}
  conditions: ['[STATUS] == 200']
endpoints:
  - {name: one, <<: *defaults, url: 'https://a.example/'}
  - {name: two, <<: *defaults, url: 'https://b.example/', group: shop}
",
    );
    assert_eq!(notes, Vec::<String>::new());
    let all = specs(&documents);
    let found: Vec<_> =
        all.iter().map(|spec| (&spec["group"], &spec["interval"], &spec["timeout"])).collect();
    let (interval, timeout) = (&json!("300s"), &json!("30s"));
    assert_eq!(found, [(&json!("core"), interval, timeout), (&json!("shop"), interval, timeout)]);
    assert!(all.iter().all(|spec| spec["http"]["expectedStatus"] == json!(["200"])), "{all:?}");
}

#[test]
fn every_setting_of_gatus_that_is_lost_is_told() {
    let (documents, notes) = import(
        "
storage: {type: sqlite}
connectivity: {checker: {target: '1.1.1.1:53'}}
endpoints:
  - name: front
    url: https://a.example/
    body: {a: 1}
    ui: {hide-url: true}
    client: {proxy-url: 'http://proxy.example'}
    conditions: ['[STATUS] == 200', 5]
    alerts: [{type: slack, failure-threshold: 100, provider-override: {channel: ops}}]
external-endpoints:
  - {name: job, token: 0123456789abcdef, heartbeat: {interval: 1h}, ui: {hide-url: true}}
",
    );
    assert_eq!(specs(&documents).len(), 2, "{notes:?}");
    let front = told(&notes, "front");
    for lost in [
        "`ui` has no counterpart",
        "its body is no text",
        "client.proxy-url has no counterpart",
        "condition `5` is no text",
        "`provider-override` of alerts has no counterpart",
        "a threshold of its alerts is 64 here, the highest",
    ] {
        assert!(front.iter().any(|note| note == lost), "{lost}: {front:?}");
    }
    assert!(told(&notes, "job").iter().any(|note| note == "`ui` has no counterpart"), "{notes:?}");
    for block in ["storage", "connectivity"] {
        assert_eq!(told(&notes, block).len(), 1, "{block}: {notes:?}");
    }
}

#[test]
fn lengths_of_time_of_gatus_are_kept_to_the_millisecond_or_told() {
    let (documents, notes) = import(
        "
endpoints:
  - {name: quick, url: 'https://a.example/', interval: 1500ms, client: {timeout: 250ms}, conditions: ['[STATUS] == 200']}
  - {name: tight, url: 'https://a.example/', interval: 5s, conditions: ['[STATUS] == 200']}
  - {name: odd, url: 'https://a.example/', interval: often, conditions: ['[STATUS] == 200']}
  - {name: short, url: 'https://a.example/', interval: 200ms, client: {timeout: 100ms}, conditions: ['[STATUS] == 200']}
",
    );
    let times: Vec<_> = specs(&documents)
        .into_iter()
        .map(|spec| {
            [&spec["interval"], &spec["timeout"]].map(|time| time.as_str().expect("a text").to_owned())
        })
        .collect();
    assert_eq!(times, [["1500ms", "250ms"], ["5s", "5s"], ["60s", "10s"], ["1s", "100ms"]]);
    assert_eq!(told(&notes, "quick"), Vec::<String>::new());
    assert_eq!(told(&notes, "tight"), ["its timeout is its interval here, 5s"]);
    assert_eq!(told(&notes, "odd"), ["interval `often` is no length of time: 60s here"]);
    assert_eq!(told(&notes, "short"), ["its interval is 1s here, the shortest"]);
}

#[test]
fn every_setting_of_uptime_kuma_that_is_lost_is_told_and_defaults_are_not() {
    let (documents, notes) = kuma(json!([
        { "type": "http", "name": "plain", "url": "https://a.example/", "description": null, "proxyId": null,
          "mqttTopic": "", "gamedigGivenPortOnly": true, "snmpVersion": "2c", "kafkaProducerSsl": false,
          "kafkaProducerSaslOptions": { "mechanism": "None" }, "jsonPathOperator": "==", "conditions": [] },
        { "type": "http", "name": "rich", "url": "https://a.example/", "interval": 20, "timeout": 30,
          "description": "the shop", "proxyId": 3, "cacheBust": true, "maxretries": 100, "retryInterval": 5,
          "resendInterval": 1, "tags": [{ "name": "env", "value": "a" }, { "name": "env", "value": "b" }] },
        { "type": "group", "name": "Core", "notificationIDList": { "1": true } },
    ]));
    assert_eq!(told(&notes, "plain"), Vec::<String>::new());
    assert_eq!(specs(&documents).len(), 2, "{notes:?}");
    let rich = told(&notes, "rich");
    for lost in [
        "`description` has no counterpart",
        "`cacheBust` has no counterpart",
        "probes go out directly, without a proxy",
        "its timeout is its interval here, 20s",
        "it is down after 64 bad checks here, the most",
        "retryInterval: bad checks are the usual interval apart here",
        "it is told again after 60s here, the shortest",
        "tag `env` is there twice: its last value is kept",
    ] {
        assert!(rich.iter().any(|note| note == lost), "{lost}: {rich:?}");
    }
    assert_eq!(told(&notes, "Core"), ["a group tells nobody here, only its monitors do"]);
}

#[test]
fn a_monitor_of_uptime_kuma_that_is_paused_or_inverted_raises_no_alarm() {
    let url = "https://a.example/";
    let (documents, notes) = kuma(json!([
        { "id": 1, "type": "group", "name": "Core", "active": false },
        { "id": 2, "type": "group", "name": "Web", "active": true, "parent": 1 },
        { "id": 3, "type": "http", "name": "below", "url": url, "active": true, "parent": 2 },
        { "id": 4, "type": "http", "name": "off", "url": url, "active": false },
        { "id": 5, "type": "http", "name": "inverted", "url": url, "upsideDown": true },
        { "id": 6, "type": "http", "name": "on", "url": url, "active": true },
        // In a circle.
        { "id": 7, "type": "group", "name": "A", "parent": 8 },
        { "id": 8, "type": "group", "name": "B", "parent": 7 },
        { "id": 9, "type": "http", "name": "round", "url": url, "parent": 7 },
    ]));
    let all = specs(&documents);
    let suspended = |name: &str| {
        let spec = all.iter().find(|spec| spec["name"] == name).expect(name);
        spec.get("suspended").is_some()
    };
    let found = ["below", "off", "inverted", "on", "round"].map(suspended);
    assert_eq!(found, [true, true, true, false, false], "{notes:?}");
    assert_eq!(all[0]["group"], "Core / Web");
}

#[test]
fn probes_of_uptime_kuma_ask_as_they_did_there() {
    let url = "https://a.example/";
    let query = |operator: &str| {
        json!({ "type": "json-query", "name": operator, "url": url, "jsonPath": "n", "expectedValue": "5",
                "jsonPathOperator": operator })
    };
    let (documents, notes) = kuma(json!([
        query("=="),
        query(">"),
        query("contains"),
        query("~"),
        { "type": "http", "name": "http", "url": "http://a.example/", "expiryNotification": true, "maxredirects": 3 },
        { "type": "http", "name": "mtls", "url": url, "expiryNotification": true, "ignoreTls": true,
          "authMethod": "mtls", "tlsCert": "a certificate", "tlsKey": "a key" },
        { "type": "smtp", "name": "mail", "hostname": "a.example", "port": 25, "smtpSecurity": "nostarttls" },
        { "type": "dns", "name": "zone", "hostname": "a.example", "dns_resolve_server": "::1, 9.9.9.9" },
        { "type": "ping", "name": "box", "hostname": "a.example", "packetSize": 2000, "ping_count": 5 },
    ]));
    let all = specs(&documents);
    let find = |name: &str| *all.iter().find(|spec| spec["name"] == name).expect(name);
    for (operator, comparison) in [("==", "Equals"), (">", "GreaterThan"), ("contains", "Contains")] {
        assert_eq!(find(operator)["assertions"][0]["comparison"], comparison);
    }
    assert_eq!(told(&notes, "~"), ["its JSON query is more than a path; write an assertion by hand"]);
    // A condition on a certificate never holds where there is none.
    assert!(find("http").get("assertions").is_none());
    assert_eq!(find("http")["http"]["maxRedirects"], 3);
    let tls = &find("mtls")["http"]["tls"];
    assert_eq!(tls["skipVerification"], true);
    assert_eq!(tls["clientKey"]["valueFrom"]["secretKeyRef"]["name"], "mtls-imported");
    assert!(!serde_json::to_string(&all).expect("JSON").contains("a key"));
    assert_eq!(find("mtls")["assertions"][0]["severity"], "Degraded");
    assert_eq!(find("mail")["tcp"]["conversation"][0]["expect"], "^220");
    assert_eq!(find("zone")["dns"]["server"], "[::1]:53");
    assert_eq!(told(&notes, "zone"), ["only the first of its DNS servers is asked here, ::1"]);
    assert_eq!(
        (&find("box")["icmp"]["payloadBytes"], &find("box")["icmp"]["count"]),
        (&json!(1400), &json!(5))
    );
    assert_eq!(told(&notes, "box"), ["packetSize is 1400 here, the most"]);
}

#[test]
fn a_file_of_api_monitoring_system_tells_whom_it_told_and_what_is_no_endpoint_is_told() {
    let (documents, notes) = import(
        "
database: {type: sqlite}
monitoring: {check_history_days: 30}
api: {port: 8000}
endpoints:
  - {name: shop, url: 'https://a.example/', interval: 10, timeout: 20}
",
    );
    let shop = specs(&documents)[0];
    assert_eq!(shop["alerts"]["channels"], json!([]), "nobody was told");
    assert_eq!(told(&notes, "shop"), ["its timeout is its interval here, 10s"]);
    for block in ["database", "monitoring", "api"] {
        assert_eq!(told(&notes, block).len(), 1, "{block}: {notes:?}");
    }
    let (documents, _) = import(
        "
notifications: {cooldown_seconds: 60, send_recovery: false, webhook: {enabled: true, url: 'https://hooks.example/'}}
endpoints:
  - {name: shop, url: 'https://a.example/'}
",
    );
    let alerts = &specs(&documents)[0]["alerts"];
    assert_eq!(*alerts, json!({ "cooldown": "60s", "sendRecovery": false }));
}

#[test]
fn manifests_with_secrets_are_their_owners_alone() {
    use std::os::unix::fs::PermissionsExt;
    let directory = tempfile::tempdir().expect("directory");
    let file = directory.path().join("endpoints.yaml");
    super::super::write(&file, "---\n").expect("write");
    super::super::write(&file, "--- {}\n").expect("write again");
    assert_eq!(fs::read_to_string(&file).expect("read"), "--- {}\n");
    assert_eq!(fs::metadata(&file).expect("metadata").permissions().mode() & 0o777, 0o600);
}
