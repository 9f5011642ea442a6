//! What an AnalyticsInstance says that this process cannot go by, since flags say it here. What only a
//! cluster has, such as replicas or an Ingress, is not among it: nobody misses that in one process.

use watchkeeper_crds::{analytics_instance::AnalyticsInstanceSpec, services::ReverseDns};

/// A field that says something, and what says it here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unread {
    field: &'static str,
    instead: &'static str,
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
    .filter_map(|(says, field, instead)| says.then_some(Unread { field, instead }))
    .collect()
}

/// Warns of them.
pub fn tell(all: &[Unread]) {
    for Unread { field, instead } in all {
        tracing::warn!("{field} of the AnalyticsInstance has no effect in this process: use {instead}");
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
        unread(&instance.spec).into_iter().map(|it| it.field).collect()
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
