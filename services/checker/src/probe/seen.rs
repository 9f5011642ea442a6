//! What a probe sees while it runs: kept as it goes, so that a probe that is cut
//! off by its timeout still tells how far it came.

use std::net::IpAddr;
use std::time::Duration;

use http::HeaderMap;
use tokio::time::Instant;
use watchkeeper_store::Phases;

use super::certificate::Chain;

/// How far a probe has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Stage {
    #[default]
    Resolve,
    Connect,
    Tls,
    Processing,
    Transfer,
}

impl Stage {
    /// What had not come when the time was up.
    pub fn overdue(self, timeout: Duration) -> String {
        let what = match self {
            Self::Resolve => "the name was not resolved",
            Self::Connect => "no connection",
            Self::Tls => "no TLS handshake",
            Self::Processing => "no answer",
            Self::Transfer => "the answer did not end",
        };
        format!("{what} within {timeout:?}")
    }
}

/// Names of the states of a gRPC service, by number.
pub(crate) const SERVING_STATES: [&str; 4] = ["UNKNOWN", "SERVING", "NOT_SERVING", "SERVICE_UNKNOWN"];

/// What a probe has seen so far.
#[derive(Clone, Debug, Default)]
pub(crate) struct Seen {
    pub stage: Stage,
    since: Option<Instant>,
    times: [Duration; 5],
    pub connected: bool,
    pub ip: Option<IpAddr>,
    pub status: Option<u16>,
    /// Time to the head of the answer, where there is one.
    pub answered: Option<Duration>,
    pub http_version: Option<http::Version>,
    pub redirects: u32,
    pub headers: HeaderMap,
    pub body: Vec<u8>,
    pub body_cut: bool,
    /// Bytes of the body that were read.
    pub body_bytes: usize,
    /// Version of TLS, and the cipher suite as IANA names it.
    pub tls: Option<&'static str>,
    pub cipher: Option<String>,
    pub chain: Option<Chain>,
    pub dns: Option<DnsSeen>,
    pub grpc_status: Option<u32>,
    /// State of a gRPC service, one of [`SERVING_STATES`].
    pub serving: Option<&'static str>,
    /// Time until the registration of the target's domain ends, milliseconds, or why nobody knows.
    pub domain: Option<Result<i64, String>>,
    /// Whether an expectation written as a regular expression was not met.
    pub regex_failed: bool,
}

/// What a DNS server answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct DnsSeen {
    pub rcode: String,
    pub answers: usize,
    pub authorities: usize,
    pub additionals: usize,
    pub serial: Option<u32>,
}

impl Seen {
    /// Enters a stage; the time of the one before is counted.
    pub fn enter(&mut self, stage: Stage) {
        let now = Instant::now();
        if let Some(since) = self.since.replace(now) {
            self.times[self.stage as usize] += now - since;
        }
        self.stage = stage;
    }

    /// Ends the last stage.
    pub fn end(&mut self) {
        self.enter(self.stage);
        self.since = None;
    }

    /// Lets go of what only assertions need.
    pub fn forget_content(&mut self) {
        self.body_bytes = self.body.len();
        self.body = Vec::new();
    }

    /// Time that one stage took so far, all redirects together.
    pub fn time(&self, stage: Stage) -> Duration {
        self.times[stage as usize]
    }

    /// Time of all stages so far.
    pub fn total(&self) -> Duration {
        self.times.iter().sum()
    }

    pub fn phases(&self) -> Phases {
        let us = |stage| i64::try_from(self.time(stage).as_micros()).unwrap_or(i64::MAX);
        Phases {
            resolve_us: us(Stage::Resolve),
            connect_us: us(Stage::Connect),
            tls_us: us(Stage::Tls),
            processing_us: us(Stage::Processing),
            transfer_us: us(Stage::Transfer),
        }
    }
}
