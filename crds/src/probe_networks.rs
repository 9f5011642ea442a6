//! What probes may reach.

use kube::KubeSchema;
use serde::{Deserialize, Serialize};

/// What probes may reach.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct ProbeNetworks {
    /// Networks that are not public and that monitors added through the API may still probe, as `10.1.0.0/16`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 256), inner(length(max = 64)))]
    #[x_kube(validation = Rule::new("self.all(network, isCIDR(network))")
        .message("allow must hold networks, for example 10.1.0.0/16 or fd00::/8"))]
    pub allow: Vec<String>,
    /// Networks that nothing may probe, whoever asks; wins over all that is allowed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 256), inner(length(max = 64)))]
    #[x_kube(validation = Rule::new("self.all(network, isCIDR(network))")
        .message("deny must hold networks, for example 10.1.0.0/16 or fd00::/8"))]
    pub deny: Vec<String>,
    /// Metadata and link-local addresses that MonitoredEndpoints may probe, each in full, as `169.254.169.254`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 256), inner(length(max = 64)))]
    #[x_kube(validation = Rule::new("self.all(address, isIP(address))")
        .message("allowMetadata must hold addresses, for example 169.254.169.254"))]
    pub allow_metadata: Vec<String>,
    /// Hosts that the MonitoredEndpoints of a namespace may probe, and no others; a namespace that is not
    /// named may probe every host.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 128), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["namespace"]))]
    pub hosts: Vec<NamespaceHosts>,
}

/// Hosts that the MonitoredEndpoints of one namespace may probe.
// The checker reads those of all namespaces from one environment variable, which holds 128 KiB at most.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("self.hosts.all(host, self.hosts.size() * (self.__namespace__.size() + host.size() + 2) <= 1023)")
    .message("the hosts of a namespace are too many or too long: the number of them times the characters of the longest with its namespace may be 1023; write *.example.com for all hosts below example.com"))]
pub struct NamespaceHosts {
    /// The namespace.
    #[schemars(length(min = 1, max = 63), regex(pattern = "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"))]
    pub namespace: String,
    /// The hosts, as `shop.example.com` or, for all below it, `*.example.com`.
    #[schemars(
        length(min = 1, max = 64),
        inner(length(min = 1, max = 253), regex(pattern = r"^([*]\.)?[0-9A-Za-z:._-]+$"))
    )]
    pub hosts: Vec<String>,
}

impl ProbeNetworks {
    /// Each host with the namespace that may probe it.
    pub fn limits(&self) -> impl Iterator<Item = (&str, &str)> {
        self.hosts
            .iter()
            .flat_map(|limit| limit.hosts.iter().map(|host| (limit.namespace.as_str(), host.as_str())))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use crate::{
        manifest::{self, Manifest},
        testing::judged,
    };

    fn networks(networks: Value) -> Result<super::ProbeNetworks, String> {
        judged(json!({ "probeNetworks": networks })).map(|instance| instance.spec.probe_networks)
    }

    #[test]
    fn networks_are_networks_and_addresses_are_addresses() {
        networks(
            json!({"allow": ["10.0.0.0/8", "fd00::/8"], "allowMetadata": ["169.254.169.254", "fe80::1"]}),
        )
        .unwrap();
        for (field, bad) in [("allow", "intranet"), ("deny", "intranet"), ("allowMetadata", "169.254.0.0/16")]
        {
            let error = networks(json!({ field: [bad] })).unwrap_err();
            assert!(error.contains(&format!("{field} must hold")), "{error}");
        }
    }

    #[test]
    fn hosts_of_all_namespaces_fit_into_an_environment_variable() {
        let namespace = "n".repeat(63);
        let of = |number: usize, length: usize| {
            let hosts: Vec<_> = (0..number).map(|index| format!("{index:0>length$}")).collect();
            networks(json!({"hosts": [{"namespace": namespace, "hosts": hosts}]}))
        };
        for (number, length) in [(1, 253), (3, 253), (9, 48), (12, 20)] {
            let limits = of(number, length).unwrap();
            let text: usize = limits.limits().map(|(namespace, host)| namespace.len() + host.len() + 2).sum();
            // Of 128 namespaces, and the kernel takes no more of one variable, its name included.
            assert!(128 * text + "WATCHKEEPER_PROBE_HOSTS=".len() < 131_072, "{text}");
        }
        for (number, length) in [(4, 253), (64, 20)] {
            let error = of(number, length).unwrap_err();
            assert!(error.contains("too many or too long"), "{error}");
        }
        let short: Vec<_> = (0..40).map(|index| format!("shop-{index}.example.com")).collect();
        networks(json!({"hosts": [{"namespace": "web", "hosts": short}]})).unwrap();
    }

    #[test]
    fn hosts_are_of_a_namespace() {
        let hosts = |hosts: Value| {
            let spec = json!({"probeNetworks": {"hosts": [{"namespace": "shop", "hosts": hosts}]}});
            let object = json!({"apiVersion": "watchkeeper.dev/v1alpha1", "kind": "AnalyticsInstance",
                "metadata": {"name": "main"}, "spec": spec});
            manifest::parse(&object.to_string())
        };
        let mut good =
            hosts(json!(["shop.example.com", "*.example.com", "192.0.2.1", "2001:db8::1"])).unwrap();
        let Some(Manifest::AnalyticsInstance(instance)) = good.pop() else { panic!("no instance") };
        assert_eq!(instance.spec.probe_networks.limits().nth(1), Some(("shop", "*.example.com")));
        for bad in [json!([]), json!(["https://shop.example.com"]), json!(["a,b"]), json!(["*"])] {
            let mistakes = format!("{:?}", hosts(bad).unwrap_err());
            assert!(mistakes.contains("spec.probeNetworks.hosts"), "{mistakes}");
        }
    }
}
