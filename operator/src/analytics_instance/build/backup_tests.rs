//! What the snapshots of the CronJob and the restore cannot say by themselves.

use serde_json::{Value, json};

use super::tests::children;
use crate::analytics_instance::child::{Child, ChildKind};

fn copied(change: Value) -> Vec<Child> {
    let mut managed = json!({"backup": {"schedule": "@daily"}});
    for (key, value) in change.as_object().unwrap() {
        managed[key] = value.clone();
    }
    children(json!({"database": {"managed": managed}}))
}

fn find<'a>(children: &'a [Child], kind: ChildKind, name: &str) -> Option<&'a Value> {
    children.iter().find(|child| child.kind == kind && child.name == name).map(|child| &child.object)
}

#[test]
fn the_backup_reaches_the_database_and_nobody_reaches_the_backup() {
    let all = copied(json!({}));
    let database = find(&all, ChildKind::NetworkPolicy, "shop-database").unwrap();
    let clients = &database["spec"]["ingress"][0]["from"][0]["podSelector"]["matchExpressions"][0]["values"];
    assert_eq!(clients, &json!(["logger", "api", "checker", "backup"]));
    let own = find(&all, ChildKind::NetworkPolicy, "shop-backup").unwrap();
    assert_eq!(own["spec"]["ingress"], json!([]));
    let job = find(&all, ChildKind::CronJob, "shop-backup").unwrap();
    let labels = &job["spec"]["jobTemplate"]["spec"]["template"]["metadata"]["labels"];
    let selected = own["spec"]["podSelector"]["matchLabels"].as_object().unwrap();
    assert!(selected.iter().all(|(label, value)| labels[label] == *value), "{labels}");
    let to = &own["spec"]["egress"][0]["to"][0]["podSelector"]["matchLabels"]["app.kubernetes.io/component"];
    assert_eq!(to, "database");
}

