use super::*;

#[test]
fn an_address_is_asked_for_by_its_reverse_name() {
    let probe = DnsProbe {
        server: None,
        transport: DnsTransport::Udp,
        name: "192.0.2.1".into(),
        record_type: "ptr".into(),
        expected: Vec::new(),
        exact: false,
        rcodes: Vec::new(),
        tls: watchkeeper_store::TlsOptions::default(),
        connect: watchkeeper_store::ConnectOptions::default(),
    };
    let (message, bytes) = question(&probe).expect("a question");
    assert_eq!(message.queries[0].name.to_ascii(), "1.2.0.192.in-addr.arpa.");
    assert!(answer_to(&message, &bytes).is_none(), "a question is no answer to itself");
    let unknown = DnsProbe { record_type: "WHAT".into(), ..probe };
    assert_eq!(question(&unknown).map(|_| ()).expect_err("unknown"), "`WHAT` is not a type of DNS record");
}
