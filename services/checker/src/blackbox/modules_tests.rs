use serde_json::{Value, json};

use super::*;

fn modules(config: Value) -> Result<Modules, String> {
    let config = serde_json::from_value(config).map_err(|error| error.to_string())?;
    Modules::new(config)
}

fn module(config: Value) -> Result<Module, String> {
    modules(json!({ "modules": { "m": config } }))
        .map(|mut modules| modules.0.remove("m").expect("it is there"))
}

#[test]
fn a_module_for_http_is_read_with_its_terms() {
    let module = module(json!({
        "prober": "http",
        "timeout": "1m30s",
        "http": {
            "valid_status_codes": [200, 204],
            "valid_http_versions": ["HTTP/1.1", "HTTP/2.0"],
            "method": "POST",
            "headers": { "Host": "vhost.example", "Accept-Language": "en" },
            "body": "{}",
            "follow_redirects": false,
            "fail_if_not_ssl": true,
            "fail_if_body_matches_regexp": ["Could not (connect|reach)"],
            "fail_if_body_not_matches_regexp": ["a == b"],
            "fail_if_header_matches": [{ "header": "Set-Cookie", "regexp": ".*", "allow_missing": true }],
            "fail_if_header_not_matches": [{ "header": "Content-Type", "regexp": "^text/" }],
            "basic_auth": { "username": "ann", "password": "s3cret" },
            "tls_config": { "insecure_skip_verify": true, "server_name": "inner.example" },
            "preferred_ip_protocol": "ip4",
            "ip_protocol_fallback": false,
        },
    }))
    .expect("a module");
    assert_eq!(module.timeout, Some(Duration::from_secs(90)));
    assert_eq!(module.tls, Some(true));
    let conditions: Vec<&str> = module.assertions.iter().map(|one| one.condition.as_str()).collect();
    assert_eq!(
        conditions,
        [
            "[BODY] != regex(Could not (connect|reach))",
            "[BODY] == regex(a == b)",
            "[HEADER].Set-Cookie != regex(.*)",
            "[HEADER].Content-Type == regex(^text/)",
        ]
    );
    let Probe::Http(probe) = module.probe("shop.example/x", Some("shop.example:8443")) else {
        panic!("not HTTP")
    };
    assert_eq!((probe.url.as_str(), probe.method.as_str()), ("http://shop.example/x", "POST"));
    assert_eq!(probe.expected_status, ["200", "204"]);
    let host = ("Host".to_owned(), "shop.example:8443".to_owned());
    assert_eq!(probe.headers, [("Accept-Language".to_owned(), "en".to_owned()), host]);
    assert!(!probe.follow_redirects && probe.tls.skip_verification);
    assert_eq!(probe.tls.server_name.as_deref(), Some("inner.example"), "it is configured");
    assert_eq!(probe.connect.family, IpFamily::V4);
}

#[test]
fn modules_of_the_other_probers_are_read() {
    let tcp = module(json!({ "prober": "tcp", "tcp": {
        "query_response": [{ "expect": "^220 " }, { "send": "EHLO prober\r" }, { "starttls": true }],
    }}));
    let Probe::Tcp(tcp) = tcp.expect("tcp").probe("mail.example:25", None) else { panic!("not TCP") };
    assert_eq!(tcp.address, "mail.example:25");
    let sent: Vec<_> = tcp.conversation.iter().map(|step| (step.send.as_deref(), step.starttls)).collect();
    assert_eq!(sent, [(None, false), (Some("EHLO prober"), false), (None, true)]);
    let later = module(json!({ "prober": "tcp", "tcp": {
        "query_response": [{ "starttls": true }], "tls_config": { "insecure_skip_verify": true },
    }}));
    let Probe::Tcp(later) = later.expect("tcp").probe("10.0.0.1:25", Some("mail.example")) else {
        panic!("not TCP")
    };
    let options = later.tls.expect("options of TLS");
    assert!(options.skip_verification && options.server_name.as_deref() == Some("mail.example"));

    let icmp = module(json!({ "prober": "icmp", "icmp": { "payload_size": 64 } }));
    let Probe::Icmp(icmp) = icmp.expect("icmp").probe("192.0.2.1", None) else { panic!("not ICMP") };
    assert_eq!((icmp.host.as_str(), icmp.payload_bytes), ("192.0.2.1", 64));

    let dns = module(json!({ "prober": "dns", "dns": {
        "query_name": "shop.example", "query_type": "SOA", "transport_protocol": "tcp", "dns_over_tls": true,
    }}));
    let Probe::Dns(dns) = dns.expect("dns").probe("ns.example", Some("dot.example")) else {
        panic!("not DNS")
    };
    assert_eq!((dns.server.as_deref(), dns.transport), (Some("ns.example"), DnsTransport::Tls));
    assert_eq!((dns.rcodes, dns.tls.server_name), (vec!["NOERROR".to_owned()], Some("dot.example".into())));

    let grpc = module(json!({ "prober": "grpc", "grpc": { "service": "shop.v1", "tls": true } }));
    let Probe::Grpc(grpc) = grpc.expect("grpc").probe("a.example:443", Some("b.example")) else {
        panic!("not gRPC")
    };
    assert_eq!(grpc.tls.and_then(|tls| tls.server_name).as_deref(), Some("b.example"));

    let socket = module(json!({ "prober": "websocket" })).expect("websocket");
    assert!(
        matches!(socket.probe("wss://a.example/", None), Probe::WebSocket(probe) if probe.url == "wss://a.example/")
    );
}

