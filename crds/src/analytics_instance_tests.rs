use serde_json::{Value, json};

use super::*;

fn instance(spec: Value) -> AnalyticsInstance {
    AnalyticsInstance::new("shop", serde_json::from_value(spec).unwrap())
}

fn refusal(spec: Value) -> String {
    instance(spec).validate_cel().unwrap_err().to_string()
}

fn update_refusal(old: Value, new: Value) -> String {
    instance(new).validate_cel_update(&instance(old)).unwrap_err().to_string()
}

fn managed(storage: Value) -> Value {
    json!({"database": {"managed": {"storage": storage}}})
}

#[test]
fn an_empty_spec_is_a_whole_installation() {
    let empty = instance(json!({}));
    empty.validate_cel().unwrap();
    assert_eq!(
        empty.spec,
        AnalyticsInstanceSpec {
            network_policy: Toggle { enabled: true },
            ..AnalyticsInstanceSpec::default()
        }
    );
    assert_eq!(empty.spec.database.managed.unwrap().storage.size, "10Gi");
}

#[test]
fn a_name_that_cannot_begin_a_service_name_is_refused() {
    for name in ["1shop", "a.b", &"a".repeat(41)] {
        let bad = AnalyticsInstance::new(name, AnalyticsInstanceSpec::default());
        let error = bad.validate_cel().unwrap_err().to_string();
        assert!(error.contains("must start with a letter"), "{name}: {error}");
    }
}

#[test]
fn a_database_is_either_managed_or_external() {
    let external = json!({"urlFrom": {"name": "db", "key": "url"}});
    instance(json!({"database": {"external": external}})).validate_cel().unwrap();
    for bad in [json!({}), json!({"managed": {}, "external": external})] {
        let error = refusal(json!({ "database": bad }));
        assert!(error.contains("exactly one of managed and external"), "{error}");
    }
}

#[test]
fn storage_needs_a_size_above_zero() {
    for size in ["0", "-1Gi", "many"] {
        let error = refusal(managed(json!({ "size": size })));
        assert!(error.contains("quantity above zero"), "{size}: {error}");
    }
}

#[test]
fn storage_grows_and_never_shrinks() {
    let old = managed(json!({"size": "10Gi"}));
    instance(managed(json!({"size": "20Gi"}))).validate_cel_update(&instance(old.clone())).unwrap();
    let error = update_refusal(old, managed(json!({"size": "9Gi"})));
    assert!(error.contains("can only grow"), "{error}");
}

#[test]
fn a_volume_stays_in_its_storage_class() {
    let fast = managed(json!({"size": "1Gi", "className": "fast"}));
    for new in [json!({"size": "1Gi", "className": "slow"}), json!({"size": "1Gi"})] {
        let error = update_refusal(fast.clone(), managed(new));
        assert!(error.contains("className cannot change"), "{error}");
    }
    instance(fast.clone()).validate_cel_update(&instance(fast)).unwrap();
}

#[test]
fn database_parameters_are_names_of_settings() {
    let error = refusal(json!({"database": {"managed": {"parameters": {"a b": "1"}}}}));
    assert!(error.contains("names of Postgres settings"), "{error}");
    instance(json!({"database": {"managed": {"parameters": {"max_connections": "50"}}}}))
        .validate_cel()
        .unwrap();
}

#[test]
fn to_keep_data_for_no_time_is_no_retention() {
    for field in ["hits", "checks"] {
        let retention = |span: &str| json!({"retention": {field: span}});
        for none in ["0d", "0s", "00.0h", "0d0h"] {
            let error = refusal(retention(none));
            assert!(error.contains(&format!("{field} must be kept longer than nothing")), "{none}: {error}");
        }
        for some in ["1d", "0d12h", "0.5d", "20m"] {
            instance(retention(some)).validate_cel().unwrap();
        }
    }
}

#[test]
fn an_ingress_host_is_a_plain_dns_name() {
    for host in ["https://a.example", "A.example", "a.example:80", "a_b.example", "a.example/x"] {
        let error = refusal(json!({"ingress": {"host": host}}));
        assert!(error.contains("host must be a DNS name"), "{host}: {error}");
    }
    instance(json!({"ingress": {"host": "stats.example.com"}})).validate_cel().unwrap();
}

#[test]
fn a_certificate_has_exactly_one_source() {
    let issuer = json!({"kind": "ClusterIssuer", "name": "letsencrypt"});
    for tls in [json!({}), json!({"issuerRef": issuer, "secretName": "x"})] {
        let error = refusal(json!({"ingress": {"host": "a.example", "tls": tls}}));
        assert!(error.contains("exactly one of issuerRef and secretName"), "{error}");
    }
    instance(json!({"ingress": {"host": "a.example", "tls": {"issuerRef": issuer}}})).validate_cel().unwrap();
}

#[test]
fn two_projects_never_share_a_secret() {
    let error = refusal(json!({"access": {"projects": [
        {"name": "a", "keySecretName": "key"}, {"name": "b", "keySecretName": "key"}]}}));
    assert!(error.contains("keySecretName of its own"), "{error}");
}
