//! The ICMP probe: echo requests over a datagram socket, which needs no privilege
//! where the kernel lets the process's group have it.

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
    let ip = tools.address(&probe.host, probe.connect, seen).await?;
    let socket = open(ip).map_err(|error| match error.kind() {
        io::ErrorKind::PermissionDenied => {
            "the kernel does not let this process send echo requests: widen net.ipv4.ping_group_range to its group"
                .into()
        }
        _ => describe_io(&error),
    })?;
    seen.enter(Stage::Processing);
    let (request, reply) = if ip.is_ipv4() { V4 } else { V6 };
    let first: u16 = rand::random();
    for number in 0..probe.count.max(1) {
        // Wraps as the counter of the protocol does.
        let sequence = first.wrapping_add(u16::try_from(number).unwrap_or_default());
        let message = echo(request, sequence, probe.payload_bytes);
        socket.send_to(&message, SocketAddr::new(ip, 0)).await.map_err(|error| describe_io(&error))?;
        let last = number + 1 >= probe.count.max(1);
        let answered = answer(&socket, ip, reply, first, sequence);
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

fn open(ip: IpAddr) -> io::Result<UdpSocket> {
    let (domain, protocol) = match ip {
        IpAddr::V4(_) => (Domain::IPV4, Protocol::ICMPV4),
        IpAddr::V6(_) => (Domain::IPV6, Protocol::ICMPV6),
    };
    let socket = Socket::new(domain, Type::DGRAM, Some(protocol))?;
    socket.set_nonblocking(true)?;
    // A datagram is a datagram: what differs is in the kernel.
    UdpSocket::from_std(socket.into())
}

/// Waits for a reply to any request of this check.
async fn answer(socket: &UdpSocket, ip: IpAddr, reply: u8, first: u16, last: u16) -> io::Result<()> {
    let mut buffer = vec![0; MAX_ANSWER];
    loop {
        let (length, from) = socket.recv_from(&mut buffer).await?;
        let sequence = match &buffer[..length] {
            [kind, 0, _, _, _, _, high, low, ..] if *kind == reply => u16::from_be_bytes([*high, *low]),
            _ => continue,
        };
        if from.ip() == ip && sequence.wrapping_sub(first) <= last.wrapping_sub(first) {
            return Ok(());
        }
    }
}

/// An echo request; the kernel sets its identifier, and with ICMPv6 its checksum.
fn echo(kind: u8, sequence: u16, payload: u32) -> Vec<u8> {
    let mut message = vec![kind, 0, 0, 0, 0, 0];
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
mod tests {
    use super::*;

    #[test]
    fn a_message_with_its_checksum_sums_up_to_nothing() {
        let message = echo(8, 0x1234, 13);
        assert_eq!(message.len(), 8 + 13);
        assert_eq!(checksum(&message), 0);
    }
}