#[test]
fn what_cannot_be_done_is_refused_by_its_name() {
    for (config, told) in [
        (json!({ "prober": "unix" }), "unix"),
        (json!({ "prober": "http", "http": { "proxy_url": "http://a/" } }), "proxy_url"),
        (json!({ "prober": "http", "timeout": "soon" }), "modules.m.timeout: `soon`"),
        (json!({ "prober": "http", "http": { "valid_status_codes": [42] } }), "valid_status_codes: `42`"),
        (json!({ "prober": "http", "http": { "fail_if_body_matches_regexp": ["("] } }), "not valid"),
        (
            json!({ "prober": "http", "http": { "fail_if_ssl": true, "fail_if_not_ssl": true } }),
            "fail_if_ssl",
        ),
        (json!({ "prober": "tcp", "tcp": { "query_response": [{ "send": "PONG ${1}" }] } }), "[0].send"),
        (json!({ "prober": "tcp", "tcp": { "tls_config": { "server_name": "a" } } }), "tls: true"),
        (
            json!({ "prober": "tcp", "tcp": { "tls": true, "query_response": [{ "starttls": true }] } }),
            "leave one",
        ),
        (json!({ "prober": "tcp", "tcp": { "tls": true, "tls_config": { "ca_file": "/no/ca" } } }), "/no/ca"),
        (json!({ "prober": "icmp", "icmp": { "payload_size": 70_000 } }), "payload_size"),
        (json!({ "prober": "icmp", "icmp": { "ttl": 5 } }), "ttl"),
        (json!({ "prober": "dns", "dns": { "query_name": "a.example" } }), "dns.query_type"),
        (
            json!({ "prober": "dns", "dns": { "query_name": "a", "query_type": "A", "dns_over_tls": true } }),
            "transport_protocol",
        ),
    ] {
        let error = module(config.clone()).err().unwrap_or_default();
        assert!(error.contains(told), "{config}: {error}");
    }
}

#[test]
fn tls_and_the_version_of_http_are_judged() {
    let judged = |http: Value, version: http::Version| {
        let module = module(json!({ "prober": "http", "http": http })).expect("a module");
        let mut outcome = Outcome { ok: true, ..Outcome::default() };
        outcome.seen.http_version = Some(version);
        module.judge(&mut outcome);
        (outcome.ok, outcome.message.unwrap_or_default())
    };
    let old = json!({ "valid_http_versions": ["HTTP/1.1"] });
    assert_eq!(judged(old.clone(), http::Version::HTTP_11), (true, String::new()));
    let told = "the answer is HTTP/2.0, expected HTTP/1.1".to_owned();
    assert_eq!(judged(old, http::Version::HTTP_2), (false, told));
    let told = "the answer came without TLS".to_owned();
    assert_eq!(judged(json!({ "fail_if_not_ssl": true }), http::Version::HTTP_11), (false, told));
    assert!(judged(json!({ "fail_if_ssl": true }), http::Version::HTTP_11).0);
}
