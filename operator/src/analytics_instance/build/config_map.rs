//! The ConfigMap that all three services read their environment from.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::ConfigMap;

use crate::analytics_instance::plan::Plan;

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
    ConfigMap {
        metadata: plan.meta(plan.child_name("config"), "config"),
        data: Some(data),
        ..ConfigMap::default()
    }
}
