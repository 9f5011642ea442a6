//! `GET /probe?target=&module=&hostname=` as blackbox_exporter answers it: one probe, made
//! now, as metrics.

mod modules;
#[cfg(test)]
mod served_tests;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{Query, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use prometheus::TextEncoder;
use watchkeeper_store::{
    ConnectOptions, DnsProbe, DnsTransport, Exchange, GrpcProbe, HttpProbe, IcmpProbe, Probe, TcpProbe,
    TlsOptions, TlsProbe, WebSocketProbe,
};

use crate::exposition::{families, samples};
use crate::guard::Trust;
use crate::probe::Probers;
pub use modules::{Modules, ModulesConfig};

/// Names of the modules that need no configuration.
const MODULES: &str = "http_2xx, http_post_2xx, tcp_connect, tls_connect, pop3s_banner, ssh_banner, dns_udp, \
                       dns_tcp, icmp, grpc, grpc_plain, websocket";

/// Timeout of a scraper that tells none, as blackbox_exporter has it, and the
/// longest that is granted.
const TIMEOUT: Duration = Duration::from_secs(120);

/// Time that is left for the answer to reach the scraper.
const MARGIN: Duration = Duration::from_millis(500);

/// The endpoint. Whoever reaches it may ask what strangers may: private networks
/// only as far as the installation allows them. A module of `modules` goes before
/// one that is there by itself.
pub fn router(probers: Probers, modules: Modules) -> Router {
    Router::new().route("/probe", get(probe)).with_state((probers, Arc::new(modules)))
}

async fn probe(
    State((probers, modules)): State<(Probers, Arc<Modules>)>,
    Query(query): Query<HashMap<String, String>>,
    headers: HeaderMap,
) -> Response {
    let text = |name: &str| query.get(name).map(String::as_str).unwrap_or_default();
    let refuse = |message: String| (StatusCode::BAD_REQUEST, message).into_response();
    if text("target").is_empty() {
        return refuse("Target parameter is missing: add target=".into());
    }
    let name = if text("module").is_empty() { "http_2xx" } else { text("module") };
    let hostname = Some(text("hostname")).filter(|name| !name.is_empty());
    let module = modules.get(name);
    let probe = match module {
        Some(module) => Some(module.probe(text("target"), hostname)),
        None => probe_of(name, text("target"), &query),
    };
    let Some(probe) = probe else {
        let configured: String = modules.names().map(|name| format!("{name}, ")).collect();
        return refuse(format!("Unknown module \"{name}\": there are {configured}{MODULES}"));
    };
    let waits = timeout(&headers);
    let timeout = module.and_then(|module| module.timeout).map_or(waits, |own| own.min(waits));
    let assertions = module.map(|module| module.assertions.as_slice()).unwrap_or_default();
    let mut outcome = probers.probe(Trust::Stranger, "", &probe, assertions, timeout).await;
    if let Some(module) = module {
        module.judge(&mut outcome);
    }
    let mut samples = samples(&probe, &outcome);
    samples.push(crate::exposition::Sample {
        name: "probe_timeout_seconds",
        help: "Time that the probe was given.",
        labels: Vec::new(),
        value: timeout.as_secs_f64(),
    });
    let families = families(std::iter::once((&[][..], samples.as_slice())));
    match TextEncoder::new().encode_to_string(&families) {
        Ok(mut text) => {
            if let (Some(message), true) = (&outcome.message, query.get("debug").is_some_and(|d| d == "true"))
            {
                text = format!("# {}\n{text}", message.replace(['\n', '\r'], " "));
            }
            ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text).into_response()
        }
        Err(error) => {
            tracing::error!(%error, "a probe's metrics cannot be written");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}

/// What Prometheus says it waits, less a margin.
fn timeout(headers: &HeaderMap) -> Duration {
    headers
        .get("x-prometheus-scrape-timeout-seconds")
        .and_then(|value| value.to_str().ok()?.parse::<f64>().ok())
        .filter(|seconds| *seconds > 0.0 && seconds.is_finite())
        .map_or(TIMEOUT, |seconds| Duration::from_secs_f64(seconds.min(TIMEOUT.as_secs_f64())))
        .checked_sub(MARGIN)
        .filter(|timeout| !timeout.is_zero())
        .unwrap_or(MARGIN)
}

fn probe_of(module: &str, target: &str, query: &HashMap<String, String>) -> Option<Probe> {
    let connect = ConnectOptions::default();
    // Whom the target is asked for, where that is not what it is reached by.
    let hostname = query.get("hostname").filter(|name| !name.is_empty());
    let options =
        || TlsOptions { server_name: hostname.map(|name| without_port(name)), ..TlsOptions::default() };
    let tcp = |conversation, tls: bool| {
        Probe::Tcp(TcpProbe {
            address: target.into(),
            conversation,
            starttls: None,
            tls: tls.then(options),
            connect,
        })
    };
    let says = |expect: &str| vec![Exchange { expect: Some(expect.into()), ..Exchange::default() }];
    let grpc = |tls: bool| {
        Probe::Grpc(GrpcProbe {
            address: target.into(),
            service: query.get("service").cloned().unwrap_or_default(),
            metadata: Vec::new(),
            tls: tls.then(options),
            connect,
        })
    };
    let dns = |transport| {
        Probe::Dns(DnsProbe {
            server: Some(target.into()),
            transport,
            name: query.get("name").cloned().unwrap_or_else(|| ".".into()),
            record_type: query.get("type").cloned().unwrap_or_else(|| "NS".into()),
            expected: Vec::new(),
            exact: false,
            rcodes: Vec::new(),
            tls: TlsOptions::default(),
            connect,
        })
    };
    Some(match module {
        "http_2xx" | "http_post_2xx" => {
            let mut probe = HttpProbe::new(url_of(target));
            probe.headers.extend(hostname.map(|name| ("Host".to_owned(), name.clone())));
            probe.tls = options();
            if module == "http_post_2xx" {
                probe.method = "POST".into();
            }
            Probe::Http(probe)
        }
        "tcp_connect" => tcp(Vec::new(), false),
        "tls_connect" => Probe::Tls(TlsProbe {
            address: target.into(),
            starttls: None,
            options: options(),
            names: Vec::new(),
            valid_for: Duration::ZERO,
            connect,
        }),
        "pop3s_banner" => tcp(says(r"^\+OK"), true),
        "ssh_banner" => tcp(says("^SSH-2.0-"), false),
        "dns" | "dns_udp" => dns(DnsTransport::Udp),
        "dns_tcp" => dns(DnsTransport::Tcp),
        "icmp" => Probe::Icmp(IcmpProbe { host: target.into(), count: 1, payload_bytes: 28, connect }),
        "grpc" => grpc(true),
        "grpc_plain" => grpc(false),
        "websocket" => Probe::WebSocket(WebSocketProbe {
            url: target.into(),
            headers: Vec::new(),
            send: None,
            expect: None,
            tls: options(),
            connect,
        }),
        _ => return None,
    })
}

/// A target as a URL.
fn url_of(target: &str) -> String {
    if target.contains("://") { target.to_owned() } else { format!("http://{target}") }
}

/// The name of a `host:port`.
fn without_port(host: &str) -> String {
    let (name, port) = host.rsplit_once(':').unwrap_or((host, ""));
    let ported = !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit()) && !name.contains(':');
    if ported { name } else { host }.to_owned()
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;
    use watchkeeper_store::{Assertion, Severity};

    use super::*;
    use crate::guard::GuardRules;

    /// Asks the endpoint by a probe of our own, and says what does not hold of its answer.
    async fn ask(rules: GuardRules, query: &str, conditions: &[&str]) -> Option<String> {
        ask_with(Modules::default(), rules, query, conditions).await
    }

    async fn ask_with(
        modules: Modules,
        rules: GuardRules,
        query: &str,
        conditions: &[&str],
    ) -> Option<String> {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let at = listener.local_addr().expect("an address");
        let router = router(Probers::new(rules, None).expect("probers"), modules);
        tokio::spawn(async move { axum::serve(listener, router).await });
        let query = query.replace("SELF", &at.to_string());
        let assertions: Vec<Assertion> = conditions
            .iter()
            .map(|text| Assertion { condition: (*text).into(), severity: Severity::Down })
            .collect();
        let probe = Probe::Http(HttpProbe::new(format!("http://{at}/probe?{query}")));
        let own = Probers::new(GuardRules::default(), None).expect("probers");
        let outcome = own.probe(Trust::Operator, "", &probe, &assertions, Duration::from_secs(10)).await;
        outcome.message
    }

    fn loopback() -> GuardRules {
        GuardRules { allow: vec!["127.0.0.0/8".parse().expect("a network")], ..GuardRules::default() }
    }

    #[tokio::test]
    async fn a_probe_is_made_and_answered_as_metrics() {
        // The endpoint without a target is a server that answers 400.
        let told = ask(
            loopback(),
            "target=SELF/probe&module=http_2xx&debug=true",
            &[
                "[STATUS] == 200",
                "[HEADER].content-type == pat(text/plain*)",
                "[BODY] == regex((?m)^probe_success 0$)",
                "[BODY] == regex((?m)^probe_http_status_code 400$)",
                "[BODY] == regex((?m)^probe_ip_protocol 4$)",
                "[BODY] == regex(probe_http_duration_seconds.phase=.connect..)",
                "[BODY] == regex((?m)^# status 400, expected 2xx$)",
                "[BODY] == regex((?m)^probe_timeout_seconds 119.5$)",
            ],
        )
        .await;
        assert_eq!(told, None);
        let told =
            ask(loopback(), "target=SELF&module=tcp_connect", &["[BODY] == regex((?m)^probe_success 1$)"])
                .await;
        assert_eq!(told, None);
    }

    #[tokio::test]
    async fn a_configured_module_is_asked_by_its_terms() {
        // The endpoint without a target is a server that answers 400.
        for (text, success) in [("parameter is missing", 1), ("something else", 0)] {
            let config = serde_json::from_value(serde_json::json!({ "modules": { "own": {
                "prober": "http",
                "timeout": "3s",
                "http": { "valid_status_codes": [400], "fail_if_body_not_matches_regexp": [text] },
            }}}));
            let modules = Modules::new(config.expect("a configuration")).expect("modules");
            let conditions = [
                format!("[BODY] == regex((?m)^probe_success {success}$)"),
                format!("[BODY] == regex((?m)^probe_failed_due_to_regex {}$)", 1 - success),
                "[BODY] == regex((?m)^probe_timeout_seconds 3$)".to_owned(),
            ];
            let conditions: Vec<&str> = conditions.iter().map(String::as_str).collect();
            let told = ask_with(modules, loopback(), "target=SELF/probe&module=own", &conditions).await;
            assert_eq!(told, None, "{text}");
        }
    }

    #[test]
    fn a_hostname_is_asked_for_in_place_of_the_target() {
        let query = HashMap::from([("hostname".to_owned(), "shop.example:8443".to_owned())]);
        let of = |module| probe_of(module, "https://10.0.0.1/", &query).expect("a module");
        let Probe::Http(http) = of("http_2xx") else { panic!("not HTTP") };
        assert_eq!(http.headers, [("Host".to_owned(), "shop.example:8443".to_owned())]);
        assert_eq!(http.tls.server_name.as_deref(), Some("shop.example"));
        let Probe::Tls(tls) = of("tls_connect") else { panic!("not TLS") };
        assert_eq!(tls.options.server_name.as_deref(), Some("shop.example"));
        let plain = probe_of("http_2xx", "https://10.0.0.1/", &HashMap::new());
        let Some(Probe::Http(plain)) = plain else { panic!("not HTTP") };
        assert!(plain.headers.is_empty() && plain.tls.server_name.is_none());
        assert_eq!(without_port("::1"), "::1");
    }

    #[tokio::test]
    async fn what_is_inside_is_asked_only_where_the_installation_allows_it() {
        let told = ask(
            GuardRules::default(),
            "target=SELF&module=tcp_connect&debug=true",
            &["[BODY] == regex((?m)^probe_success 0$)", "[BODY] == pat(*# refused:*loopback*)"],
        )
        .await;
        assert_eq!(told, None);
    }

    #[tokio::test]
    async fn a_missing_target_and_an_unknown_module_are_told() {
        for (query, told) in
            [("", "Target parameter is missing*"), ("target=a&module=x", "Unknown module*http_2xx*")]
        {
            let conditions = ["[STATUS] == 400".to_owned(), format!("[BODY] == pat({told})")];
            let conditions: Vec<&str> = conditions.iter().map(String::as_str).collect();
            assert_eq!(ask(loopback(), query, &conditions).await, None);
        }
    }
}
