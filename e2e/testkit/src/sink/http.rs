//! An HTTP/1.1 server that remembers every request and answers as it is told to.

use std::{
    collections::{BTreeMap, VecDeque},
    io::{BufRead, BufReader, Read, Write},
    net::TcpStream,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use anyhow::{Context, Result};

use super::Server;

/// A request that was taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Taken {
    /// Method.
    pub method: String,
    /// Path and query.
    pub path: String,
    /// Headers, names in lower case.
    pub headers: BTreeMap<String, String>,
    /// Body.
    pub body: String,
    /// Status that it was answered with.
    pub status: u16,
}

impl Taken {
    /// The body as JSON, null where it is none.
    #[must_use]
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.body).unwrap_or_default()
    }
}

/// What a request is answered with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// Status.
    pub status: u16,
    /// Further headers, each with its line end.
    pub headers: String,
    /// Body.
    pub body: String,
    /// Time between taking the request and answering.
    pub after: Duration,
}

impl Answer {
    /// An empty answer of this status, at once.
    #[must_use]
    pub fn status(status: u16) -> Self {
        Self { status, headers: String::new(), body: String::new(), after: Duration::ZERO }
    }
}

#[derive(Debug)]
struct Shared {
    taken: Mutex<Vec<Taken>>,
    next: Mutex<VecDeque<Answer>>,
    usual: Mutex<Answer>,
}

/// A running sink. Ends when dropped.
#[derive(Debug)]
pub struct HttpSink {
    server: Server,
    shared: Arc<Shared>,
}

impl HttpSink {
    /// Starts one that answers 200 with `ok` as body.
    ///
    /// # Errors
    /// When no port is free.
    pub fn start() -> Result<Self> {
        let usual = Answer { body: "ok".into(), ..Answer::status(200) };
        let shared =
            Arc::new(Shared { taken: Mutex::default(), next: Mutex::default(), usual: Mutex::new(usual) });
        let served = Arc::clone(&shared);
        let server = Server::start(move |stream| {
            // A client that goes away in between is not the sink's concern.
            let _ = serve(&stream, &served);
        })?;
        Ok(Self { server, shared })
    }

    /// Its base URL, without a slash at the end.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.server.address)
    }

    /// What it has taken, oldest first.
    #[must_use]
    pub fn taken(&self) -> Vec<Taken> {
        lock(&self.shared.taken).clone()
    }

    /// Answers the next request, after those told before, with this.
    pub fn answer_next(&self, answer: Answer) {
        lock(&self.shared.next).push_back(answer);
    }

    /// Answers all others with this.
    pub fn answer(&self, answer: Answer) {
        *lock(&self.shared.usual) = answer;
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn serve(stream: &TcpStream, shared: &Shared) -> Result<()> {
    let mut reader = BufReader::new(stream);
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 {
            return Ok(());
        }
        let mut words = line.split_whitespace();
        let (method, path) =
            (words.next().context("method")?.to_owned(), words.next().context("path")?.to_owned());
        let mut headers = BTreeMap::new();
        loop {
            let mut line = String::new();
            reader.read_line(&mut line)?;
            let Some((name, value)) = line.trim_end().split_once(':') else { break };
            headers.insert(name.to_ascii_lowercase(), value.trim().to_owned());
        }
        let length = headers.get("content-length").map_or(Ok(0), |length| length.parse())?;
        let mut body = vec![0; length];
        reader.read_exact(&mut body)?;
        let answer = lock(&shared.next).pop_front().unwrap_or_else(|| lock(&shared.usual).clone());
        // Whole as it is now, it counts as taken, whatever becomes of the answer.
        lock(&shared.taken).push(Taken {
            method,
            path,
            headers,
            body: String::from_utf8_lossy(&body).into_owned(),
            status: answer.status,
        });
        std::thread::sleep(answer.after);
        let Answer { status, headers, body, .. } = answer;
        let mut stream = stream;
        write!(stream, "HTTP/1.1 {status} Told\r\ncontent-length: {}\r\n{headers}\r\n{body}", body.len())?;
        stream.flush()?;
    }
}
