use super::*;

fn instance(backup: Value) -> AnalyticsInstance {
    let spec = json!({"database": {"managed": {"backup": backup}}});
    let mut instance = AnalyticsInstance::new("shop", serde_json::from_value(spec).unwrap());
    instance.metadata.namespace = Some("web".to_owned());
    instance
}

fn nightly() -> Value {
    json!({"schedule": "@daily"})
}

fn cron(status: Value) -> DynamicObject {
    serde_json::from_value(json!({"metadata": {"name": "shop-backup"}, "status": status})).unwrap()
}

fn job(name: &str, end: &str, time: &str) -> Job {
    serde_json::from_value(json!({"metadata": {"name": name}, "status": {"conditions": [
        {"type": "SuccessCriteriaMet", "status": "True", "lastTransitionTime": "2026-01-09T00:00:00Z"},
        {"type": end, "status": "True", "lastTransitionTime": time, "message": "too often"}]}}))
    .unwrap()
}

#[test]
fn only_the_job_that_ended_last_counts() {
    let time = json!({"lastSuccessfulTime": "2026-01-02T03:00:00Z"});
    let failed = job("shop-backup-2", "Failed", "2026-01-02T03:00:00Z");
    let running: Job = serde_json::from_value(json!({"metadata": {"name": "shop-backup-9"}})).unwrap();

    let bad = copies(
        Some(&cron(time.clone())),
        &[running, failed.clone(), job("shop-backup-1", "Complete", "2026-01-01T03:00:00Z")],
    );
    assert_eq!(bad.failed, Some(("shop-backup-2".to_owned(), "too often".to_owned())));
    assert_eq!(bad.last, Some("2026-01-02T03:00:00Z".parse().unwrap()));

    let mended = copies(Some(&cron(time)), &[failed, job("by-hand", "Complete", "2026-01-02T04:00:00Z")]);
    assert_eq!(mended.failed, None);
    assert_eq!(copies(None, &[]), Copies::default());
}

#[test]
fn the_condition_says_what_there_is_and_what_to_look_at() {
    let said = |instance: &AnalyticsInstance, copies: &Copies| {
        let finding = finding(instance, Some(copies)).unwrap();
        assert_eq!(finding.kind, "BackupReady");
        (finding.status, finding.reason, finding.message)
    };
    let good = Copies { last: Some("2026-01-02T03:00:00Z".parse().unwrap()), failed: None };
    let (status, reason, message) = said(&instance(nightly()), &good);
    assert!(status && reason == "Succeeded" && message.contains("2026-01-02T03:00:00Z"), "{message}");

    let bad = Copies { failed: Some(("shop-backup-2".to_owned(), "too often".to_owned())), ..good.clone() };
    let (status, reason, message) = said(&instance(nightly()), &bad);
    assert!(!status && reason == "BackupFailed", "{reason}");
    assert!(message.contains("kubectl logs -n web job/shop-backup-2"), "{message}");

    let (status, reason, _) = said(&instance(nightly()), &Copies::default());
    assert!(!status && reason == "NoneYet", "{reason}");
    let (status, reason, _) = said(&instance(json!({"schedule": "@daily", "suspend": true})), &good);
    assert!(!status && reason == "Suspended", "{reason}");
}

#[test]
fn the_status_names_the_claim_and_the_newest_copy() {
    let good = Copies { last: Some("2026-01-02T03:00:00Z".parse().unwrap()), failed: None };
    let status = serde_json::to_value(status(&instance(nightly()), Some(&good))).unwrap();
    assert_eq!(status, json!({"claimName": "shop-backup", "lastSuccessfulTime": "2026-01-02T03:00:00Z"}));
    let without = AnalyticsInstance::new("shop", serde_json::from_value(json!({})).unwrap());
    assert_eq!(super::status(&without, None), None);
    assert_eq!(finding(&without, None), None);
}

#[test]
fn a_set_restores_while_its_template_has_the_container() {
    let set = |names: &[&str]| -> DynamicObject {
        let containers: Vec<Value> = names.iter().map(|name| json!({ "name": name })).collect();
        serde_json::from_value(json!({"metadata": {"name": "shop-database"},
            "spec": {"template": {"spec": {"initContainers": containers}}}}))
        .unwrap()
    };
    assert!(restores(&set(&["restore", "adopt"])));
    assert!(!restores(&set(&["adopt"])));
}

fn claim(meta: Value, class: Option<&str>, size: &str) -> PersistentVolumeClaim {
    let spec = json!({"storageClassName": class, "resources": {"requests": {"storage": size}}});
    serde_json::from_value(json!({"metadata": meta, "spec": spec})).unwrap()
}

#[test]
fn what_a_claim_can_never_become_is_told() {
    let named = || json!({"name": "shop-backup"});
    let live = claim(named(), Some("fast"), "5Gi");
    let against = |class, size| difference(&claim(named(), class, size), &live);
    for fitting in [(None, "5Gi"), (Some("fast"), "5Gi"), (Some("fast"), "6Gi"), (None, "5120Mi")] {
        assert_eq!(against(fitting.0, fitting.1), None, "{fitting:?}");
    }
    let other = against(Some("slow"), "5Gi").unwrap();
    assert!(other.contains("shop-backup") && other.contains("\"fast\""), "{other}");
    let smaller = against(None, "4Gi").unwrap();
    assert!(smaller.contains("5Gi") && smaller.contains("backup.storage.size"), "{smaller}");
}

#[test]
fn older_data_keeps_a_restore_from_being_forgotten() {
    let mut shop = instance(nightly());
    shop.metadata.creation_timestamp = serde_json::from_value(json!("2026-01-02T00:00:00Z")).unwrap();
    let data = |time: &str, change: Value| {
        let mut meta = json!({"name": "data-shop-database-0", "creationTimestamp": time});
        for (key, value) in change.as_object().unwrap() {
            meta[key] = value.clone();
        }
        retained(&shop, &claim(meta, None, "5Gi"))
    };
    let old = "2026-01-01T00:00:00Z";
    let error = data(old, json!({})).unwrap_err();
    assert!(matches!(&error, Error::InvalidSpec(said) if said.contains("delete the claim")), "{error}");
    data("2026-01-03T00:00:00Z", json!({})).unwrap();
    data(old, json!({"annotations": {labels::RESTORED: "shop-backup"}})).unwrap();
    let leaving = json!({"deletionTimestamp": old, "annotations": {labels::RESTORED: "shop-backup"}});
    assert_eq!(data(old, leaving).unwrap_err().reason(), "ClaimLeaving");
}
