use serde_json::{Value, json};

use crate::AnalyticsInstance;

fn instance(managed: Value) -> AnalyticsInstance {
    let spec = json!({"database": {"managed": managed}});
    AnalyticsInstance::new("shop", serde_json::from_value(spec).unwrap())
}

fn refusal(managed: Value) -> String {
    instance(managed).validate_cel().unwrap_err().to_string()
}

fn update_refusal(old: Value, new: Value) -> String {
    instance(new).validate_cel_update(&instance(old)).unwrap_err().to_string()
}

fn backup(change: Value) -> Value {
    let mut backup = json!({"schedule": "0 3 * * *"});
    for (key, value) in change.as_object().unwrap() {
        backup[key] = value.clone();
    }
    json!({ "backup": backup })
}

#[test]
fn a_schedule_is_all_that_a_backup_needs() {
    let instance = instance(backup(json!({})));
    instance.validate_cel().unwrap();
    let backup = instance.spec.database.managed.unwrap().backup.unwrap();
    assert_eq!((backup.keep, backup.storage.size.as_str(), backup.suspend), (7, "10Gi", false));
}

#[test]
fn a_schedule_has_the_five_fields_of_cron_or_is_a_word() {
    for good in ["*/15 * * * *", "0 3 * * MON-FRI", "30 4 1,15 * ?", "@daily"] {
        instance(backup(json!({"schedule": good}))).validate_cel().unwrap();
    }
    for bad in ["daily", "@reboot", "0 3 * *", "0 3 * * * *", "TZ=UTC 0 3 * * *", "0 3 * * $(x)"] {
        let error = refusal(backup(json!({"schedule": bad})));
        assert!(error.contains("schedule must be five fields"), "{bad}: {error}");
    }
}

#[test]
fn a_time_zone_is_a_name() {
    for good in ["Europe/Berlin", "Etc/UTC", "Etc/GMT+5", "America/Argentina/Buenos_Aires"] {
        instance(backup(json!({"timeZone": good}))).validate_cel().unwrap();
    }
    for bad in ["+02:00", "Europe/", "/etc/passwd"] {
        let error = refusal(backup(json!({"timeZone": bad})));
        assert!(error.contains("name of a time zone"), "{bad}: {error}");
    }
}

#[test]
fn the_volume_of_the_copies_grows_never_shrinks_and_stays_in_its_class() {
    let storage = |storage: Value| backup(json!({ "storage": storage }));
    assert!(refusal(storage(json!({"size": "many"}))).contains("quantity above zero"));
    let old = storage(json!({"size": "10Gi", "className": "slow"}));
    instance(storage(json!({"size": "20Gi", "className": "slow"})))
        .validate_cel_update(&instance(old.clone()))
        .unwrap();
    let smaller = update_refusal(old.clone(), storage(json!({"size": "5Gi", "className": "slow"})));
    assert!(smaller.contains("can only grow"), "{smaller}");
    let moved = update_refusal(old, storage(json!({"size": "10Gi"})));
    assert!(moved.contains("className cannot change"), "{moved}");
}

#[test]
fn a_copy_is_a_plain_file_name() {
    let restore = |file: &str| json!({"restore": {"claimName": "old-backup", "file": file}});
    instance(restore("watchkeeper-20260131T030000Z.dump")).validate_cel().unwrap();
    for bad in ["../x", "a/b", ".hidden", "-rf", "a b", "$(x)"] {
        let error = refusal(restore(bad));
        assert!(error.contains("plain name of a file"), "{bad}: {error}");
    }
}

#[test]
fn a_restore_is_said_when_the_database_is_made_and_can_only_be_taken_out() {
    let from = |claim: &str| json!({"restore": {"claimName": claim}});
    instance(from("a")).validate_cel().unwrap();
    instance(from("a")).validate_cel_update(&instance(from("a"))).unwrap();
    instance(json!({})).validate_cel_update(&instance(from("a"))).unwrap();
    for old in [json!({}), from("b")] {
        let error = update_refusal(old, from("a"));
        assert!(error.contains("restore into a new instance"), "{error}");
    }
}
