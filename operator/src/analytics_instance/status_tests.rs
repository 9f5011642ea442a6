use super::*;

fn instance(spec: Value) -> AnalyticsInstance {
    let mut instance = AnalyticsInstance::new("shop", serde_json::from_value(spec).unwrap());
    instance.metadata.namespace = Some("web".to_owned());
    instance.metadata.generation = Some(3);
    instance
}

fn workload(name: &str, wanted: i32, ready: i32) -> Workload {
    Workload { name: name.to_owned(), wanted, needed: wanted, ready, settled: ready >= wanted, trouble: None }
}

fn healthy() -> Observation {
    Observation {
        components: ["logger", "api", "checker"].map(|name| workload(name, 1, 1)).to_vec(),
        database: Some(workload("database", 1, 1)),
        ..Observation::default()
    }
}

fn condition(status: &AnalyticsInstanceStatus, kind: &str) -> (String, String, String) {
    let found = status.conditions.iter().find(|condition| condition.type_ == kind).unwrap();
    (found.status.clone(), found.reason.clone(), found.message.clone())
}

fn computed(spec: Value, seen: &Observation) -> AnalyticsInstanceStatus {
    compute(&instance(spec), seen, "watchkeeper:1.0.0", Timestamp::UNIX_EPOCH)
}

#[test]
fn an_instance_is_ready_when_every_part_answers() {
    let status = computed(json!({}), &healthy());
    assert_eq!(condition(&status, "Ready").0, "True");
    assert_eq!(condition(&status, "Progressing").0, "False");
    assert_eq!(condition(&status, "Degraded").0, "False");
    assert_eq!(status.observed_generation, Some(3));
    assert_eq!(status.url.as_deref(), Some("http://shop-api.web.svc:3000"));
    assert_eq!(status.version.as_deref(), Some("1.0.0"));
    assert_eq!(status.components.len(), 4);
}

#[test]
fn one_missing_part_is_named_and_keeps_it_from_being_ready() {
    for part in ["logger", "api", "checker"] {
        let mut seen = healthy();
        for component in seen.components.iter_mut().filter(|component| component.name == part) {
            *component = workload(part, 2, 1);
        }
        let status = computed(json!({}), &seen);
        let (ready, reason, message) = condition(&status, "Ready");
        assert_eq!((ready.as_str(), reason.as_str()), ("False", "ComponentsNotReady"));
        assert!(message.contains(&format!("{part} (1 of 2 pods ready)")), "{message}");
        assert_eq!(condition(&status, "Progressing").0, "True");
    }
}

#[test]
fn without_its_database_nothing_is_ready() {
    let mut seen = healthy();
    seen.database = Some(workload("database", 1, 0));
    let status = computed(json!({}), &seen);
    assert_eq!(condition(&status, "DatabaseReady").0, "False");
    assert_eq!(condition(&status, "Ready").1, "DatabaseNotReady");
}

#[test]
fn an_external_database_is_ready_when_the_api_is() {
    let spec = json!({"database": {"external": {"urlFrom": {"name": "db", "key": "url"}}}});
    let mut seen = healthy();
    seen.database = None;
    assert_eq!(condition(&computed(spec.clone(), &seen), "DatabaseReady").0, "True");
    seen.components[1] = workload("api", 1, 0);
    assert_eq!(condition(&computed(spec, &seen), "DatabaseReady").0, "False");
}

#[test]
fn only_a_secret_of_the_external_database_speaks_of_the_database() {
    let reference = |name: &str| json!({"name": name, "key": "value"});
    let spec = json!({"database": {"external": {"urlFrom": reference("db"), "ca": reference("authority")}}});
    let judged = |secret: &str| {
        let failure = Error::SecretMissing { name: secret.to_owned(), key: "value".to_owned() };
        let seen = Observation {
            database: None,
            failure: Some((failure.reason().to_owned(), failure.to_string())),
            lacking: failure.lacking(),
            ..healthy()
        };
        condition(&computed(spec.clone(), &seen), "DatabaseReady")
    };
    for name in ["db", "authority"] {
        assert_eq!(judged(name).1, "SecretMissing", "{name}");
    }
    assert_eq!(judged("telegram").0, "True");
}

#[test]
fn a_failure_is_told_in_its_own_words() {
    let mut seen = healthy();
    let failure = Error::SecretMissing { name: "db".to_owned(), key: "url".to_owned() };
    seen.failure = Some((failure.reason().to_owned(), failure.to_string()));
    let (degraded, reason, message) = condition(&computed(json!({}), &seen), "Degraded");
    assert_eq!((degraded.as_str(), reason.as_str()), ("True", "SecretMissing"));
    assert!(message.contains("Secret db has no key url; create it"), "{message}");
}