#[test]
fn the_password_reaches_the_backup_as_a_file() {
    let all = copied(json!({}));
    let job = find(&all, ChildKind::CronJob, "shop-backup").unwrap().to_string();
    assert!(!job.contains("secretKeyRef") && !job.contains("PASSWORD\""), "{job}");
    assert!(job.contains(r#""secretName":"shop-database""#), "{job}");
}

#[test]
fn asking_for_backups_leaves_the_running_database_and_its_services_as_they_are() {
    let (without, with) = (children(json!({})), copied(json!({})));
    for kind in [ChildKind::StatefulSet, ChildKind::Deployment] {
        let of = |all: &[Child]| -> Vec<Child> {
            all.iter().filter(|child| child.kind == kind).cloned().collect()
        };
        assert_eq!(of(&without), of(&with));
    }
}

#[test]
fn a_database_is_restored_before_it_takes_todays_password() {
    let restore = json!({"claimName": "old-backup", "file": "watchkeeper-20260131T030000Z.dump"});
    let all = copied(json!({ "restore": restore }));
    let set = find(&all, ChildKind::StatefulSet, "shop-database").unwrap();
    let pod = &set["spec"]["template"]["spec"];
    let names: Vec<&Value> =
        pod["initContainers"].as_array().unwrap().iter().map(|container| &container["name"]).collect();
    assert_eq!(names, ["restore", "adopt"]);
    let restore = &pod["initContainers"][0];
    let mounts = restore["volumeMounts"].as_array().unwrap();
    let copies = mounts.iter().find(|mount| mount["name"] == "backups").unwrap();
    assert_eq!(copies["readOnly"], true);
    let volumes = pod["volumes"].as_array().unwrap();
    let copies = volumes.iter().find(|volume| volume["name"] == "backups").unwrap();
    assert_eq!(copies["persistentVolumeClaim"]["claimName"], "old-backup");
    let running = pod["containers"][0].to_string();
    assert!(!running.contains("backups"), "the server has no business with the copies: {running}");
}

#[test]
fn the_claim_of_the_copies_has_no_owner_and_is_no_child() {
    let all =
        copied(json!({"backup": {"schedule": "@daily", "storage": {"size": "3Gi", "className": "slow"}}}));
    assert!(all.iter().all(|child| child.object["kind"] != "PersistentVolumeClaim"));
    let claim = super::backup_claim(&super::tests::plan(json!({"database": {"managed": {
        "backup": {"schedule": "@daily", "storage": {"size": "3Gi", "className": "slow"}}}}})));
    let claim = serde_json::to_value(claim).unwrap();
    assert_eq!(claim["metadata"]["name"], "shop-backup");
    assert_eq!(claim["metadata"]["ownerReferences"], Value::Null);
    assert_eq!(claim["spec"]["storageClassName"], "slow");
    assert_eq!(claim["spec"]["resources"]["requests"]["storage"], "3Gi");
}

#[test]
fn only_the_api_starts_anew_for_another_token_and_everything_for_another_password() {
    let hashes = |change: &dyn Fn(&mut crate::analytics_instance::plan::Plan)| -> Vec<Value> {
        let mut plan = super::tests::plan(json!({}));
        change(&mut plan);
        let all = super::build(&plan).unwrap().in_order().unwrap();
        let hash = |object: &Value| {
            object["spec"]["template"]["metadata"]["annotations"]["watchkeeper.dev/config-hash"].clone()
        };
        ["shop-logger", "shop-api", "shop-checker"]
            .iter()
            .map(|name| hash(find(&all, ChildKind::Deployment, name).unwrap()))
            .collect()
    };
    let before = hashes(&|_| {});
    let token = hashes(&|plan| plan.admin_hash = "other".to_owned());
    assert_eq!((&token[0], &token[2]), (&before[0], &before[2]));
    assert_ne!(token[1], before[1]);
    let set = |salt: &str| {
        let mut plan = super::tests::plan(json!({}));
        plan.salt = salt.to_owned();
        serde_json::to_value(super::build(&plan).unwrap().database).unwrap()["spec"]["template"]["metadata"]
            ["annotations"]
            .clone()
    };
    assert_ne!(set("one"), set("two"), "the password's hash can be tried out by guessing");
    let password = hashes(&|plan| plan.database_hash = "other".to_owned());
    assert!(password.iter().zip(&before).all(|(now, before)| now != before));
}

#[test]
fn a_pod_has_the_time_that_its_service_takes_to_end() {
    // Waiting until nobody sends any more, requests under way, and closing.
    const NEEDED: i64 = 5 + 25 + 5;
    let all = children(json!({}));
    for name in ["shop-logger", "shop-api", "shop-checker"] {
        let deployment = find(&all, ChildKind::Deployment, name).unwrap();
        let pod = &deployment["spec"]["template"]["spec"];
        assert!(pod["terminationGracePeriodSeconds"].as_i64().unwrap() >= NEEDED, "{name}");
        assert_eq!(pod["containers"][0]["lifecycle"]["preStop"]["sleep"]["seconds"], 5, "{name}");
        assert!(pod["containers"][0]["readinessProbe"].is_object(), "{name}");
        assert_eq!(deployment["spec"]["strategy"]["rollingUpdate"]["maxUnavailable"], 0, "{name}");
        // With one replica, this lets a drain take it; with zero nothing could ever be drained.
        let budget = find(&all, ChildKind::PodDisruptionBudget, name).unwrap();
        assert_eq!(budget["spec"]["maxUnavailable"], 1, "{name}");
        assert_eq!(budget["spec"]["minAvailable"], Value::Null, "{name}");
    }
    let database = find(&all, ChildKind::StatefulSet, "shop-database").unwrap();
    let stop =
        &database["spec"]["template"]["spec"]["containers"][0]["lifecycle"]["preStop"]["exec"]["command"];
    assert!(stop[2].as_str().unwrap().contains("--mode=fast"), "{stop}");
    assert!(find(&all, ChildKind::PodDisruptionBudget, "shop-database").is_none());
}
