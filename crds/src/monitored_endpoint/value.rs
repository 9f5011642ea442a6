//! Values that may be secrets, and finding all of them in a specification.

use kube::KubeSchema;
use serde::{Deserialize, Serialize};

use super::{HeaderSource, HttpAuth, MonitoredEndpointSpec, TlsOptions};

/// A value, or where it is kept: exactly one of `value` and `valueFrom` is set.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("[has(self.value), has(self.valueFrom)].exists_one(set, set)")
    .message("set exactly one of value and valueFrom"))]
pub struct ValueSource {
    /// The value itself; for anything secret use `valueFrom`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 65536))]
    pub value: Option<String>,
    /// Where the value is kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value_from: Option<HeaderSource>,
}

/// A place of a specification where a value stands or is referred to.
#[derive(Debug)]
pub struct Slot<'a> {
    /// Path of the field, from `spec` on.
    pub path: String,
    /// The value.
    pub value: &'a mut Option<String>,
    /// Where it is kept.
    pub source: &'a mut Option<HeaderSource>,
}

impl MonitoredEndpointSpec {
    /// Every place where a value may be a secret.
    pub fn slots(&mut self) -> Vec<Slot<'_>> {
        let mut slots = Vec::new();
        if let Some(http) = &mut self.http {
            headers(&mut slots, "spec.http.headers", &mut http.headers);
            match &mut http.auth {
                Some(HttpAuth { basic: Some(basic), .. }) => {
                    push(&mut slots, "spec.http.auth.basic.password", &mut basic.password);
                }
                Some(HttpAuth { bearer: Some(bearer), .. }) => {
                    push(&mut slots, "spec.http.auth.bearer", bearer)
                }
                _ => {}
            }
            tls(&mut slots, "spec.http.tls", http.tls.as_mut());
        }
        if let Some(tcp) = &mut self.tcp {
            tls(&mut slots, "spec.tcp.tls", tcp.tls.as_mut());
        }
        if let Some(probe) = &mut self.tls {
            tls(&mut slots, "spec.tls.options", probe.options.as_mut());
        }
        if let Some(dns) = &mut self.dns {
            tls(&mut slots, "spec.dns.tls", dns.tls.as_mut());
        }
        if let Some(grpc) = &mut self.grpc {
            headers(&mut slots, "spec.grpc.metadata", &mut grpc.metadata);
            tls(&mut slots, "spec.grpc.tls", grpc.tls.as_mut());
        }
        if let Some(websocket) = &mut self.websocket {
            headers(&mut slots, "spec.websocket.headers", &mut websocket.headers);
            tls(&mut slots, "spec.websocket.tls", websocket.tls.as_mut());
        }
        if let Some(heartbeat) = &mut self.heartbeat {
            push(&mut slots, "spec.heartbeat.token", &mut heartbeat.token);
        }
        slots
    }
}

fn headers<'a>(slots: &mut Vec<Slot<'a>>, path: &str, headers: &'a mut [super::Header]) {
    slots.extend(headers.iter_mut().enumerate().map(|(index, header)| Slot {
        path: format!("{path}[{index}]"),
        value: &mut header.value,
        source: &mut header.value_from,
    }));
}

fn tls<'a>(slots: &mut Vec<Slot<'a>>, path: &str, options: Option<&'a mut TlsOptions>) {
    let Some(options) = options else { return };
    for (name, value) in [
        ("ca", &mut options.ca),
        ("clientCertificate", &mut options.client_certificate),
        ("clientKey", &mut options.client_key),
    ] {
        if let Some(value) = value {
            push(slots, &format!("{path}.{name}"), value);
        }
    }
}

fn push<'a>(slots: &mut Vec<Slot<'a>>, path: &str, value: &'a mut ValueSource) {
    slots.push(Slot { path: path.to_owned(), value: &mut value.value, source: &mut value.value_from });
}
