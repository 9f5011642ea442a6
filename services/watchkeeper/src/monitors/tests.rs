mod lost;

use super::*;

fn import(text: &str) -> (Vec<Value>, Vec<String>) {
    let target = Target { instance: "main".into(), namespace: Some("watch".into()) };
    let (manifests, notes) = translate(text, None, &target).expect("a translation");
    let documents = manifests
        .split("---\n")
        .filter(|document| !document.trim().is_empty())
        .map(|document| serde_yaml::from_str(document).expect("YAML"))
        .collect();
    (documents, notes)
}

fn specs(documents: &[Value]) -> Vec<&Value> {
    documents.iter().filter(|it| it["kind"] == "MonitoredEndpoint").map(|it| &it["spec"]).collect()
}

#[test]
fn an_api_monitoring_system_file_becomes_manifests_with_its_secrets_apart() {
    let (documents, notes) = import(
        "
endpoints:
  - name: Shop API
    url: https://shop.example/health
    method: POST
    interval: 30
    timeout: 40
    expected_status: 204
    headers: {Authorization: Bearer s3cret, Accept: application/json}
    body: {ping: true}
  - {name: blog, url: 'https://blog.example/', is_active: false}
notifications:
  webhook: {enabled: true, url: 'https://hooks.example/x'}
",
    );
    let specs = specs(&documents);
    assert_eq!(specs.len(), 2, "{notes:?}");
    let shop = specs[0];
    assert_eq!(
        (&shop["name"], &shop["interval"], &shop["timeout"]),
        (&"Shop API".into(), &"30s".into(), &"30s".into())
    );
    assert_eq!(shop["http"]["expectedStatus"], serde_json::json!(["204"]));
    assert_eq!(shop["http"]["body"], "{\"ping\":true}");
    let reference = &shop["http"]["headers"][0]["valueFrom"]["secretKeyRef"];
    assert_eq!(reference["name"], "shop-api-imported");
    let secret = documents.iter().find(|it| it["kind"] == "Secret").expect("a Secret");
    assert_eq!(secret["stringData"][reference["key"].as_str().expect("key")], "Bearer s3cret");
    assert_eq!(secret["metadata"]["namespace"], "watch");
    assert_eq!(specs[1]["suspended"], true);
    assert!(notes.iter().any(|note| note.starts_with("notifications.webhook")), "{notes:?}");
}

#[test]
fn mistakes_of_a_file_are_told_and_nothing_is_written() {
    let target = Target { instance: "main".into(), namespace: None };
    let error = translate("endpoints: [{name: a}]", None, &target).expect_err("a mistake").to_string();
    assert!(error.contains("endpoints[0].url: Field required"), "{error}");
    assert!(translate("{}", None, &target).is_err());
}

#[test]
fn names_become_such_as_kubernetes_takes_and_stay_apart() {
    let (documents, notes) = import(
        "
endpoints:
  - {name: 'Größe (A)', url: 'https://a.example/'}
  - {name: 'Gr e A', url: 'https://b.example/'}
  - {name: 'Gr e - A!', url: 'https://c.example/'}
  - {name: '***', url: 'https://d.example/'}
",
    );
    let names: Vec<_> = documents.iter().map(|it| it["metadata"]["name"].as_str().expect("name")).collect();
    assert_eq!(names, ["gr-e-a", "gr-e-a-2", "gr-e-a-3", "endpoint"], "{notes:?}");
}

