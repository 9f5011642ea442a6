//! The way in through a Gateway, where there is no Ingress.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Makes the installation reachable through Gateways that exist already.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Gateway {
    /// The Gateways, or listeners of theirs, that take the traffic in.
    #[schemars(length(min = 1, max = 32))]
    pub parent_refs: Vec<ParentRef>,
    /// Host names; those of the listeners when left out.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), inner(length(min = 1, max = 253)))]
    #[x_kube(validation = Rule::new(r"self.all(name, name.matches('^([*][.])?[a-z0-9]([-a-z0-9]*[a-z0-9])?([.][a-z0-9]([-a-z0-9]*[a-z0-9])?)*$'))")
        .message("hostnames must be DNS names in lower case without scheme, port or path, for example stats.example.com; the first label may be *"))]
    pub hostnames: Vec<String>,
    /// What the listeners speak; the Gateway's certificate is the Gateway's business.
    #[serde(default)]
    pub protocol: Protocol,
}

/// What a listener speaks.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Protocol {
    #[default]
    #[serde(rename = "HTTPS")]
    Https,
    #[serde(rename = "HTTP")]
    Http,
}

impl Protocol {
    /// How a URL begins.
    #[must_use]
    pub fn scheme(self) -> &'static str {
        match self {
            Self::Https => "https",
            Self::Http => "http",
        }
    }
}

/// Something that takes traffic in: a Gateway unless said otherwise.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct ParentRef {
    /// API group; `gateway.networking.k8s.io` when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub group: Option<String>,
    /// Kind; Gateway when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63))]
    pub kind: Option<String>,
    /// Namespace; the instance's own when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63))]
    pub namespace: Option<String>,
    /// Name.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
    /// One listener, by its name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub section_name: Option<String>,
    /// Listeners on one port.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 65535))]
    pub port: Option<i32>,
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use crate::testing::judged;

    fn hosts(hostnames: &[&str]) -> Value {
        json!({"gateway": {"parentRefs": [{"name": "edge"}], "hostnames": hostnames}})
    }

    #[test]
    fn a_name_of_a_gateway_is_enough() {
        let gateway = judged(json!({"gateway": {"parentRefs": [{"name": "edge"}]}})).unwrap().spec.gateway;
        assert_eq!(gateway.unwrap().protocol.scheme(), "https");
        let plain =
            json!({"gateway": {"parentRefs": [{"name": "edge", "sectionName": "web"}], "protocol": "HTTP"}});
        assert_eq!(judged(plain).unwrap().spec.gateway.unwrap().protocol.scheme(), "http");
    }

    #[test]
    fn there_is_one_way_in() {
        let both = json!({"ingress": {"host": "a.example"}, "gateway": {"parentRefs": [{"name": "edge"}]}});
        let error = judged(both).unwrap_err();
        assert!(error.contains("set ingress or gateway, not both"), "{error}");
    }

    #[test]
    fn hostnames_are_plain_dns_names() {
        for bad in ["https://a.example", "A.example", "a.example:80", "a.*.example", "*", "a.example/x"] {
            let error = judged(hosts(&["ok.example", bad])).unwrap_err();
            assert!(error.contains("hostnames must be DNS names"), "{bad}: {error}");
        }
        judged(hosts(&["stats.example.com", "*.example.com"])).unwrap();
    }
}
