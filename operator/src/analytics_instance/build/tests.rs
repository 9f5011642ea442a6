//! Whole objects as snapshots, over a matrix of inputs, and rules that hold for all of them.

use serde_json::{Value, json};
use watchkeeper_crds::AnalyticsInstance;

use super::*;
use crate::analytics_instance::child::{Child, ChildKind};
use crate::analytics_instance::dereference::{DatabaseReferences, References};
use crate::analytics_instance::objectives::Objective;
use crate::analytics_instance::validate::validate;
use crate::context::Settings;

pub(super) fn plan(spec: Value) -> Plan {
    let mut instance = AnalyticsInstance::new("shop", serde_json::from_value(spec).unwrap());
    instance.metadata.namespace = Some("web".to_owned());
    instance.metadata.uid = Some("11111111-2222-3333-4444-555555555555".to_owned());
    instance.validate_cel().unwrap();
    let database = if instance.spec.database.external.is_some() {
        DatabaseReferences::External {
            url: "postgres://u:p@db.example:6432/hits".to_owned(),
            ca: Some("PEM".to_owned()),
        }
    } else {
        DatabaseReferences::Managed { password: "PASSWORD".to_owned() }
    };
    let references = References {
        admin_token: "TOKEN".to_owned(),
        database,
        project_keys: instance
            .spec
            .access
            .projects
            .iter()
            .map(|project| (project.name.clone(), "8f14e45f-ceea-467f-a8f4-d4b0ff0f7f4e".to_owned()))
            .collect(),
        salt: "SALT".to_owned(),
        objectives: objectives(instance.spec.observability.prometheus_rule.enabled),
        site_secret: instance.spec.site.as_ref().map(|_| "HUSH".to_owned()),
        restoring: true,
    };
    let settings = Settings { image: "watchkeeper:1.0.0".to_owned(), ..Settings::default() };
    validate(&instance, references, &settings).unwrap()
}

fn objectives(enabled: bool) -> Vec<Objective> {
    let one = |name: &str| Objective {
        namespace: "web".to_owned(),
        name: name.to_owned(),
        target: "99.9".to_owned(),
        budget_ppm: 1_000,
        days: 30,
    };
    if enabled { vec![one("front")] } else { Vec::new() }
}

pub(super) fn children(spec: Value) -> Vec<Child> {
    written(&plan(spec))
}

fn written(plan: &Plan) -> Vec<Child> {
    let mut all = build(plan).unwrap().in_order().unwrap();
    for child in &mut all {
        child.object = child.whole().unwrap();
    }
    all
}

fn minimal() -> Value {
    json!({})
}

fn external() -> Value {
    json!({"database": {"external": {
        "urlFrom": {"name": "hits-db", "key": "url"}, "ca": {"name": "hits-db", "key": "ca.crt"}}},
        "access": {"adminSecretRef": {"name": "boss", "key": "token"}}})
}

fn with_issuer() -> Value {
    json!({"ingress": {"host": "stats.example.com", "className": "nginx",
        "annotations": {"nginx.ingress.kubernetes.io/proxy-body-size": "8m"},
        "tls": {"issuerRef": {"kind": "ClusterIssuer", "name": "letsencrypt"}}}})
}

fn with_certificate() -> Value {
    json!({"ingress": {"host": "stats.example.com", "tls": {"secretName": "stats-cert"}}})
}

fn overridden() -> Value {
    json!({
        "networkPolicy": {"enabled": false},
        "podDisruptionBudget": {"enabled": false},
        "logger": {"replicas": 3, "podTemplate": {
            "metadata": {"annotations": {"team": "web"}},
            "spec": {"priorityClassName": "high", "containers": [
                {"name": "logger", "env": [{"name": "EXTRA", "value": "1"}]},
                {"name": "sidecar", "image": "sidecar:1"}]}}},
    })
}

fn with_copies() -> Value {
    json!({"database": {"managed": {
        "backup": {"schedule": "0 3 * * *"},
        "restore": {"claimName": "old-backup"}}}})
}