#[test]
fn a_gatus_file_becomes_manifests_and_what_is_lost_is_told() {
    let (documents, notes) = import(
        "
alerting: {slack: {webhook-url: 'https://hooks.slack.com/x'}}
endpoints:
  - name: front
    group: core
    url: https://shop.example/health
    interval: 5m
    conditions: ['[STATUS] == 200', '[RESPONSE_TIME] < 300', '[BODY].status == UP']
    client: {timeout: 5s, insecure: true}
    headers: {X-Api-Key: s3cret}
    alerts: [{type: slack, failure-threshold: 5, description: front is down}]
  - {name: db, url: 'tcp://db.example:5432', conditions: ['[CONNECTED] == true']}
  - {name: mail, url: 'starttls://mail.example:587', conditions: ['[CERTIFICATE_EXPIRATION] > 48h']}
  - {name: box, url: 'icmp://box.example', conditions: ['[CONNECTED] == true']}
  - {name: zone, url: '9.9.9.9', dns: {query-name: example.org, query-type: A}, conditions: ['[DNS_RCODE] == NOERROR']}
  - {name: shell, url: 'ssh://box.example:22', conditions: ['[CONNECTED] == true']}
external-endpoints:
  - {name: backup, token: t0ken, heartbeat: {interval: 24h}}
",
    );
    let all = specs(&documents);
    let find = |name: &str| {
        *all.iter().find(|spec| spec["name"] == name).unwrap_or_else(|| panic!("{name}: {notes:?}"))
    };
    let front = find("front");
    assert_eq!(
        (&front["group"], &front["interval"], &front["timeout"]),
        (&"core".into(), &"300s".into(), &"5s".into())
    );
    assert_eq!(front["http"]["expectedStatus"], serde_json::json!(["200"]));
    let conditions: Vec<_> = front["assertions"]
        .as_array()
        .expect("assertions")
        .iter()
        .map(|it| it["condition"].clone())
        .collect();
    assert_eq!(conditions, ["[RESPONSE_TIME] < 300", "[BODY].status == UP"]);
    assert_eq!(front["alerts"]["failureThreshold"], 5);
    assert!(!serde_json::to_string(&all).expect("JSON").contains("s3cret"));
    for name in ["db", "mail", "box", "zone", "backup"] {
        find(name);
    }
    for lost in ["alerting", "front: `description` of alerts", "shell: ssh has no probe"] {
        assert!(notes.iter().any(|note| note.starts_with(lost)), "{lost}: {notes:?}");
    }
}

#[test]
fn an_uptime_kuma_backup_becomes_manifests_and_what_is_lost_is_told() {
    let backup = serde_json::json!({
        "version": "1.23.0",
        "notificationList": [{ "id": 1, "name": "Ops Slack" }],
        "monitorList": [
            { "id": 1, "type": "group", "name": "Core" },
            { "id": 2, "type": "http", "name": "front", "url": "https://shop.example/", "method": "GET", "interval": 60,
              "maxretries": 2, "active": 1, "accepted_statuscodes": ["200-299"], "parent": 1,
              "notificationIDList": { "1": true }, "basic_auth_user": "u", "basic_auth_pass": "s3cret",
              "expiryNotification": true, "tags": [{ "name": "env", "value": "prod" }] },
            { "id": 3, "type": "keyword", "name": "word", "url": "https://a.example/", "keyword": "ok", "interval": 60 },
            { "id": 4, "type": "port", "name": "db", "hostname": "db.example", "port": 5432, "interval": 60 },
            { "id": 5, "type": "ping", "name": "box", "hostname": "box.example", "interval": 20 },
            { "id": 6, "type": "dns", "name": "zone", "hostname": "example.org", "dns_resolve_type": "MX",
              "dns_resolve_server": "1.1.1.1", "interval": 60 },
            { "id": 7, "type": "push", "name": "backup", "pushToken": "t0ken", "interval": 3600 },
            { "id": 8, "type": "mqtt", "name": "queue", "interval": 60 },
            { "id": 9, "type": "http", "name": "odd", "url": "https://b.example/", "interval": 60, "upsideDown": true },
        ],
    });
    let (documents, notes) = import(&backup.to_string());
    let all = specs(&documents);
    let find = |name: &str| {
        *all.iter().find(|spec| spec["name"] == name).unwrap_or_else(|| panic!("{name}: {notes:?}"))
    };
    let front = find("front");
    assert_eq!((&front["group"], &front["labels"]["env"]), (&"Core".into(), &"prod".into()));
    assert_eq!(front["alerts"]["failureThreshold"], 3);
    assert_eq!(front["alerts"]["channels"], serde_json::json!(["ops-slack"]));
    assert!(!serde_json::to_string(&all).expect("JSON").contains("s3cret"));
    let word = serde_json::json!({ "source": "Body", "comparison": "Contains", "target": "ok" });
    assert_eq!(find("word")["assertions"][0], word);
    for name in ["db", "box", "zone", "backup"] {
        find(name);
    }
    for lost in ["notification `Ops Slack`", "queue: monitors of type `mqtt`", "odd: upside down"] {
        assert!(notes.iter().any(|note| note.starts_with(lost)), "{lost}: {notes:?}");
    }
}

/// The probes of what was imported, by name; fails if anything but `told` was noted.
fn probes(text: &str, told: &[&str]) -> Vec<(String, &'static str)> {
    let (documents, notes) = import(text);
    assert_eq!(notes.len(), told.len(), "{notes:?}");
    for (note, told) in notes.iter().zip(told) {
        assert!(note.contains(told), "{told}: {notes:?}");
    }
    let probes = ["http", "tcp", "tls", "dns", "icmp", "grpc", "websocket", "heartbeat"];
    specs(&documents)
        .into_iter()
        .map(|spec| {
            let set: Vec<_> = probes.into_iter().filter(|probe| spec.get(probe).is_some()).collect();
            assert_eq!(set.len(), 1, "{spec}");
            (spec["name"].as_str().expect("a name").to_owned(), set[0])
        })
        .collect()
}

