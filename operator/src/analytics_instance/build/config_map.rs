//! The ConfigMap that all three services read their environment from.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::ConfigMap;

use crate::analytics_instance::plan::Plan;

/// A list as the services read it; nothing for an empty one.
fn joined(list: impl IntoIterator<Item = impl AsRef<str>>) -> Option<String> {
    let parts: Vec<_> = list.into_iter().collect();
    let parts: Vec<&str> = parts.iter().map(AsRef::as_ref).collect();
    (!parts.is_empty()).then(|| parts.join(","))
}

pub fn build(plan: &Plan) -> ConfigMap {
    let spec = &plan.spec;
    let mut data: BTreeMap<String, String> = [
        ("WATCHKEEPER_LOG", "info"),
        ("WATCHKEEPER_LOG_FORMAT", "json"),
        ("WATCHKEEPER_SIGNUP", spec.access.signup.as_str()),
    ]
    .map(|(key, value)| (key.to_owned(), value.to_owned()))
    .into();
    data.insert("WATCHKEEPER_PRIVACY_LEVEL".to_owned(), spec.privacy.level.to_string());
    for (key, span) in [
        ("WATCHKEEPER_RETENTION_HITS", &spec.retention.hits),
        ("WATCHKEEPER_RETENTION_CHECKS", &spec.retention.checks),
    ] {
        if let Some(span) = span {
            data.insert(key.to_owned(), span.to_string());
        }
    }
    // What has its default is left out, so that pods do not roll for it.
    let flags = [
        ("WATCHKEEPER_HONOR_GPC", spec.privacy.honor_gpc),
        ("WATCHKEEPER_PROTECT_DOCS", spec.access.protect_docs),
    ];
    let flags = flags.into_iter().filter(|(_, set)| *set).map(|(key, _)| (key, "true".to_owned()));
    let site = spec.site.as_ref();
    let networks = &spec.probe_networks;
    let hosts = networks.limits().map(|(namespace, host)| format!("{namespace}={host}"));
    let texts = [
        ("WATCHKEEPER_REVERSE_DNS", (!spec.reverse_dns.enabled).then(|| "off".to_owned())),
        ("WATCHKEEPER_DNS_SERVER", spec.reverse_dns.server.clone()),
        ("WATCHKEEPER_SITE_PROJECT", site.and_then(|site| site.project.clone())),
        (
            "WATCHKEEPER_SITE_SESSION_TIMEOUT",
            site.and_then(|site| site.session_timeout.as_ref()).map(ToString::to_string),
        ),
        ("WATCHKEEPER_PROBE_ALLOW", joined(&networks.allow)),
        ("WATCHKEEPER_PROBE_DENY", joined(&networks.deny)),
        ("WATCHKEEPER_PROBE_ALLOW_METADATA", joined(&networks.allow_metadata)),
        ("WATCHKEEPER_PROBE_HOSTS", joined(hosts)),
    ];
    let texts = texts.into_iter().filter_map(|(key, text)| Some((key, text?)));
    data.extend(flags.chain(texts).map(|(key, text)| (key.to_owned(), text)));
    ConfigMap {
        metadata: plan.meta(plan.child_name("config"), "config"),
        data: Some(data),
        ..ConfigMap::default()
    }
}
