//! The permissions that the operator needs, each with its reason. Nothing is granted by
//! `*`, and Roles of charts and overlays are generated from this list.

use serde_json::{Value, json};

/// One permission.
#[derive(Debug, Clone, Copy)]
pub struct Rule {
    /// API group; the core group is empty.
    pub group: &'static str,
    /// Resources of the group.
    pub resources: &'static [&'static str],
    /// What may be done with them.
    pub verbs: &'static [&'static str],
    /// Objects by name, where the API allows it; all when empty.
    pub names: &'static [&'static str],
    /// Whether the resource belongs to no namespace, so that a Role cannot grant it.
    pub cluster: bool,
    /// Why it is needed.
    pub reason: &'static str,
}

const fn rule(
    group: &'static str,
    resources: &'static [&'static str],
    verbs: &'static [&'static str],
    reason: &'static str,
) -> Rule {
    Rule { group, resources, verbs, names: &[], cluster: false, reason }
}

/// For kinds of which every instance has the same objects at all times.
const KEPT: &[&str] = &["get", "list", "watch", "create", "patch"];
/// For kinds that are pruned as well.
const CHILD: &[&str] = &["get", "list", "watch", "create", "patch", "delete"];

/// API group of Leases.
const LEASES: &str = "coordination.k8s.io";

/// Everything that the operator needs.
pub const RULES: [Rule; 23] = [
    rule("watchkeeper.dev", &["analyticsinstances"], &["get", "list", "watch"], "the installations to run"),
    rule(
        "watchkeeper.dev",
        &["monitoredendpoints"],
        &["get", "list", "watch", "patch"],
        "what to watch; patch sets and removes the finalizer",
    ),
    rule(
        "watchkeeper.dev",
        &["analyticsinstances/status", "monitoredendpoints/status"],
        &["patch"],
        "conditions, state and counts",
    ),
    rule(
        "watchkeeper.dev",
        &["analyticsinstances/finalizers"],
        &["update"],
        "owner references that block deletion, where the cluster checks them",
    ),
    rule("", &["serviceaccounts", "services"], CHILD, "names of pods and of what they serve"),
    rule("", &["configmaps"], KEPT, "configuration of the services; goes only with its instance"),
    rule(
        "",
        &["secrets"],
        CHILD,
        "generated credentials and project keys, and reading the Secrets that a spec names; the names are the user's, so none can be listed here",
    ),
    rule(
        "apps",
        &["statefulsets"],
        CHILD,
        "the managed database; deleted when it becomes an external one or its volume grows",
    ),
    rule("apps", &["deployments"], KEPT, "the services; go only with their instance"),
    rule("autoscaling", &["horizontalpodautoscalers"], CHILD, "numbers of pods that follow the load"),
    rule(
        "networking.k8s.io",
        &["ingresses", "networkpolicies"],
        CHILD,
        "the way in, and which traffic may pass",
    ),
    rule(
        "gateway.networking.k8s.io",
        &["httproutes"],
        CHILD,
        "the way in through a Gateway, where the cluster has the Gateway API",
    ),
    rule(
        "monitoring.coreos.com",
        &["servicemonitors", "prometheusrules"],
        CHILD,
        "scraping the services and watching error budgets, where the cluster has the Prometheus operator",
    ),
    rule(
        "cert-manager.io",
        &["certificates"],
        &["get", "list", "watch"],
        "how the certificate that cert-manager makes for an Ingress is",
    ),
    rule("batch", &["cronjobs"], CHILD, "copies of the managed database, on a schedule"),
    rule("batch", &["jobs"], &["list", "watch"], "how the last copy went"),
    rule("policy", &["poddisruptionbudgets"], CHILD, "what disruptions must leave"),
    rule(
        "",
        &["persistentvolumeclaims"],
        &["get", "create", "patch"],
        "the volume of the database's copies; growing both volumes; claims are never deleted",
    ),
    rule("", &["pods"], &["get"], "why the pod of a database that does not answer fails"),
    Rule {
        group: "",
        resources: &["namespaces"],
        verbs: &["get"],
        names: &[],
        cluster: true,
        reason: "labels of a namespace whose endpoints refer to an instance in another",
    },
    rule("events.k8s.io", &["events"], &["create", "patch"], "one Event per transition"),
    rule(
        LEASES,
        &["leases"],
        &["create"],
        "the Lease by which replicas agree on a leader; a name cannot restrict create",
    ),
    Rule {
        group: LEASES,
        resources: &["leases"],
        verbs: &["get", "update"],
        names: &["watchkeeper-operator"],
        cluster: false,
        reason: "renewing and releasing that Lease",
    },
];

