//! The DNS probe: one question to one server, and a verdict on its answers.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use hickory_resolver::proto::op::{Message, MessageType, OpCode, Query, ResponseCode};
use hickory_resolver::proto::rr::{Name, RData, RecordType};
use hickory_resolver::system_conf::read_system_conf;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UdpSocket;
use watchkeeper_assertions::Subject;
use watchkeeper_store::{DnsProbe, DnsTransport};

use super::describe::describe_io;
use super::dial::{Io, Tools, host_port};
use super::judge::Judge;
use super::seen::{DnsSeen, Seen, Stage};

/// Largest message over UDP, bytes.
const MAX_DATAGRAM: usize = 4_096;

/// Asks, and compares the answers with what is expected.
///
/// # Errors
/// A sentence that says what went wrong.
pub(super) async fn probe(
    tools: &Tools,
    probe: &DnsProbe,
    assertions: &Judge,
    seen: &mut Seen,
) -> Result<(), String> {
    let (question, bytes) = question(probe)?;
    let server = server(tools, probe, seen).await?;
    let answer = ask(tools, probe, &question, &bytes, server, seen).await?;
    seen.connected = true;
    let records: Vec<String> = answer
        .answers
        .iter()
        .filter(|record| record.record_type() == question.queries[0].query_type)
        .map(|record| text(&record.data))
        .collect();
    let rcode = code(answer.metadata.response_code);
    seen.dns = Some(DnsSeen {
        rcode: rcode.clone(),
        answers: answer.answers.len(),
        authorities: answer.authorities.len(),
        additionals: answer.additionals.len(),
        serial: answer.answers.iter().find_map(|record| match &record.data {
            RData::SOA(soa) => Some(soa.serial),
            _ => None,
        }),
    });
    seen.body = records.join("\n").into_bytes();
    // An assertion on the response code takes the place of the default.
    if probe.rcodes.is_empty() && assertions.decides(Subject::DnsRcode) {
        return Ok(());
    }
    judge(probe, &rcode, &records)
}

fn judge(probe: &DnsProbe, rcode: &str, records: &[String]) -> Result<(), String> {
    let good = |wanted: &String| wanted.eq_ignore_ascii_case(rcode);
    if probe.rcodes.is_empty() && rcode != "NOERROR"
        || !probe.rcodes.is_empty() && !probe.rcodes.iter().any(good)
    {
        let wanted = if probe.rcodes.is_empty() { "NOERROR".into() } else { probe.rcodes.join(", ") };
        return Err(format!("the server answered {rcode}, expected {wanted}"));
    }
    // Whoever expects an error expects no records with it.
    if probe.rcodes.is_empty() && records.is_empty() {
        return Err(format!("the name has no {} record", probe.record_type));
    }
    let plain = |text: &str| text.trim_end_matches('.').to_ascii_lowercase();
    let found: Vec<String> = records.iter().map(|record| plain(record)).collect();
    for wanted in &probe.expected {
        if !found.contains(&plain(wanted)) {
            return Err(format!("the answer is {}, expected {wanted}", list(records)));
        }
    }
    let expected = |record: &String| probe.expected.iter().any(|wanted| plain(wanted) == *record);
    if probe.exact && !found.iter().all(expected) {
        return Err(format!("the answer is {}, expected {} alone", list(records), probe.expected.join(", ")));
    }
    Ok(())
}

fn list(records: &[String]) -> String {
    let shown = records.join(", ");
    if shown.is_empty() { "empty".into() } else { super::describe::shorten(&shown).to_owned() }
}

/// The question, as a message and on the wire.
fn question(probe: &DnsProbe) -> Result<(Message, Vec<u8>), String> {
    let record_type: RecordType = probe
        .record_type
        .to_ascii_uppercase()
        .parse()
        .map_err(|_| format!("`{}` is not a type of DNS record", probe.record_type))?;
    let name = match (probe.name.parse::<IpAddr>(), record_type) {
        (Ok(ip), RecordType::PTR) => Name::from(ip),
        _ => Name::from_utf8(&probe.name).map_err(|_| format!("`{}` is not a DNS name", probe.name))?,
    };
    let mut name = name;
    name.set_fqdn(true);
    let mut message = Message::new(rand::random(), MessageType::Query, OpCode::Query);
    message.metadata.recursion_desired = true;
    message.add_query(Query::query(name, record_type));
    let bytes = message.to_vec().map_err(|_| format!("`{}` is too long for a DNS name", probe.name))?;
    Ok((message, bytes))
}

/// Address of the server, and the name that its certificate must have.
struct Server {
    address: SocketAddr,
    host: String,
}

