//! A DNS server for reverse lookups, on the loopback interface, which answers as it is told to and
//! remembers what it was asked.

use std::{
    collections::{BTreeMap, HashMap},
    io::ErrorKind,
    net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread::JoinHandle,
    time::Duration,
};

use anyhow::Result;

const NO_ERROR: u8 = 0;
const SERVER_FAILURE: u8 = 2;
const NO_SUCH_NAME: u8 = 3;
const PTR: u16 = 12;

/// What the server says about an address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply {
    /// This host name.
    Name(String),
    /// That it has none (NXDOMAIN), as for every address it was told nothing about.
    None,
    /// That it failed (SERVFAIL).
    Failure,
    /// Nothing at all.
    Silence,
}

#[derive(Debug, Default)]
struct Shared {
    replies: Mutex<HashMap<IpAddr, Reply>>,
    asked: Mutex<BTreeMap<String, usize>>,
    stop: AtomicBool,
}

/// A running server. Ends when dropped.
#[derive(Debug)]
pub struct Dns {
    address: SocketAddr,
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

impl Dns {
    /// Starts a server that knows no name yet.
    ///
    /// # Errors
    /// When no port is free.
    pub fn start() -> Result<Self> {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
        // So that it notices that it is to end.
        socket.set_read_timeout(Some(Duration::from_millis(50)))?;
        let (address, shared) = (socket.local_addr()?, Arc::<Shared>::default());
        let thread = std::thread::spawn({
            let shared = Arc::clone(&shared);
            move || serve(&socket, &shared)
        });
        Ok(Self { address, shared, thread: Some(thread) })
    }

    /// Its address.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Tells it what to say about an IPv4 address.
    pub fn say(&self, ip: [u8; 4], reply: Reply) {
        self.shared.replies.lock().unwrap_or_else(PoisonError::into_inner).insert(ip.into(), reply);
    }

    /// How often each name was asked for, as `1.0.0.127.in-addr.arpa`.
    #[must_use]
    pub fn asked(&self) -> BTreeMap<String, usize> {
        self.shared.asked.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for Dns {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn serve(socket: &UdpSocket, shared: &Shared) {
    let mut buffer = [0; 1_500];
    while !shared.stop.load(Ordering::Relaxed) {
        match socket.recv_from(&mut buffer) {
            Ok((length, client)) => {
                if let Some(answer) = answer(&buffer[..length], shared) {
                    let _ = socket.send_to(&answer, client);
                }
            }
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
            Err(_) => return,
        }
    }
}

/// The answer to a question, if there is to be one.
fn answer(query: &[u8], shared: &Shared) -> Option<Vec<u8>> {
    let (name, end) = question_name(query)?;
    let question = query.get(12..end + 4)?;
    let kind = u16::from_be_bytes([*query.get(end)?, *query.get(end + 1)?]);
    *shared.asked.lock().unwrap_or_else(PoisonError::into_inner).entry(name.clone()).or_default() += 1;
    let known = shared.replies.lock().unwrap_or_else(PoisonError::into_inner);
    let reply = address(&name).and_then(|ip| known.get(&ip).cloned()).unwrap_or(Reply::None);
    let (code, host) = match reply {
        Reply::Silence => return None,
        Reply::Failure => (SERVER_FAILURE, None),
        Reply::Name(host) if kind == PTR => (NO_ERROR, Some(host)),
        Reply::Name(_) | Reply::None => (NO_SUCH_NAME, None),
    };
    let mut answer = query.get(..2)?.to_vec();
    // A response, to a recursive question, from a server that recurses.
    answer.extend([0x81, 0x80 | code, 0, 1, 0, u8::from(host.is_some()), 0, 0, 0, 0]);
    answer.extend(question);
    if let Some(host) = host {
        let mut data = Vec::new();
        for label in host.split('.') {
            data.push(u8::try_from(label.len()).ok()?);
            data.extend(label.as_bytes());
        }
        data.push(0);
        // The name of the question, PTR, IN, five minutes.
        answer.extend([0xc0, 12, 0, 12, 0, 1, 0, 0, 1, 44]);
        answer.extend(u16::try_from(data.len()).ok()?.to_be_bytes());
        answer.extend(data);
    }
    Some(answer)
}

/// The name of a message's first question, lower case, and where it ends.
fn question_name(message: &[u8]) -> Option<(String, usize)> {
    let (mut labels, mut at) = (Vec::new(), 12);
    loop {
        let length = usize::from(*message.get(at)?);
        if length == 0 {
            return Some((labels.join("."), at + 1));
        }
        let label = message.get(at + 1..at + 1 + length)?;
        labels.push(String::from_utf8_lossy(label).to_ascii_lowercase());
        at += 1 + length;
    }
}

/// The address of a reverse name of IPv4.
fn address(name: &str) -> Option<IpAddr> {
    let reversed: Vec<&str> = name.strip_suffix(".in-addr.arpa")?.split('.').rev().collect();
    reversed.join(".").parse().ok()
}
