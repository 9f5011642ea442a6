//! Labels and annotations of child objects.

use std::collections::BTreeMap;

/// The value of `app.kubernetes.io/managed-by` on everything the operator makes.
pub const MANAGER: &str = "watchkeeper-operator";
/// Selects everything the operator makes.
pub const MANAGED: &str = "app.kubernetes.io/managed-by=watchkeeper-operator";
/// Selects everything it does not make.
pub const NOT_MANAGED: &str = "app.kubernetes.io/managed-by!=watchkeeper-operator";
/// Hash of what was applied; tells a removed field from one that was never set.
pub const APPLIED_HASH: &str = "watchkeeper.dev/applied-hash";
/// Hash of configuration and secrets; pods roll when it changes.
pub const CONFIG_HASH: &str = "watchkeeper.dev/config-hash";
/// On the claim of a database that was made from a copy: which copy it was.
pub const RESTORED: &str = "watchkeeper.dev/restored-from";
/// On an endpoint that was made of an annotated object: the kind of that object.
pub const SOURCE: &str = "watchkeeper.dev/source";
/// Name of the project whose key a Secret holds.
pub const PROJECT: &str = "watchkeeper.dev/project";

/// What selects the pods of one component; never changes.
#[must_use]
pub fn selector(instance: &str, component: &str) -> BTreeMap<String, String> {
    [
        ("app.kubernetes.io/name", "watchkeeper"),
        ("app.kubernetes.io/instance", instance),
        ("app.kubernetes.io/component", component),
    ]
    .map(|(key, value)| (key.to_owned(), value.to_owned()))
    .into()
}

/// All labels of an object that belongs to one component.
#[must_use]
pub fn object(instance: &str, component: &str) -> BTreeMap<String, String> {
    let mut labels = selector(instance, component);
    labels.insert("app.kubernetes.io/part-of".to_owned(), "watchkeeper".to_owned());
    labels.insert("app.kubernetes.io/managed-by".to_owned(), MANAGER.to_owned());
    labels
}

/// Selects everything that the operator made for one instance.
#[must_use]
pub fn of_instance(instance: &str) -> String {
    format!("{MANAGED},app.kubernetes.io/instance={instance}")
}
