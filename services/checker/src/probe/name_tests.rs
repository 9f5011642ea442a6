//! Every type of DNS record, and names that the system's own servers know.

use std::net::Ipv6Addr;
use std::time::Duration;

use hickory_resolver::proto::rr::rdata::{A, AAAA, CAA, CNAME, MX, NS, PTR, SOA, SRV, TXT};
use hickory_resolver::proto::rr::{Name, RData, RecordType};
use watchkeeper_store::{
    Assertion, ConnectOptions, DnsProbe, DnsTransport, HttpProbe, IpFamily, Probe, Severity, TcpProbe,
    TlsOptions,
};

use super::Probers;
use super::testing::{ask, in_own_network, listen, message, name_server};
use crate::Outcome;
use crate::exposition::samples;
use crate::guard::{GuardRules, Trust};

const TIMEOUT: Duration = Duration::from_secs(5);

fn name(text: &str) -> Name {
    Name::from_ascii(text).expect("a name")
}

/// One record of each type, as the zone of `all.test` has them.
fn zone(asked: &str, kind: RecordType) -> Option<Vec<RData>> {
    let found = match (asked, kind) {
        ("all.test.", RecordType::A) => RData::A(A::new(192, 0, 2, 1)),
        ("all.test.", RecordType::AAAA) => RData::AAAA(AAAA(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1))),
        ("www.all.test.", RecordType::CNAME) => RData::CNAME(CNAME(name("all.test."))),
        ("all.test.", RecordType::MX) => RData::MX(MX::new(10, name("mail.all.test."))),
        ("all.test.", RecordType::NS) => RData::NS(NS(name("ns1.all.test."))),
        ("all.test.", RecordType::TXT) => {
            RData::TXT(TXT::new(vec!["v=spf1 include:".into(), "all.test -all".into()]))
        }
        ("_sip._tcp.all.test.", RecordType::SRV) => RData::SRV(SRV::new(1, 2, 5060, name("sip.all.test."))),
        ("1.2.0.192.in-addr.arpa.", RecordType::PTR) => RData::PTR(PTR(name("all.test."))),
        ("all.test.", RecordType::SOA) => {
            RData::SOA(SOA::new(name("ns1.all.test."), name("admin.all.test."), 2_026_113_001, 2, 3, 4, 5))
        }
        ("all.test.", RecordType::CAA) => {
            RData::CAA(CAA::new_issue(false, Some(name("ca.test")), Vec::new()))
        }
        ("here.test.", RecordType::A) => RData::A(A::new(127, 0, 0, 1)),
        _ => return Some(Vec::new()),
    };
    Some(vec![found])
}

fn dns(server: Option<String>, name: &str, record_type: &str, expected: &[&str]) -> Probe {
    Probe::Dns(DnsProbe {
        server,
        transport: DnsTransport::Udp,
        name: name.into(),
        record_type: record_type.into(),
        expected: expected.iter().map(|text| (*text).to_owned()).collect(),
        exact: !expected.is_empty(),
        rcodes: Vec::new(),
        tls: TlsOptions::default(),
        connect: ConnectOptions::default(),
    })
}

/// Each type: the name, the record as it is expected, and as an assertion sees it.
const RECORDS: [(&str, &str, &str, &str); 10] = [
    ("A", "all.test", "192.0.2.1", "192.0.2.1"),
    ("AAAA", "all.test", "2001:DB8::1", "2001:db8::1"),
    ("CNAME", "www.all.test", "all.test", "all.test."),
    ("MX", "all.test", "10 mail.all.test", "10 mail.all.test."),
    ("NS", "all.test", "ns1.all.test", "ns1.all.test."),
    ("TXT", "all.test", "v=spf1 include:all.test -all", "v=spf1 include:all.test -all"),
    ("SRV", "_sip._tcp.all.test", "1 2 5060 sip.all.test", "1 2 5060 sip.all.test."),
    ("PTR", "192.0.2.1", "all.test", "all.test."),
    (
        "SOA",
        "all.test",
        "ns1.all.test. admin.all.test. 2026113001 2 3 4 5",
        "ns1.all.test. admin.all.test. 2026113001 2 3 4 5",
    ),
    ("CAA", "all.test", "0 issue \"ca.test\"", "0 issue \"ca.test\""),
];