fn autoscaled() -> Value {
    json!({
        "logger": {"autoscaling": {"minReplicas": 2, "maxReplicas": 20, "targetCPUUtilizationPercentage": 70}},
        "api": {"autoscaling": {"maxReplicas": 3}},
    })
}

fn behind_a_gateway() -> Value {
    json!({
        "gateway": {"hostnames": ["stats.example.com", "*.stats.example.com"], "parentRefs": [
            {"name": "edge", "namespace": "infra", "sectionName": "https"}, {"name": "local", "port": 443}]},
        "observability": {"serviceMonitor": {"enabled": true, "interval": "15s", "labels": {"release": "prometheus"}},
            "prometheusRule": {"enabled": true, "labels": {"release": "prometheus"}}},
    })
}

fn everything() -> Value {
    json!({
        "image": {"repository": "registry.example/wk", "tag": "2.0.0", "pullPolicy": "Always", "pullSecrets": [{"name": "pull"}]},
        "logger": {"replicas": 2, "resources": {"requests": {"cpu": "1"}}, "nodeSelector": {"disk": "ssd"},
            "tolerations": [{"key": "dedicated", "operator": "Exists"}],
            "topologySpreadConstraints": [{"maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "DoNotSchedule"}]},
        "api": {"replicas": 2, "affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {
            "nodeSelectorTerms": [{"matchExpressions": [{"key": "arch", "operator": "In", "values": ["amd64"]}]}]}}}},
        "checker": {"replicas": 4},
        "database": {"managed": {"storage": {"size": "50Gi", "className": "fast", "reclaim": "Delete"},
            "image": {"repository": "pg", "tag": "16"}, "resources": {"requests": {"memory": "1Gi"}},
            "parameters": {"max_connections": "50", "shared_buffers": "256MB"},
            "backup": {"schedule": "@daily", "timeZone": "Europe/Berlin", "keep": 14, "suspend": true,
                "storage": {"size": "100Gi", "className": "slow"}}}},
        "access": {"signup": "Closed", "projects": [{"name": "web", "keySecretName": "web-key"}]},
        "ingress": {"host": "stats.example.com", "tls": {"issuerRef": {"name": "internal"}}},
        "privacy": {"level": 2},
        "retention": {"hits": "90d", "checks": "365d"},
        "endpoints": {"namespaceSelector": {}},
    })
}

fn with_a_site_and_a_spool() -> Value {
    json!({
        "access": {"protectDocs": true, "projects": [{"name": "web", "keySecretName": "web-key",
            "settings": {"privacyLevel": 1, "honorGpc": true, "retentionHits": "30d"}}]},
        "privacy": {"honorGpc": true},
        "site": {"secretRef": {"name": "site", "key": "secret"}, "project": "blog", "sessionTimeout": "30m"},
        "reverseDns": {"server": "10.0.0.53:5353"},
        "spool": {"size": "512Mi", "claimName": "hits"},
        "probeNetworks": {"allow": ["10.0.0.0/8", "fd00::/8"], "allowMetadata": ["169.254.169.254"],
            "hosts": [{"namespace": "shop", "hosts": ["shop.example.com", "*.shop.example.com"]}]},
        "observability": {"blackbox": {"enabled": true}},
    })
}