fn named(pairs: &[(&str, &'static str)]) -> Vec<(String, &'static str)> {
    pairs.iter().map(|(name, probe)| ((*name).to_owned(), *probe)).collect()
}

#[test]
fn every_type_of_gatus_that_has_a_probe_arrives() {
    let found = probes(
        "
endpoints:
  - {name: web, url: 'https://a.example/', conditions: ['[STATUS] == 200']}
  - {name: graph, url: 'https://a.example/', graphql: true, body: '{ up }', conditions: ['[BODY].data.up == 1']}
  - {name: port, url: 'tcp://a.example:5432', conditions: ['[CONNECTED] == true']}
  - {name: cert, url: 'tls://a.example:443', conditions: ['[CERTIFICATE_EXPIRATION] > 48h']}
  - {name: mail, url: 'starttls://a.example:587', client: {insecure: true}, conditions: ['[CONNECTED] == true']}
  - {name: box, url: 'icmp://a.example', conditions: ['[CONNECTED] == true']}
  - {name: zone, url: '9.9.9.9', dns: {query-name: a.example., query-type: MX}, conditions: ['[DNS_RCODE] == NOERROR']}
  - {name: socket, url: 'ws://a.example/feed', body: hello, conditions: ['[CONNECTED] == true']}
  - {name: safe socket, url: 'wss://a.example/feed', client: {insecure: true}, conditions: ['[CONNECTED] == true']}
  - {name: rpc, url: 'grpc://a.example:50051', conditions: ['[CONNECTED] == true']}
  - {name: safe rpc, url: 'grpcs://a.example:443', conditions: ['[CONNECTED] == true']}
external-endpoints:
  - {name: backup, token: 0123456789abcdef, heartbeat: {interval: 24h}}
",
        &["backup: its caller must call"],
    );
    let wanted = [
        ("web", "http"),
        ("graph", "http"),
        ("port", "tcp"),
        ("cert", "tls"),
        ("mail", "tls"),
        ("box", "icmp"),
        ("zone", "dns"),
        ("socket", "websocket"),
        ("safe socket", "websocket"),
        ("rpc", "grpc"),
        ("safe rpc", "grpc"),
        ("backup", "heartbeat"),
    ];
    assert_eq!(found, named(&wanted));
}

#[test]
fn every_type_of_uptime_kuma_that_has_a_probe_arrives() {
    let url = "https://a.example/";
    let backup = serde_json::json!({ "monitorList": [
        { "type": "http", "name": "web", "url": url, "method": "post", "body": "{}" },
        { "type": "keyword", "name": "word", "url": url, "keyword": "ok" },
        { "type": "json-query", "name": "query", "url": url, "jsonPath": "$.data.state", "expectedValue": "a, b" },
        { "type": "port", "name": "port", "hostname": "a.example", "port": 5432 },
        { "type": "ping", "name": "box", "hostname": "a.example", "packetSize": 56 },
        { "type": "dns", "name": "zone", "hostname": "a.example", "dns_resolve_type": "MX", "dns_resolve_server": "1.1.1.1", "port": 53 },
        { "type": "push", "name": "backup", "pushToken": "0123456789abcdef" },
        { "type": "grpc-keyword", "name": "rpc", "grpcUrl": "grpc://a.example:50051", "grpcEnableTls": true },
        { "type": "websocket-upgrade", "name": "socket", "url": "wss://a.example/feed" },
        { "type": "smtp", "name": "mail", "hostname": "a.example", "port": 587, "smtpSecurity": "starttls" },
    ]});
    let found = probes(&backup.to_string(), &["backup: its caller must call", "rpc: any method of gRPC"]);
    let wanted = [
        ("web", "http"),
        ("word", "http"),
        ("query", "http"),
        ("port", "tcp"),
        ("box", "icmp"),
        ("zone", "dns"),
        ("backup", "heartbeat"),
        ("rpc", "grpc"),
        ("socket", "websocket"),
        ("mail", "tls"),
    ];
    assert_eq!(found, named(&wanted));
}

#[test]
fn every_method_of_api_monitoring_system_arrives() {
    let found = probes(
        "
endpoints:
  - {name: get, url: 'https://a.example/', method: GET}
  - {name: post, url: 'https://a.example/', method: POST, body: {a: 1}}
  - {name: put, url: 'https://a.example/', method: PUT, body: {a: 1}}
  - {name: delete, url: 'https://a.example/', method: DELETE}
  - {name: head, url: 'https://a.example/', method: HEAD}
  - {name: patch, url: 'https://a.example/', method: PATCH, body: {a: 1}}
",
        &[],
    );
    let names = ["get", "post", "put", "delete", "head", "patch"];
    assert_eq!(found, named(&names.map(|name| (name, "http"))));
}

#[test]
fn days_of_gatus_maintenance_become_numbers_and_a_window_that_is_off_stays_away() {
    let (documents, notes) = import(
        "
endpoints:
  - name: front
    url: https://a.example/
    conditions: ['[STATUS] == 200']
    maintenance-windows:
      - {start: '23:05', duration: 1h30m, timezone: Europe/Berlin, every: [Monday, Sunday, Saturday]}
      - {start: '04:00', duration: 1h}
      - {start: '05:00', duration: 1h, enabled: false}
      - {start: '06:00', duration: 1h, every: [Feastday]}
",
    );
    let windows = &specs(&documents)[0]["maintenance"];
    let recurrences: Vec<_> =
        windows.as_array().expect("windows").iter().map(|it| it["recurrence"].clone()).collect();
    assert_eq!(recurrences, ["5 23 * * 1,0,6", "0 4 * * *"]);
    assert_eq!(windows[0]["timezone"], "Europe/Berlin");
    assert_eq!(notes.len(), 1, "{notes:?}");
    assert!(notes[0].starts_with("front: a maintenance window names a day"), "{notes:?}");
}

#[test]
fn alerts_of_gatus_take_what_they_leave_out_from_their_providers() {
    let (documents, notes) = import(
        "
alerting:
  slack: {webhook-url: 'https://a.example/', default-alert: {failure-threshold: 7, send-on-resolved: true}}
  email: {default-alert: {enabled: false}}
endpoints:
  - {name: own, url: 'https://a.example/', conditions: ['[STATUS] == 200'], alerts: [{type: slack, failure-threshold: 2}, {type: email}]}
  - {name: plain, url: 'https://a.example/', conditions: ['[STATUS] == 200'], alerts: [{type: pager}]}
  - {name: both, url: 'https://a.example/', conditions: ['[STATUS] == 200'], alerts: [{type: slack, success-threshold: 2}, {type: pager, failure-threshold: 7}]}
",
    );
    let alerts: Vec<_> = specs(&documents).into_iter().map(|spec| spec["alerts"].clone()).collect();
    let spec = |channels: Value, failures: u64, recovery: bool| {
        serde_json::json!({
            "channels": channels, "failureThreshold": failures, "successThreshold": 2, "sendRecovery": recovery
        })
    };
    assert_eq!(alerts[0], spec(serde_json::json!(["slack"]), 2, true));
    assert_eq!(alerts[1], spec(serde_json::json!(["pager"]), 3, false));
    assert_eq!(alerts[2], spec(serde_json::json!(["pager", "slack"]), 7, true));
    assert!(
        notes.iter().any(|note| note.starts_with("both: its alerts differ in send-on-resolved")),
        "{notes:?}"
    );
}

#[test]
fn what_tells_nobody_there_tells_nobody_here() {
    let (documents, _) = import(
        "
alerting: {slack: {webhook-url: 'https://a.example/'}}
endpoints:
  - {name: none, url: 'https://a.example/', conditions: ['[STATUS] == 200']}
  - {name: off, url: 'https://a.example/', conditions: ['[STATUS] == 200'], alerts: [{type: slack, enabled: false}]}
external-endpoints:
  - {name: backup, token: 0123456789abcdef, heartbeat: {interval: 24h}}
",
    );
    let alerts: Vec<_> = specs(&documents).into_iter().map(|spec| spec["alerts"].clone()).collect();
    assert_eq!(alerts, vec![json!({ "channels": [] }); 3]);

    let backup = json!({
        "notificationList": [{ "id": 1, "name": "Ops" }],
        "monitorList": [
            { "type": "http", "name": "none", "url": "https://a.example/" },
            { "type": "http", "name": "off", "url": "https://a.example/", "notificationIDList": { "1": false } },
            { "type": "http", "name": "lost", "url": "https://a.example/", "notificationIDList": { "2": true } },
        ],
    });
    let (documents, notes) = import(&backup.to_string());
    let channels: Vec<_> =
        specs(&documents).into_iter().map(|spec| spec["alerts"]["channels"].clone()).collect();
    assert_eq!(channels, vec![json!([]); 3]);
    assert!(notes.iter().any(|note| note == "lost: notification 2 is not in the backup"), "{notes:?}");
}

#[test]
fn what_gatus_sends_over_tcp_tls_and_websockets_is_sent() {
    let (documents, notes) = import(
        r#"
endpoints:
  - {name: cache, url: 'tcp://a.example:6379', body: "PING\r\n", conditions: ['[BODY] == pat(*PONG*)']}
  - {name: echo, url: 'tcp://a.example:7', body: hello, conditions: ['[BODY] == hello']}
  - {name: safe, url: 'tls://a.example:6380', body: "PING\r\n", client: {insecure: true}, conditions: ['[CONNECTED] == true']}
  - {name: feed, url: 'wss://a.example/feed', headers: {Authorization: Bearer s3cret, X-Version: 2}, conditions: ['[CONNECTED] == true']}
"#,
    );
    assert_eq!(notes, ["echo: its body ends with CR LF here"]);
    let all = specs(&documents);
    let ping = json!([{ "send": "PING" }]);
    assert_eq!(all[0]["tcp"], json!({ "address": "a.example:6379", "conversation": ping }));
    assert_eq!(all[1]["tcp"]["conversation"], json!([{ "send": "hello" }]));
    let tls = json!({ "skipVerification": true });
    assert_eq!(all[2]["tcp"], json!({ "address": "a.example:6380", "conversation": ping, "tls": tls }));
    let headers = &all[3]["websocket"]["headers"];
    assert_eq!(headers[0]["valueFrom"]["secretKeyRef"]["name"], "feed-imported");
    assert_eq!(headers[1], json!({ "name": "X-Version", "value": "2" }));
}

#[test]
fn a_condition_on_the_answers_of_dns_is_told_to_mean_something_else() {
    let (documents, notes) = import(
        "
endpoints:
  - {name: zone, url: '9.9.9.9', dns: {query-name: a.example, query-type: MX}, conditions: ['[BODY] == mail.a.example.']}
",
    );
    assert_eq!(specs(&documents).len(), 1);
    assert_eq!(notes.len(), 1, "{notes:?}");
    assert!(
        notes[0].starts_with("zone: `[BODY] == mail.a.example.`: [BODY] is all answers here"),
        "{notes:?}"
    );
}

#[test]
fn environment_variables_and_short_tokens_are_told() {
    let (documents, notes) = import(
        "
endpoints:
  - {name: front, url: 'https://${HOST}/', headers: {Authorization: 'Bearer $TOKEN'}, conditions: ['[BODY] == regex(a$$)']}
external-endpoints:
  - {name: backup, token: t0ken, heartbeat: {interval: 24h}}
",
    );
    let told = "front: manifests take nothing from the environment: write what is in HOST, TOKEN there";
    assert!(notes.iter().any(|note| note == told), "{notes:?}");
    assert!(notes.iter().any(|note| note.starts_with("backup: its token has not 16")), "{notes:?}");
    assert_eq!(specs(&documents)[0]["assertions"][0]["condition"], "[BODY] == regex(a$)");
    let secret = documents.iter().find(|it| it["stringData"].get("token").is_some()).expect("a Secret");
    assert_eq!(secret["stringData"]["token"].as_str().map(str::len), Some(32));
}

#[test]
fn a_keyword_of_uptime_kuma_is_a_plain_text_whatever_its_characters() {
    for keyword in ["[OK]", "*", "?", "a\\b", "(", "x == y"] {
        let backup = serde_json::json!({ "monitorList": [
            { "type": "keyword", "name": "word", "url": "https://a.example/", "keyword": keyword },
            { "type": "keyword", "name": "not", "url": "https://a.example/", "keyword": keyword, "invertKeyword": true },
        ]});
        let (documents, notes) = import(&backup.to_string());
        assert_eq!(notes, Vec::<String>::new(), "{keyword}");
        let all = specs(&documents);
        assert_eq!(all[0]["assertions"][0]["comparison"], "Contains");
        assert_eq!(all[1]["assertions"][0]["comparison"], "NotContains");
        assert!(all.iter().all(|spec| spec["assertions"][0]["target"] == keyword), "{all:?}");
    }
}

#[test]
fn what_the_schema_takes_and_the_watcher_would_refuse_is_told_and_not_written() {
    let (documents, notes) = import(
        "
endpoints:
  - {name: suite, url: 'https://a.example/', conditions: ['[CONTEXT].id == 1']}
",
    );
    assert!(documents.is_empty());
    assert!(notes[0].starts_with("suite: spec.assertions[0].condition: at character 1"), "{notes:?}");
}
