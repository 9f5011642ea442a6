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
    for lost in ["alerting", "front: descriptions", "shell: ssh has no probe"] {
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
    assert_eq!(find("word")["assertions"][0]["condition"], "[BODY] == pat(*ok*)");
    for name in ["db", "box", "zone", "backup"] {
        find(name);
    }
    for lost in ["notification `Ops Slack`", "queue: monitors of type `mqtt`", "odd: upside down"] {
        assert!(notes.iter().any(|note| note.starts_with(lost)), "{lost}: {notes:?}");
    }
}
