//! What must hold of an answer.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// One thing that must hold of an answer: a condition as text, or its parts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("has(self.condition) != has(self.source)")
        .message("set either condition or source with comparison"),
    validation = Rule::new("has(self.source) == has(self.comparison)")
        .message("set source and comparison together"),
    validation = Rule::new("!has(self.source) || has(self.target) == !(self.comparison in ['Exists', 'Absent'])")
        .message("target is what is compared with: set it, except for Exists and Absent"),
    validation = Rule::new("!has(self.source) || (self.source in ['Header', 'Body'] ? (self.source == 'Body' || has(self.property)) : !has(self.property))")
        .message("property is the name of a header or a path into a JSON body: set it for Header, leave it out for all but Header and Body")
)]
pub struct AssertionSpec {
    /// The condition as text, such as `[STATUS] == 200` or `[BODY].status == UP`; texts of Gatus mean the same
    /// here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 4096))]
    #[x_kube(validation = Rule::new("self.matches('^.+ (==|!=|<=|>=|<|>) .+$')")
        .message("a condition compares two sides, as [STATUS] == 200, with a space on each side of the comparison"))]
    pub condition: Option<String>,
    /// What is looked at.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<AssertionSource>,
    /// Name of a header, or a path into a JSON body such as `.items[0].id`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 1024))]
    pub property: Option<String>,
    /// How it is compared.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub comparison: Option<AssertionComparison>,
    /// What it is compared with: a text, a number, or a time such as `300ms` or `48h`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 2048))]
    pub target: Option<String>,
    /// Down: the check has failed when it does not hold. Degraded: the endpoint is up, but degraded.
    #[serde(default)]
    pub severity: Severity,
}

/// What an assertion looks at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum AssertionSource {
    Status,
    Header,
    Body,
    BodySize,
    ResponseTime,
    CertificateExpiration,
    DomainExpiration,
    Connected,
    Ip,
    DnsRcode,
}

/// How an assertion compares.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum AssertionComparison {
    Equals,
    NotEquals,
    LessThan,
    AtMost,
    GreaterThan,
    AtLeast,
    Contains,
    NotContains,
    Matches,
    NotMatches,
    Exists,
    Absent,
}

/// What it means when an assertion does not hold.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Severity {
    #[default]
    Down,
    Degraded,
}
