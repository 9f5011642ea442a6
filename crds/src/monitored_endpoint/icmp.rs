//! The ICMP probe.

use kube::KubeSchema;
use serde::{Deserialize, Serialize};

use super::Connect;

/// Sends ICMP echo requests; one reply is enough. The kernel must let the checker's group send them
/// (net.ipv4.ping_group_range); without that the checker needs `CAP_NET_RAW`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct IcmpProbe {
    /// Name or address.
    #[schemars(length(min = 1, max = 253))]
    pub host: String,
    /// Most requests of one check.
    #[serde(default = "default_count")]
    #[schemars(range(min = 1, max = 10))]
    pub count: i32,
    /// Bytes of data in each.
    #[serde(default = "default_payload_bytes")]
    #[schemars(range(min = 0, max = 1400))]
    pub payload_bytes: i32,
    /// IP version.
    #[serde(default)]
    pub connect: Connect,
}

fn default_count() -> i32 {
    3
}

fn default_payload_bytes() -> i32 {
    56
}