async fn server(tools: &Tools, probe: &DnsProbe, seen: &mut Seen) -> Result<Server, String> {
    let port = if probe.transport == DnsTransport::Tls { 853 } else { 53 };
    let Some(server) = &probe.server else {
        // The system's own server is trusted, wherever it is.
        let (config, _) =
            read_system_conf().map_err(|_| "the system names no DNS server; name one".to_owned())?;
        let ip = config.name_servers().first().ok_or("the system names no DNS server; name one")?.ip;
        seen.ip = Some(ip);
        return Ok(Server { address: SocketAddr::new(ip, port), host: ip.to_string() });
    };
    let (host, port) = host_port(server, Some(port))?;
    let ip = tools.address(host, probe.connect, seen).await?;
    Ok(Server { address: SocketAddr::new(ip, port), host: host.to_owned() })
}

async fn ask(
    tools: &Tools,
    probe: &DnsProbe,
    question: &Message,
    bytes: &[u8],
    server: Server,
    seen: &mut Seen,
) -> Result<Message, String> {
    if probe.transport == DnsTransport::Udp {
        seen.enter(Stage::Processing);
        let answer = over_udp(question, bytes, server.address).await?;
        if !answer.metadata.truncation {
            return Ok(answer);
        }
    }
    seen.enter(Stage::Connect);
    let stream = tokio::net::TcpStream::connect(server.address).await.map_err(|error| describe_io(&error))?;
    if probe.transport != DnsTransport::Tls {
        return over_stream(stream, question, bytes, seen).await;
    }
    let stream = tools.trusted.shake(stream, &server.host, &probe.tls, &["dot"], seen).await?;
    over_stream(stream, question, bytes, seen).await
}

async fn over_udp(question: &Message, bytes: &[u8], server: SocketAddr) -> Result<Message, String> {
    let any: IpAddr =
        if server.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    let told = |error: std::io::Error| describe_io(&error);
    let socket = UdpSocket::bind((any, 0)).await.map_err(told)?;
    // Connected, the socket takes datagrams of the server alone.
    socket.connect(server).await.map_err(told)?;
    socket.send(bytes).await.map_err(told)?;
    let mut buffer = vec![0; MAX_DATAGRAM];
    loop {
        let length = socket.recv(&mut buffer).await.map_err(told)?;
        // What does not answer this question is noise, or somebody who guesses.
        if let Some(answer) = answer_to(question, &buffer[..length]) {
            return Ok(answer);
        }
    }
}

async fn over_stream<S: Io>(
    mut stream: S,
    question: &Message,
    bytes: &[u8],
    seen: &mut Seen,
) -> Result<Message, String> {
    seen.enter(Stage::Processing);
    let told = |error: std::io::Error| describe_io(&error);
    let length = u16::try_from(bytes.len()).map_err(|_| "the question is too long".to_owned())?;
    let mut framed = length.to_be_bytes().to_vec();
    framed.extend_from_slice(bytes);
    stream.write_all(&framed).await.map_err(told)?;
    stream.flush().await.map_err(told)?;
    let length = stream.read_u16().await.map_err(told)?;
    let mut buffer = vec![0; length.into()];
    stream.read_exact(&mut buffer).await.map_err(told)?;
    answer_to(question, &buffer).ok_or_else(|| "the server's answer is not one to this question".into())
}

fn answer_to(question: &Message, bytes: &[u8]) -> Option<Message> {
    let answer = Message::from_vec(bytes).ok()?;
    let same = answer.metadata.id == question.metadata.id
        && answer.metadata.message_type == MessageType::Response
        && (answer.queries.is_empty() || answer.queries[0].query_type == question.queries[0].query_type);
    same.then_some(answer)
}

/// A record's data as text; strings without quotes.
fn text(data: &RData) -> String {
    match data {
        RData::TXT(txt) => {
            txt.txt_data.iter().map(|part| String::from_utf8_lossy(part).into_owned()).collect()
        }
        other => other.to_string(),
    }
}

/// The mnemonic of a response code (RFC 1035, RFC 2136).
fn code(code: ResponseCode) -> String {
    match code {
        ResponseCode::NoError => "NOERROR",
        ResponseCode::FormErr => "FORMERR",
        ResponseCode::ServFail => "SERVFAIL",
        ResponseCode::NXDomain => "NXDOMAIN",
        ResponseCode::NotImp => "NOTIMP",
        ResponseCode::Refused => "REFUSED",
        ResponseCode::YXDomain => "YXDOMAIN",
        ResponseCode::YXRRSet => "YXRRSET",
        ResponseCode::NXRRSet => "NXRRSET",
        ResponseCode::NotAuth => "NOTAUTH",
        ResponseCode::NotZone => "NOTZONE",
        other => return format!("RCODE{}", u16::from(other)),
    }
    .to_owned()
}

#[cfg(test)]
#[path = "dns_tests.rs"]
mod tests;