#[test]
fn a_certificate_has_a_condition_only_where_one_is_asked_for() {
    let spec = json!({"ingress": {"host": "a.example", "tls": {"issuerRef": {"name": "ca"}}}});
    let mut seen = healthy();
    assert!(
        computed(json!({}), &seen).conditions.iter().all(|condition| condition.type_ != "CertificateReady")
    );
    seen.certificate = Some(Finding::new("CertificateReady", false, "CertificateMissing", "none"));
    let status = computed(spec, &seen);
    assert_eq!(condition(&status, "CertificateReady").1, "CertificateMissing");
    assert_eq!(status.url.as_deref(), Some("https://a.example"));
    // Its parts answer all the same.
    assert_eq!(condition(&status, "Ready").0, "True");
}

#[test]
fn the_url_of_a_gateway_is_its_first_host_name_without_a_star() {
    let url = |gateway: Value| computed(json!({ "gateway": gateway }), &healthy()).url.unwrap();
    let parents = json!([{"name": "edge"}]);
    let hosts = json!(["*.example.com", "stats.example.com"]);
    assert_eq!(url(json!({"parentRefs": parents, "hostnames": hosts})), "https://stats.example.com");
    let plain = json!({"parentRefs": parents, "hostnames": hosts, "protocol": "HTTP"});
    assert_eq!(url(plain), "http://stats.example.com");
    assert_eq!(url(json!({ "parentRefs": parents })), "http://shop-api.web.svc:3000");
}

#[test]
fn a_kind_that_the_cluster_lacks_degrades_an_instance_and_leaves_it_ready() {
    let mut seen = healthy();
    seen.missing = Some("install it".to_owned());
    seen.route = Some(Finding::new("RouteReady", false, "KindMissing", "install it"));
    let status = computed(json!({"gateway": {"parentRefs": [{"name": "edge"}]}}), &seen);
    assert_eq!(condition(&status, "Degraded").1, "KindMissing");
    assert_eq!(condition(&status, "RouteReady").0, "False");
    assert_eq!(condition(&status, "Ready").0, "True");
}

/// What becomes of an answer of the API server to a child object.
fn said(code: u16) -> Error {
    let status = kube::core::Status { code, ..kube::core::Status::default() };
    Error::apply("CronJob", "shop-backup".to_owned(), &kube::Error::Api(Box::new(status)))
}

#[test]
fn kstatus_sees_a_rollout_and_a_spec_that_cannot_be() {
    let has = |status: &AnalyticsInstanceStatus, kind: &str| {
        status.conditions.iter().any(|condition| condition.type_ == kind && condition.status == "True")
    };
    let status = computed(json!({}), &healthy());
    assert!(!has(&status, "Reconciling") && !has(&status, "Stalled"));
    let mut seen = healthy();
    seen.components[0] = workload("logger", 2, 1);
    assert!(has(&computed(json!({}), &seen), "Reconciling"));
    let refuse = |error: Error| (Some((error.reason().to_owned(), error.to_string())), error.is_hopeless());
    (seen.failure, seen.hopeless) = refuse(Error::InvalidSpec("no".to_owned()));
    let status = computed(json!({}), &seen);
    assert!(has(&status, "Stalled") && !has(&status, "Reconciling"));
    // A Secret may still come, and so may a claim; what is going will be gone.
    for waits in [
        Error::SecretMissing { name: "db".to_owned(), key: "url".to_owned() },
        Error::ClaimMissing("old-backup".to_owned()),
        Error::NameLeaving { kind: "ConfigMap", name: "shop-config".to_owned() },
        said(503),
    ] {
        (seen.failure, seen.hopeless) = refuse(waits);
        let status = computed(json!({}), &seen);
        assert!(!has(&status, "Stalled") && !has(&status, "Ready"));
    }
    (seen.failure, seen.hopeless) = refuse(said(422));
    assert!(has(&computed(json!({}), &seen), "Stalled"));
    for condition in status.conditions {
        assert_eq!(condition.observed_generation, Some(3), "{}", condition.type_);
    }
}

#[test]
fn more_pods_than_an_autoscaler_must_have_are_nothing_to_wait_for() {
    let read = |status: Value, least| {
        let object: DynamicObject = serde_json::from_value(json!({
            "metadata": {"name": "x", "generation": 2}, "spec": {"replicas": 5}, "status": status}))
        .unwrap();
        Workload::read_autoscaled("api", Some(&object), least)
    };
    let growing = json!({"observedGeneration": 2, "replicas": 5, "updatedReplicas": 5, "availableReplicas": 2, "readyReplicas": 2});
    let seen = read(growing.clone(), Some(2));
    assert!(seen.answers() && seen.settled);
    assert_eq!((seen.wanted, seen.ready), (5, 2));
    let seen = read(growing, None);
    assert!(!seen.answers() && !seen.settled);
    // Old pods beside new ones are a rollout all the same.
    let rolling = json!({"observedGeneration": 2, "replicas": 6, "updatedReplicas": 3, "availableReplicas": 5, "readyReplicas": 5});
    assert!(!read(rolling, Some(2)).settled);
    let too_few = json!({"observedGeneration": 2, "replicas": 5, "updatedReplicas": 5, "availableReplicas": 1, "readyReplicas": 1});
    assert!(!read(too_few, Some(2)).answers());
}