#[tokio::test]
async fn records_of_every_type_are_compared_and_asserted() {
    let at = name_server("127.0.0.1:0", Duration::ZERO, zone).await.to_string();
    for (kind, name, expected, seen) in RECORDS {
        let condition = format!("[BODY] == lit({})", serde_json::Value::from(seen));
        let probe = dns(Some(at.clone()), name, kind, &[expected]);
        let outcome = ask(&probe, &[&condition], TIMEOUT).await;
        assert!(outcome.ok, "{kind}: {outcome:?}");
        let other = ask(&dns(Some(at.clone()), name, kind, &["other"]), &[], TIMEOUT).await;
        let told = format!("the answer is {seen}, expected other");
        assert_eq!((other.ok, message(&other)), (false, told.as_str()), "{kind}");
        let none = ask(&dns(Some(at.clone()), "none.all.test", kind, &[]), &[], TIMEOUT).await;
        assert_eq!(message(&none), format!("the name has no {kind} record"));
    }
    let probe = dns(Some(at), "all.test", "SOA", &[]);
    let outcome = ask(&probe, &[], TIMEOUT).await;
    assert_eq!(message(&outcome), "", "nothing is expected but a record");
}

async fn by_the_system(probers: &Probers, probe: &Probe, condition: &str) -> Outcome {
    let assertion = Assertion { condition: condition.into(), severity: Severity::Down };
    probers.probe(Trust::Operator, "", probe, &[assertion], TIMEOUT).await
}

#[tokio::test]
async fn without_a_server_the_systems_own_is_asked() {
    let test = "probe::name_tests::without_a_server_the_systems_own_is_asked";
    let setup = "file=$(mktemp)
        echo 'nameserver 127.0.0.1' > \"$file\"
        mount --bind \"$file\" /etc/resolv.conf
        rm \"$file\"";
    if !in_own_network(test, setup) {
        return;
    }
    name_server("127.0.0.1:53", Duration::ZERO, zone).await;
    let probers = Probers::new(GuardRules::default(), None).expect("probers");
    let probe = dns(None, "all.test", "A", &["192.0.2.1"]);
    let outcome = by_the_system(&probers, &probe, "[IP] == 127.0.0.1").await;
    assert!(outcome.ok, "{outcome:?}");
    let asked = samples(&probe, &outcome);
    assert!(asked.iter().any(|sample| sample.name == "probe_ip_protocol" && sample.value == 4.0));

    // Names of other probes come from there as well.
    let (listener, port) = listen().await;
    tokio::spawn(async move { while listener.accept().await.is_ok() {} });
    let tcp = |host: &str, family| {
        let (address, connect) = (format!("{host}:{port}"), ConnectOptions { family, ..Default::default() });
        Probe::Tcp(TcpProbe { address, conversation: Vec::new(), starttls: None, tls: None, connect })
    };
    let outcome = by_the_system(&probers, &tcp("here.test", IpFamily::Any), "[IP] == 127.0.0.1").await;
    assert!(outcome.ok, "{outcome:?}");
    let outcome = by_the_system(&probers, &tcp("here.test", IpFamily::V6), "[CONNECTED] == true").await;
    assert_eq!(message(&outcome), "the name has no IPv6 address");
    let nowhere = Probe::Http(HttpProbe::new("http://none.all.test/"));
    let outcome = by_the_system(&probers, &nowhere, "[STATUS] == 200").await;
    assert_eq!(message(&outcome), "the name cannot be resolved");
}