fn matrix() -> [(&'static str, Value); 10] {
    [
        ("minimal", minimal()),
        ("external", external()),
        ("issuer", with_issuer()),
        ("certificate", with_certificate()),
        ("overridden", overridden()),
        ("copies", with_copies()),
        ("autoscaled", autoscaled()),
        ("gateway", behind_a_gateway()),
        ("site", with_a_site_and_a_spool()),
        ("everything", everything()),
    ]
}

#[test]
fn each_input_gives_the_objects_of_its_snapshot() {
    for (name, spec) in matrix() {
        let text: Vec<String> =
            children(spec).iter().map(|child| serde_yaml::to_string(&child.object).unwrap()).collect();
        insta::assert_snapshot!(name, text.join("---\n"));
    }
}

#[test]
fn every_child_is_named_labelled_and_owned() {
    for (input, spec) in matrix() {
        for child in children(spec) {
            let meta = &child.object["metadata"];
            let what = format!("{input}: {} {}", child.kind.name(), child.name);
            assert!(
                child.name == "shop" || child.name.starts_with("shop-") || child.name == "web-key",
                "{what}"
            );
            assert_eq!(child.object["kind"], child.kind.name(), "{what}");
            assert_eq!(meta["namespace"], "web", "{what}");
            assert_eq!(meta["labels"]["app.kubernetes.io/managed-by"], "watchkeeper-operator", "{what}");
            assert_eq!(meta["labels"]["app.kubernetes.io/instance"], "shop", "{what}");
            assert_eq!(meta["ownerReferences"][0]["uid"], "11111111-2222-3333-4444-555555555555", "{what}");
            assert_eq!(meta["ownerReferences"][0]["controller"], true, "{what}");
        }
    }
}

#[test]
fn names_are_unique_within_a_kind() {
    for (input, spec) in matrix() {
        let mut seen = std::collections::HashSet::new();
        for child in children(spec) {
            assert!(seen.insert((child.kind, child.name.clone())), "{input}: {}", child.name);
        }
    }
}

fn pod_of(child: &Child) -> Option<&Value> {
    let job = "/spec/jobTemplate/spec/template/spec";
    child.object.pointer("/spec/template/spec").or_else(|| child.object.pointer(job))
}

#[test]
fn every_pod_keeps_to_the_restricted_standard_and_has_no_token() {
    for (input, spec) in matrix() {
        // A user's own sidecar is the user's own business.
        for child in children(spec).iter().filter(|_| input != "overridden") {
            let Some(pod) = pod_of(child) else {
                continue;
            };
            assert_eq!(pod["automountServiceAccountToken"], false);
            assert_eq!(pod["securityContext"]["runAsNonRoot"], true);
            assert_eq!(pod["securityContext"]["seccompProfile"]["type"], "RuntimeDefault");
            let containers = [&pod["containers"], &pod["initContainers"]];
            for container in containers.into_iter().filter_map(Value::as_array).flatten() {
                let security = &container["securityContext"];
                assert_eq!(security["allowPrivilegeEscalation"], false);
                assert_eq!(security["readOnlyRootFilesystem"], true);
                assert_eq!(security["capabilities"]["drop"], json!(["ALL"]));
                assert!(container["resources"]["requests"].is_object());
            }
        }
    }
}

#[test]
fn secrets_stand_in_secrets_only() {
    for (input, spec) in matrix() {
        for child in children(spec) {
            if child.kind != ChildKind::Secret {
                let text = child.object.to_string();
                for secret in ["PASSWORD\"", "TOKEN\"", "HUSH", ":p@"] {
                    // The name of the variable is no secret.
                    let text = text.replace("POSTGRES_PASSWORD\"", "");
                    assert!(!text.contains(secret), "{input}: {} {}", child.kind.name(), child.name);
                }
            }
        }
    }
}

#[test]
fn pods_roll_when_configuration_or_a_secret_changes_and_not_otherwise() {
    let hash = |spec: Value| {
        let all = children(spec);
        let api =
            all.iter().find(|child| child.kind == ChildKind::Deployment && child.name == "shop-api").unwrap();
        api.object["spec"]["template"]["metadata"]["annotations"]["watchkeeper.dev/config-hash"].clone()
    };
    assert_eq!(hash(minimal()), hash(json!({"logger": {"replicas": 5}})));
    assert_ne!(hash(minimal()), hash(json!({"privacy": {"level": 1}})));
    assert_ne!(hash(minimal()), hash(external()));
}

#[test]
fn a_spool_is_the_loggers_alone_and_on_a_claim_it_passes_from_one_pod_to_the_next() {
    let deployments = |spec: Value| {
        let all = children(spec).into_iter().filter(|child| child.kind == ChildKind::Deployment);
        all.map(|child| (child.name, child.object["spec"].clone())).collect::<Vec<_>>()
    };
    let volume = |spec: &Value| {
        let volumes = spec["template"]["spec"]["volumes"].as_array().unwrap();
        volumes.iter().find(|volume| volume["name"] == "spool").cloned()
    };
    for (name, spec) in deployments(with_a_site_and_a_spool()) {
        let logger = name == "shop-logger";
        assert_eq!(volume(&spec).is_some(), logger, "{name}");
        assert_eq!(spec["strategy"]["type"] == "Recreate", logger, "{name}");
    }
    let (_, logger) = deployments(json!({"spool": {"size": "1Gi", "ephemeral": true}})).remove(0);
    assert_eq!(volume(&logger).unwrap()["emptyDir"]["sizeLimit"], ((1_u64 << 30) / 4 * 5).to_string());
    assert_eq!(logger["strategy"]["type"], "RollingUpdate");
}

#[test]
fn what_pods_need_is_applied_before_the_pods() {
    let mut built = std::collections::BTreeSet::new();
    for (input, spec) in matrix() {
        let order: Vec<ChildKind> = children(spec).iter().map(|child| child.kind).collect();
        let mut sorted = order.clone();
        sorted.sort();
        assert_eq!(order, sorted, "{input}");
        built.extend(order);
    }
    for kind in ChildKind::ALL {
        assert!(built.contains(&kind), "{} is never built", kind.name());
    }
}

#[test]
fn an_ingress_and_a_route_send_every_path_the_same_way() {
    let of = |spec: Value, kind: ChildKind| {
        children(spec).into_iter().find(|child| child.kind == kind).unwrap().object
    };
    let ingress = of(with_issuer(), ChildKind::Ingress);
    let ways = ingress["spec"]["rules"][0]["http"]["paths"].as_array().unwrap();
    let ways: Vec<_> = ways
        .iter()
        .map(|way| {
            let kind = if way["pathType"] == "Prefix" { "PathPrefix" } else { "Exact" };
            (way["path"].clone(), json!(kind), way["backend"]["service"]["name"].clone())
        })
        .collect();
    let route = of(behind_a_gateway(), ChildKind::HttpRoute);
    let mut routed = Vec::new();
    for rule in route["spec"]["rules"].as_array().unwrap() {
        for way in rule["matches"].as_array().unwrap() {
            let path = &way["path"];
            routed.push((
                path["value"].clone(),
                path["type"].clone(),
                rule["backendRefs"][0]["name"].clone(),
            ));
        }
    }
    assert_eq!(routed, ways);
}

#[test]
fn many_objectives_are_spread_over_objects_that_fit_into_a_config_map() {
    let mut many = plan(behind_a_gateway());
    let one = many.objectives[0].clone();
    // The longest that Kubernetes takes.
    let namespace = "n".repeat(63);
    many.objectives = (0..50)
        .map(|number| Objective {
            namespace: namespace.clone(),
            name: format!("endpoint-{number:0>244}"),
            ..one.clone()
        })
        .collect();
    let rules = written(&many);
    let rules: Vec<_> = rules.iter().filter(|child| child.kind == ChildKind::PrometheusRule).collect();
    let names: Vec<_> = rules.iter().map(|child| child.name.as_str()).collect();
    assert_eq!(names, ["shop-slo", "shop-slo-2", "shop-slo-3"]);
    for rule in rules {
        let bytes = rule.object.to_string().len();
        assert!(bytes < 1 << 19, "{}: {bytes}", rule.name);
    }
}

#[test]
fn a_service_monitor_selects_the_services_that_have_metrics() {
    let all = children(behind_a_gateway());
    let find = |kind, name: &str| all.iter().find(|child| child.kind == kind && child.name == name).unwrap();
    let monitor = &find(ChildKind::ServiceMonitor, "shop").object["spec"];
    let components = monitor["selector"]["matchExpressions"][0]["values"].as_array().unwrap();
    for child in all.iter().filter(|child| child.kind == ChildKind::Service) {
        let labels = &child.object["metadata"]["labels"];
        for (key, value) in monitor["selector"]["matchLabels"].as_object().unwrap() {
            assert_eq!(&labels[key], value, "{}", child.name);
        }
        let ports = child.object["spec"]["ports"].as_array().unwrap();
        let scraped = ports.iter().any(|port| port["name"] == monitor["endpoints"][0]["port"]);
        assert_eq!(components.contains(&labels["app.kubernetes.io/component"]), scraped, "{}", child.name);
    }
}
