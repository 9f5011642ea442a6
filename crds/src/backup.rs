//! Copies of the managed database, and a database made from such a copy.

use kube::KubeSchema;
use serde::{Deserialize, Serialize};

/// Copies of the managed database, made on a schedule on a volume of their own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Backup {
    /// When a copy is made, in the five fields of cron or as `@daily`.
    #[schemars(length(min = 1, max = 128))]
    #[x_kube(validation = Rule::new("self.matches('^(@(yearly|annually|monthly|weekly|daily|midnight|hourly)|[-0-9A-Za-z*/,?]+( +[-0-9A-Za-z*/,?]+){4})$')")
        .message("schedule must be five fields (minute, hour, day of month, month, day of week), for example '0 3 * * *', or a word such as @daily"))]
    pub schedule: String,
    /// Time zone of the schedule, for example `Europe/Berlin`; the cluster's when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 64))]
    #[x_kube(validation = Rule::new("self.matches('^[A-Za-z][A-Za-z0-9_+-]*(/[A-Za-z0-9_+-]+)*$')")
        .message("timeZone must be the name of a time zone, for example Europe/Berlin or Etc/UTC"))]
    pub time_zone: Option<String>,
    /// How many copies of this database are kept; older ones go when a newer one is complete.
    #[serde(default = "week")]
    #[schemars(range(min = 1, max = 1000))]
    pub keep: i32,
    /// The volume that holds the copies; it is never deleted by the operator.
    #[serde(default)]
    pub storage: BackupStorage,
    /// Stops making copies; those that exist stay.
    #[serde(default)]
    pub suspend: bool,
}

fn week() -> i32 {
    7
}

/// The volume that holds the copies. The operator never deletes its claim.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("isQuantity(self.size) && quantity(self.size).isGreaterThan(quantity('0'))")
        .message("size must be a quantity above zero, for example 10Gi"),
    validation = Rule::new("!isQuantity(self.size) || !isQuantity(oldSelf.size) || quantity(self.size).compareTo(quantity(oldSelf.size)) >= 0")
        .message("size can only grow: a volume cannot be made smaller"),
    validation = Rule::new("has(self.className) == has(oldSelf.className) && (!has(self.className) || self.className == oldSelf.className)")
        .message("className cannot change: a volume stays in its storage class")
)]
pub struct BackupStorage {
    /// Size of the volume, which holds one copy more than are kept; can grow, never shrink.
    #[serde(default = "default_size")]
    #[schemars(length(min = 1, max = 32))]
    pub size: String,
    /// Storage class; the cluster's default when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub class_name: Option<String>,
}

impl Default for BackupStorage {
    fn default() -> Self {
        Self { size: default_size(), class_name: None }
    }
}

fn default_size() -> String {
    "10Gi".to_owned()
}

/// The copy that a new database is made from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Restore {
    /// Volume claim, in the namespace of the instance, that holds the copies. To take `restore` out before
    /// it is done starts an empty database.
    #[schemars(length(min = 1, max = 253), regex(pattern = r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$"))]
    pub claim_name: String,
    /// Name of the copy; the newest when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    #[x_kube(validation = Rule::new("self.matches('^[A-Za-z0-9][-A-Za-z0-9._]*$')")
        .message("file must be the plain name of a file on the volume, for example watchkeeper-20260131T030000Z-7412345678901234567.dump"))]
    pub file: Option<String>,
}

#[cfg(test)]
#[path = "backup_tests.rs"]
mod tests;
