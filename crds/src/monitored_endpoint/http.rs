//! The HTTP probe.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Connect, TlsOptions, ValueSource};
use crate::common::{SecretKeyRef, yes};

/// Asks an HTTP server and judges its answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct HttpProbe {
    /// What to ask.
    #[schemars(length(min = 1, max = 2048))]
    #[x_kube(validation = Rule::new("self.matches('^https?://[^/?#\\\\s]+[^\\\\s]*$')")
        .message("url must begin with http:// or https:// and name a host"))]
    pub url: String,
    /// How to ask.
    #[serde(default)]
    pub method: HttpMethod,
    /// Headers to send.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    pub headers: Vec<Header>,
    /// Body to send.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 65536))]
    pub body: Option<String>,
    /// Answers that count as up: codes as `200`, ranges as `200-299` or classes as `2xx`. An assertion on the
    /// status takes the place of the default.
    #[serde(default = "default_expected_status")]
    #[schemars(
        length(min = 1, max = 32),
        inner(length(max = 7), regex(pattern = "^[1-5]([0-9][0-9]|xx|[0-9][0-9]-[1-5][0-9][0-9])$"))
    )]
    #[x_kube(validation = Rule::new("self.all(code, !code.contains('-') || code.find('^[0-9]+') <= code.find('[0-9]+$'))")
        .message("expectedStatus must hold ranges that begin with their least code, for example 200-299"))]
    pub expected_status: Vec<String>,
    /// Whether redirects are followed; otherwise they are the answer.
    #[serde(default = "yes")]
    pub follow_redirects: bool,
    /// Most redirects that are followed.
    #[serde(default = "default_max_redirects")]
    #[schemars(range(min = 0, max = 20))]
    pub max_redirects: i32,
    /// Credentials, sent to this server and none that it redirects to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub auth: Option<HttpAuth>,
    /// How TLS is spoken.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<TlsOptions>,
    /// Versions of HTTP that are offered. Auto: HTTP/2 and HTTP/1.1 over TLS, HTTP/1.1 without. HTTP2 without
    /// TLS is spoken by prior knowledge.
    #[serde(default)]
    pub version: HttpVersion,
    /// Most bytes of a body that are read for assertions; what is longer is cut.
    #[serde(default = "default_max_body_bytes")]
    #[schemars(range(min = 1, max = 16777216))]
    pub max_body_bytes: i64,
    /// Which addresses of the host are asked.
    #[serde(default)]
    pub connect: Connect,
}

fn default_max_redirects() -> i32 {
    10
}

fn default_max_body_bytes() -> i64 {
    1024 * 1024
}

/// Credentials of a request: exactly one of `basic` and `bearer` is set.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("[has(self.basic), has(self.bearer)].exists_one(set, set)")
    .message("set exactly one of basic and bearer"))]
pub struct HttpAuth {
    /// User name and password (RFC 7617).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub basic: Option<BasicAuth>,
    /// A token (RFC 6750), without the word Bearer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bearer: Option<ValueSource>,
}

/// User name and password.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct BasicAuth {
    /// User name, without a colon.
    #[schemars(length(min = 1, max = 256), regex(pattern = "^[^:]+$"))]
    pub username: String,
    /// Password.
    pub password: ValueSource,
}

/// Versions of HTTP that are offered.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "UPPERCASE")]
pub enum HttpVersion {
    #[default]
    #[serde(rename = "Auto")]
    Auto,
    Http1,
    Http2,
}

fn default_expected_status() -> Vec<String> {
    vec!["2xx".to_owned()]
}

/// Method of an HTTP request.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "UPPERCASE")]
pub enum HttpMethod {
    #[default]
    Get,
    Head,
    Post,
    Put,
    Patch,
    Delete,
    Options,
}

impl HttpMethod {
    /// The method as it stands in a request.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Head => "HEAD",
            Self::Post => "POST",
            Self::Put => "PUT",
            Self::Patch => "PATCH",
            Self::Delete => "DELETE",
            Self::Options => "OPTIONS",
        }
    }
}

/// One header of the request: exactly one of `value` and `valueFrom` is set.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("[has(self.value), has(self.valueFrom)].exists_one(set, set)")
    .message("set exactly one of value and valueFrom"))]
pub struct Header {
    /// Name of the header.
    #[schemars(length(min = 1, max = 256), regex(pattern = r"^[-!#$%&'*+.^_`|~0-9A-Za-z]+$"))]
    pub name: String,
    /// The value itself; for anything secret use `valueFrom`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 8192))]
    pub value: Option<String>,
    /// Where the value is kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value_from: Option<HeaderSource>,
}

/// Where the value of a header is kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct HeaderSource {
    /// Key of a Secret in the endpoint's namespace.
    pub secret_key_ref: SecretKeyRef,
}
