//! The ICMP probe: echo requests over a datagram socket, which needs no privilege where the kernel lets
//! the process's group have it, or else over a raw one, which needs `CAP_NET_RAW`.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::UdpSocket;
use watchkeeper_store::IcmpProbe;

use super::describe::describe_io;
use super::dial::Tools;
use super::seen::{Seen, Stage};

/// Pause between two requests of one check.
const PAUSE: Duration = Duration::from_millis(200);

/// Largest answer read, bytes.
const MAX_ANSWER: usize = 66_000;

/// Types of messages: request and reply, of ICMP (RFC 792) and ICMPv6 (RFC 4443).
const V4: (u8, u8) = (8, 0);
const V6: (u8, u8) = (128, 129);

/// Sends requests until one is answered.
///
/// # Errors
/// A sentence that says what went wrong.
pub(super) async fn probe(tools: &Tools, probe: &IcmpProbe, seen: &mut Seen) -> Result<(), String> {
    let ip = tools.address(&probe.host, probe.connect, seen).await?.to_canonical();
    let echoes = Echoes::open(ip).map_err(|error| match error.kind() {
        io::ErrorKind::PermissionDenied => "the kernel does not let this process send echo requests: widen \
                                            net.ipv4.ping_group_range to its group, or give it CAP_NET_RAW"
            .into(),
        _ => describe_io(&error),
    })?;
    seen.enter(Stage::Connect);
    echoes.keep_to_host().await.map_err(|error| describe_io(&error))?;
    seen.enter(Stage::Processing);
    let first: u16 = rand::random();
    for number in 0..probe.count.max(1) {
        // Wraps as the counter of the protocol does.
        let sequence = first.wrapping_add(u16::try_from(number).unwrap_or_default());
        echoes.request(sequence, probe.payload_bytes).await.map_err(|error| describe_io(&error))?;
        let last = number + 1 >= probe.count.max(1);
        let answered = echoes.answer(first, sequence);
        let answered = if last {
            // The timeout of the check ends the last wait.
            answered.await
        } else {
            match tokio::time::timeout(PAUSE, answered).await {
                Ok(answered) => answered,
                Err(_) => continue,
            }
        };
        answered.map_err(|error| describe_io(&error))?;
        seen.connected = true;
        return Ok(());
    }
    Err("no echo reply".into())
}

/// A socket for the echoes of one host.
struct Echoes {
    socket: UdpSocket,
    ip: IpAddr,
    identifier: u16,
    /// Whether the kernel leaves it to us which replies are ours.
    is_raw: bool,
}

impl Echoes {
    fn open(ip: IpAddr) -> io::Result<Self> {
        let (domain, protocol) = match ip {
            IpAddr::V4(_) => (Domain::IPV4, Protocol::ICMPV4),
            IpAddr::V6(_) => (Domain::IPV6, Protocol::ICMPV6),
        };
        let (socket, is_raw) = match Socket::new(domain, Type::DGRAM, Some(protocol)) {
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                (Socket::new(domain, Type::RAW, Some(protocol))?, true)
            }
            socket => (socket?, false),
        };
        socket.set_nonblocking(true)?;
        // A datagram is a datagram: what differs is in the kernel.
        let socket = UdpSocket::from_std(socket.into())?;
        Ok(Self { socket, ip, identifier: rand::random(), is_raw })
    }

    /// A raw socket takes the messages of all hosts, unless it is connected to one.
    async fn keep_to_host(&self) -> io::Result<()> {
        if self.is_raw { self.socket.connect(SocketAddr::new(self.ip, 0)).await } else { Ok(()) }
    }

    async fn request(&self, sequence: u16, payload: u32) -> io::Result<()> {
        let (kind, _) = if self.ip.is_ipv4() { V4 } else { V6 };
        let message = echo(kind, self.identifier, sequence, payload);
        self.socket.send_to(&message, SocketAddr::new(self.ip, 0)).await.map(|_| ())
    }

    /// Waits for a reply to one of the requests with these sequence numbers.
    async fn answer(&self, first: u16, last: u16) -> io::Result<()> {
        let mut buffer = vec![0; MAX_ANSWER];
        loop {
            let (length, from) = self.socket.recv_from(&mut buffer).await?;
            let Some((identifier, sequence)) = self.reply(&buffer[..length]) else { continue };
            let ours = !self.is_raw || identifier == self.identifier;
            if ours && from.ip() == self.ip && sequence.wrapping_sub(first) <= last.wrapping_sub(first) {
                return Ok(());
            }
        }
    }

    /// Identifier and sequence number of an echo reply; nothing of any other message.
    fn reply(&self, bytes: &[u8]) -> Option<(u16, u16)> {
        let (_, wanted) = if self.ip.is_ipv4() { V4 } else { V6 };
        let message = match self.is_raw && self.ip.is_ipv4() {
            // This socket alone shows the header of IP, and what nobody has checked yet.
            true => {
                let header = usize::from(bytes.first()? & 0x0f) * 4;
                bytes.get(header..).filter(|message| checksum(message) == 0)?
            }
            false => bytes,
        };
        match message {
            [kind, 0, _, _, a, b, c, d, ..] if *kind == wanted => {
                Some((u16::from_be_bytes([*a, *b]), u16::from_be_bytes([*c, *d])))
            }
            _ => None,
        }
    }
}

/// An echo request. Of a datagram socket the kernel sets the identifier, and with ICMPv6 the checksum.
fn echo(kind: u8, identifier: u16, sequence: u16, payload: u32) -> Vec<u8> {
    let mut message = vec![kind, 0, 0, 0];
    message.extend_from_slice(&identifier.to_be_bytes());
    message.extend_from_slice(&sequence.to_be_bytes());
    message.extend((0..payload).map(|at| u8::try_from(at % 251).unwrap_or_default()));
    let sum = checksum(&message).to_be_bytes();
    message[2..4].copy_from_slice(&sum);
    message
}

/// The checksum of the internet (RFC 1071).
fn checksum(bytes: &[u8]) -> u16 {
    let mut sum: u32 = bytes
        .chunks(2)
        .map(|pair| u32::from(pair[0]) << 8 | u32::from(pair.get(1).copied().unwrap_or_default()))
        .sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !u16::try_from(sum).unwrap_or_default()
}

#[cfg(test)]
#[path = "icmp_tests.rs"]
mod tests;