/// What it needs besides, where instances may make endpoints of annotated objects.
pub const DISCOVERY_RULES: [Rule; 1] = [rule(
    "watchkeeper.dev",
    &["monitoredendpoints"],
    &["create", "delete"],
    "endpoints of annotated objects, which go when they are wanted no more",
)];

/// All files: name and YAML text. First what is always needed, then what discovery needs besides; the
/// cluster's before that of a namespace.
///
/// # Errors
/// When YAML cannot be written, which only a mistake here can cause.
pub fn files() -> Result<[(String, String); 4], serde_yaml::Error> {
    const NAME: &str = "watchkeeper-operator";
    const DISCOVERY: &str = "watchkeeper-operator-discovery";
    let discovery = |kind| text(kind, DISCOVERY, DISCOVERY_RULES.iter());
    Ok([
        // The Lease is in the operator's own namespace: whoever installs it binds a Role there.
        (
            "clusterrole.yaml".to_owned(),
            text("ClusterRole", NAME, RULES.iter().filter(|rule| rule.group != LEASES))?,
        ),
        ("role.yaml".to_owned(), text("Role", NAME, RULES.iter().filter(|rule| !rule.cluster))?),
        ("discovery-clusterrole.yaml".to_owned(), discovery("ClusterRole")?),
        ("discovery-role.yaml".to_owned(), discovery("Role")?),
    ])
}

fn text<'a>(
    kind: &str,
    name: &str,
    rules: impl Iterator<Item = &'a Rule>,
) -> Result<String, serde_yaml::Error> {
    let head = serde_yaml::to_string(&json!({
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": kind,
        "metadata": {
            "name": name,
            "labels": {
                "app.kubernetes.io/name": "watchkeeper-operator",
                "app.kubernetes.io/part-of": "watchkeeper",
            },
        },
    }))?;
    let mut text = format!("# Generated by `make generate`; do not edit.\n{head}rules:\n");
    for rule in rules {
        text.push_str(&format!("# {}\n{}", rule.reason, serde_yaml::to_string(&[rule.to_value()])?));
    }
    Ok(text)
}

impl Rule {
    /// The rule as it stands in a Role.
    #[must_use]
    pub fn to_value(&self) -> Value {
        let mut value = json!({
            "apiGroups": [self.group],
            "resources": self.resources,
            "verbs": self.verbs,
        });
        if !self.names.is_empty() {
            value["resourceNames"] = json!(self.names);
        }
        value
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analytics_instance::child::ChildKind;

    #[test]
    fn nothing_is_granted_by_a_star_and_everything_has_a_reason() {
        for rule in RULES.iter().chain(&DISCOVERY_RULES) {
            assert!(!rule.reason.is_empty());
            for word in rule.resources.iter().chain(rule.verbs).chain(&[rule.group]) {
                assert!(!word.contains('*'), "{rule:?}");
            }
        }
    }

    #[test]
    fn every_kind_of_child_can_be_applied_watched_and_pruned() {
        for kind in ChildKind::ALL {
            let resource = kind.resource();
            let verbs = if kind.always_there() { KEPT } else { CHILD };
            for verb in verbs {
                let granted = RULES.iter().any(|rule| {
                    rule.group == resource.group
                        && rule.resources.contains(&resource.plural.as_str())
                        && rule.verbs.contains(verb)
                });
                assert!(granted, "{verb} {}", resource.plural);
            }
        }
    }

    #[test]
    fn volume_claims_are_never_deleted() {
        let claims = RULES.iter().filter(|rule| rule.resources.contains(&"persistentvolumeclaims"));
        assert!(claims.flat_map(|rule| rule.verbs).all(|verb| *verb != "delete"));
    }

    #[test]
    fn the_checked_in_files_are_what_the_rules_say() {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("generated");
        for (name, text) in files().unwrap() {
            let stored = std::fs::read_to_string(folder.join(&name)).unwrap_or_default();
            assert!(stored == text, "{name} is out of date: run `make generate`");
        }
    }
}
