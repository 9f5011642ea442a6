//! What the services of an installation are told beyond where data lives and who may use it.

use kube::KubeSchema;
use serde::{Deserialize, Serialize};

use crate::common::{SecretKeyRef, yes};
use crate::durations::TimeSpan;

/// Where hits wait on disk while the database is away; without it clients are told to come again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("has(self.claimName) != self.ephemeral")
    .message("set spool.claimName, or spool.ephemeral to true if hits that wait may go with their pod"))]
pub struct Spool {
    /// What the hits of one logger may take, as `512Mi` or `10Gi`.
    #[serde(default = "a_gibibyte")]
    #[schemars(length(min = 3, max = 16), regex(pattern = r"^[1-9][0-9]{0,5}(Mi|Gi|Ti)$"))]
    pub size: String,
    /// A volume claim of this namespace, at least as large, which keeps the hits when the logger's pod goes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub claim_name: Option<String>,
    /// Keeps the hits in a directory of each pod, which outlives its processes but not the pod: what
    /// waits there and was acknowledged is lost when the pod is deleted or its node dies.
    #[serde(default)]
    pub ephemeral: bool,
}

impl Spool {
    /// The size in bytes.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        let digits = self.size.find(|c: char| !c.is_ascii_digit()).unwrap_or(self.size.len());
        let (number, unit) = self.size.split_at(digits);
        let shift = match unit {
            "Mi" => 20,
            "Gi" => 30,
            _ => 40,
        };
        number.parse::<u64>().unwrap_or_default() << shift
    }
}

fn a_gibibyte() -> String {
    "1Gi".to_owned()
}

/// The website that reports its views with a secret of its own, as site-analytics has it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Site {
    /// Secret key that holds what the website sends as its Authorization header.
    pub secret_ref: SecretKeyRef,
    /// Project that the secret opens, made when it is first needed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63))]
    pub project: Option<String>,
    /// Idle time after which a visitor's session ends; 10 minutes when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = Rule::new("duration(self) > duration('0s')")
        .message("sessionTimeout must be longer than nothing"))]
    pub session_timeout: Option<TimeSpan>,
}

/// Host names of visitors' addresses.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct ReverseDns {
    /// Whether DNS is asked for the host names of a website's visitors.
    #[serde(default = "yes")]
    pub enabled: bool,
    /// DNS server to ask, as `10.0.0.53`, `10.0.0.53:5353` or `[fd00::53]:5353`; those of the pod when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 2, max = 64))]
    #[x_kube(validation = Rule::new(r"self.matches('^((25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])([.](25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])){3}(:(6553[0-5]|655[0-2][0-9]|65[0-4][0-9]{2}|6[0-4][0-9]{3}|[1-5][0-9]{4}|[1-9][0-9]{0,3}))?|[0-9a-fA-F:]+|\\[[0-9a-fA-F:]+\\]:(6553[0-5]|655[0-2][0-9]|65[0-4][0-9]{2}|6[0-4][0-9]{3}|[1-5][0-9]{4}|[1-9][0-9]{0,3}))$') && (self.contains('.') || isIP(self.find('[0-9a-fA-F:]+')))")
        .message("server must be an address with a port or without, for example 10.0.0.53 or [fd00::53]:5353"))]
    pub server: Option<String>,
}

impl Default for ReverseDns {
    fn default() -> Self {
        Self { enabled: true, server: None }
    }
}

impl ReverseDns {
    /// The port of the server, if it is another than that of DNS.
    #[must_use]
    pub fn port(&self) -> Option<u16> {
        let server = self.server.as_deref()?;
        server.parse::<std::net::SocketAddr>().ok().map(|server| server.port()).filter(|port| *port != 53)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use crate::testing::judged;

    fn refusal(spec: Value) -> String {
        judged(spec).unwrap_err()
    }

    #[test]
    fn a_spool_on_a_claim_has_one_logger() {
        let spool = |more: Value| json!({"spool": {"claimName": "spool"}, "logger": more});
        for good in [json!({}), json!({"replicas": 1}), json!({"replicas": 0})] {
            judged(spool(good)).unwrap();
        }
        for bad in [
            json!({"replicas": 2}),
            json!({"autoscaling": {"maxReplicas": 3}, "resources": {"requests": {"cpu": "1"}}}),
        ] {
            let error = refusal(spool(bad));
            assert!(error.contains("one logger"), "{error}");
        }
        judged(json!({"spool": {"ephemeral": true}, "logger": {"replicas": 5}})).unwrap();
    }

    #[test]
    fn a_spool_says_whether_it_outlives_its_pod() {
        for bad in [json!({}), json!({"claimName": "spool", "ephemeral": true}), json!({"ephemeral": false})]
        {
            let error = refusal(json!({ "spool": bad }));
            assert!(error.contains("may go with their pod"), "{error}");
        }
    }

    #[test]
    fn a_size_of_a_spool_is_counted_in_bytes() {
        for (size, bytes) in [("1Mi", 1 << 20), ("10Gi", 10 << 30), ("2Ti", 2_u64 << 40)] {
            let spool =
                judged(json!({"spool": {"size": size, "ephemeral": true}})).unwrap().spec.spool.unwrap();
            assert_eq!(spool.bytes(), bytes);
        }
    }

    #[test]
    fn a_dns_server_is_an_address() {
        let server = |server: &str| json!({"reverseDns": {"server": server}});
        for (good, port) in [
            ("10.0.0.53", None),
            ("10.0.0.53:5353", Some(5353)),
            ("255.0.199.249:65535", Some(65_535)),
            ("fd00::53", None),
            ("[fd00::53]:53", None),
            ("[2001:db8::1]:5353", Some(5353)),
        ] {
            assert_eq!(judged(server(good)).unwrap().spec.reverse_dns.port(), port, "{good}");
        }
        for bad in [
            "dns.example.com",
            "10.0.0.53:",
            "10.0.0.53:0",
            "10.0.0.53:65536",
            "10.0.0.53:99999",
            "999.1.1.1",
            "10.0.0.256",
            "10.0.0.053",
            "53",
            "fd00:::53",
            "[fd00::53]",
            "[fd00:::53]:53",
            "[fd00::53]:99999",
        ] {
            assert!(refusal(server(bad)).contains("must be an address"), "{bad}");
        }
    }
}
