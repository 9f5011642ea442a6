//! What an AnalyticsInstance says that this process does not go by, since flags say it here, and the flags
//! that it wins over. What only a cluster has, such as replicas or an Ingress, is not among it: nobody misses
//! that in one process.

use watchkeeper_crds::{analytics_instance::AnalyticsInstanceSpec, services::ReverseDns};

/// Something that is said to no effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unread {
    /// A field of the AnalyticsInstance, and what says it here.
    Field { field: &'static str, instead: &'static str },
    /// A field of the AnalyticsInstance, and the flag that says otherwise and wins.
    Overruled { field: &'static str, flag: &'static str },
    /// A flag, and the field of the AnalyticsInstance that says otherwise and wins.
    Flag { flag: &'static str, field: &'static str },
}

impl std::fmt::Display for Unread {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Field { field, instead } => {
                write!(f, "{field} of the AnalyticsInstance has no effect in this process: use {instead}")
            }
            Self::Overruled { field, flag } => {
                write!(f, "{field} of the AnalyticsInstance has no effect: {flag} says otherwise")
            }
            Self::Flag { flag, field } => {
                write!(f, "{flag} has no effect: {field} of the AnalyticsInstance says otherwise")
            }
        }
    }
}

/// The fields of a specification that this process does not go by.
pub fn unread(spec: &AnalyticsInstanceSpec) -> Vec<Unread> {
    let site = "--site-secret-file, --site-project and --site-session-timeout";
    [
        (spec.access.admin_secret_ref.is_some(), "spec.access.adminSecretRef", "--admin-token-file"),
        (spec.database.external.is_some(), "spec.database.external", "WATCHKEEPER_DATABASE_URL"),
        (spec.site.is_some(), "spec.site", site),
        (spec.reverse_dns != ReverseDns::default(), "spec.reverseDns", "--reverse-dns and --dns-server"),
        (spec.spool.is_some(), "spec.spool", "--spool and --spool-bytes"),
        (spec.observability.blackbox.enabled, "spec.observability.blackbox", "--blackbox-listen"),
    ]
    .into_iter()
    .filter_map(|(says, field, instead)| says.then_some(Unread::Field { field, instead }))
    .collect()
}

/// Warns of them.
pub fn tell(all: &[Unread]) {
    for unread in all {
        tracing::warn!("{unread}");
    }
}

#[cfg(test)]
mod tests {
    use watchkeeper_crds::manifest::{Manifest, parse};

    use super::*;

    fn fields(spec: &str) -> Vec<&'static str> {
        let head = "apiVersion: watchkeeper.dev/v1alpha1\nkind: AnalyticsInstance\nmetadata: {name: main}\n";
        let manifests = parse(&format!("{head}spec: {spec}\n")).expect("a manifest");
        let [Manifest::AnalyticsInstance(instance)] = manifests.as_slice() else { panic!("one instance") };
        let field = |it| match it {
            Unread::Field { field, .. } => field,
            other => panic!("no field: {other}"),
        };
        unread(&instance.spec).into_iter().map(field).collect()
    }

    #[test]
    fn what_has_no_effect_is_named_and_what_has_or_belongs_to_a_cluster_is_not() {
        let honoured =
            "{access: {signup: Closed, protectDocs: true}, privacy: {level: 1}, retention: {hits: 90d}}";
        let cluster = "{logger: {replicas: 2}, database: {managed: {}}, ingress: {host: a.example}}";
        for spec in ["{}", honoured, cluster, "{reverseDns: {enabled: true}}"] {
            assert_eq!(fields(spec), Vec::<&str>::new(), "{spec}");
        }
        let key = "{name: a, key: k}";
        let all = format!(
            "{{access: {{adminSecretRef: {key}}}, database: {{external: {{urlFrom: {key}}}}}, \
             site: {{secretRef: {key}}}, reverseDns: {{enabled: false}}, spool: {{ephemeral: true}}, \
             observability: {{blackbox: {{enabled: true}}}}}}"
        );
        assert_eq!(
            fields(&all),
            [
                "spec.access.adminSecretRef",
                "spec.database.external",
                "spec.site",
                "spec.reverseDns",
                "spec.spool",
                "spec.observability.blackbox",
            ]
        );
    }
}