#[test]
fn a_pause_is_shown() {
    let status = computed(json!({"paused": true}), &healthy());
    assert_eq!(condition(&status, "Paused").0, "True");
    assert_eq!(condition(&status, "Progressing").1, "Paused");
}

#[test]
fn a_deployment_settles_only_with_all_pods_of_the_newest_template() {
    let read = |status: Value| {
        let object: DynamicObject = serde_json::from_value(json!({
            "metadata": {"name": "x", "generation": 2}, "spec": {"replicas": 2}, "status": status}))
        .unwrap();
        Workload::read("api", Some(&object))
    };
    let done = json!({"observedGeneration": 2, "replicas": 2, "updatedReplicas": 2, "availableReplicas": 2, "readyReplicas": 2});
    assert!(read(done.clone()).settled);
    for (key, value) in [("observedGeneration", 1), ("updatedReplicas", 1), ("availableReplicas", 1)] {
        let mut partly = done.clone();
        partly[key] = json!(value);
        assert!(!read(partly).settled, "{key}");
    }
    let failed = json!({"conditions": [{"type": "Progressing", "status": "False", "message": "too slow"}]});
    assert_eq!(read(failed).trouble.as_deref(), Some("too slow"));
    assert!(!Workload::read("api", None).settled);
}

#[test]
fn a_failed_backup_degrades_an_instance_that_goes_on_being_ready() {
    let spec = json!({"database": {"managed": {"backup": {"schedule": "@daily"}}}});
    let mut seen = healthy();
    assert_eq!(condition(&computed(spec.clone(), &seen), "BackupReady").1, "NoneYet");
    assert_eq!(condition(&computed(spec.clone(), &seen), "Degraded").0, "False");
    seen.copies = Some(Copies { last: None, failed: Some(("shop-backup-1".to_owned(), "why".to_owned())) });
    let status = computed(spec, &seen);
    assert_eq!(condition(&status, "BackupReady").1, "BackupFailed");
    assert_eq!(condition(&status, "Degraded").1, "BackupFailed");
    assert_eq!(condition(&status, "Ready").0, "True");
    assert_eq!(status.backup.unwrap().claim_name, "shop-backup");
    let without = computed(json!({}), &healthy());
    assert!(without.backup.is_none());
    assert!(without.conditions.iter().all(|condition| condition.type_ != "BackupReady"));
}

#[test]
fn a_database_that_is_being_restored_is_not_ready_and_says_why() {
    let mut seen = Observation { restoring: true, ..healthy() };
    assert_eq!(condition(&computed(json!({}), &seen), "DatabaseReady").1, "Answers");
    seen.database = Some(workload("database", 1, 0));
    assert_eq!(condition(&computed(json!({}), &seen), "DatabaseReady").1, "Restoring");
    assert_eq!(condition(&computed(json!({}), &seen), "Ready").1, "Restoring");
}

fn database_pod(container: &str, restarts: i32, exit: i32) -> Pod {
    serde_json::from_value(json!({"metadata": {"name": "shop-database-0"}, "status": {
        "initContainerStatuses": [{"name": container, "restartCount": restarts, "ready": false,
            "image": "postgres", "imageID": "", "state": {"waiting": {"reason": "CrashLoopBackOff"}},
            "lastState": {"terminated": {"exitCode": exit, "message": "before\nthere is no copy\n"}}}]}}))
    .unwrap()
}

#[test]
fn a_restore_that_fails_again_and_again_is_told_with_its_own_words() {
    assert_eq!(failing(&database_pod("restore", 1, 1)), None);
    assert_eq!(failing(&database_pod("restore", 3, 0)), None);
    let restore = failing(&database_pod("restore", 3, 1)).unwrap();
    assert_eq!(restore.said, "there is no copy");
    let mut seen = Observation { restoring: true, failing: Some(restore), ..healthy() };
    assert_eq!(condition(&computed(json!({}), &seen), "Degraded").0, "False");
    seen.database = Some(workload("database", 1, 0));
    let status = computed(json!({}), &seen);
    for kind in ["Degraded", "DatabaseReady", "Ready"] {
        assert_eq!(condition(&status, kind).1, "RestoreNotDone", "{kind}");
    }
    let message = condition(&status, "Degraded").2;
    for words in ["there is no copy", "logs -n web shop-database-0 -c restore", "an empty database"] {
        assert!(message.contains(words), "{words} is missing from {message}");
    }
    seen.failing = failing(&database_pod("adopt", 7, 1));
    assert_eq!(condition(&computed(json!({}), &seen), "Degraded").1, "DatabaseFails");
}

#[test]
fn a_kind_that_may_not_be_used_degrades_an_instance_and_leaves_it_ready() {
    let mut seen = healthy();
    let error = Error::Forbidden { kind: "CronJob", message: "cronjobs is forbidden".to_owned() };
    (seen.failure, seen.hopeless) =
        (Some((error.reason().to_owned(), error.to_string())), error.is_hopeless());
    let status = computed(json!({}), &seen);
    assert_eq!(condition(&status, "Degraded").1, "Forbidden");
    assert_eq!(condition(&status, "Ready").0, "True");
}
