//! Hits as an API sees them: real user agents by their weights, few methods, many paths and
//! addresses, durations in microseconds.

use std::fmt::Write;
use std::net::Ipv4Addr;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use jiff::Timestamp;
use rand::{Rng, SeedableRng, rngs::StdRng};
use serde_json::{Value, json};
use watchkeeper_testkit::paths;

/// Addresses that hits come from.
const ADDRESSES: usize = 100_000;

/// What hits are made of.
pub struct Rows {
    random: StdRng,
    agents: Vec<String>,
    /// Sums of the agents' weights so far.
    weights: Vec<f64>,
    paths: Vec<String>,
    addresses: Vec<Ipv4Addr>,
}

/// One hit, as text.
pub struct Row {
    created_at: Timestamp,
    path: String,
    agent: String,
    ip: Ipv4Addr,
    method: &'static str,
    status: u16,
    response_time: f64,
}

impl Rows {
    /// The same for the same seed; `paths` of them are different.
    pub fn new(seed: u64, paths: usize) -> Result<Self> {
        let mut random = StdRng::seed_from_u64(seed);
        let (agents, weights) = agents()?;
        let nouns = ["users", "orders", "items", "search", "invoices", "sessions", "reports", "files"];
        let paths = (0..paths)
            .map(|number| {
                let noun = nouns[random.random_range(0..nouns.len())];
                format!("/v{}/{noun}/{number:x}/{}", number % 3 + 1, nouns[number % nouns.len()])
            })
            .collect();
        let addresses = (0..ADDRESSES).map(|_| Ipv4Addr::from_bits(random.random())).collect();
        Ok(Self { random, agents, weights, paths, addresses })
    }

    /// A hit at a moment within the day that begins at `day`, UTC seconds.
    pub fn row(&mut self, day: i64) -> Result<Row> {
        let random = &mut self.random;
        let moment = day * 1_000_000 + random.random_range(0..86_400_000_000);
        let weight = random.random_range(0.0..*self.weights.last().context("agents")?);
        let agent = self.weights.partition_point(|sum| *sum <= weight).min(self.agents.len() - 1);
        // A visitor has one agent; few paths have most hits.
        let visitor = skewed(random, self.addresses.len());
        let path = skewed(random, self.paths.len());
        Ok(Row {
            created_at: Timestamp::from_microsecond(moment)?,
            path: self.paths[path].clone(),
            agent: self.agents[(agent + visitor) % self.agents.len()].clone(),
            ip: self.addresses[visitor],
            method: if random.random_bool(0.2) { "POST" } else { "GET" },
            status: [200, 200, 200, 200, 201, 304, 404, 500][random.random_range(0..8)],
            response_time: (random.random_range(0.0_f64..6.0).exp() * 1_000.0).round() / 1_000.0,
        })
    }

    /// The body of a post.
    pub fn body(&mut self, key: &str, day: i64, count: usize) -> Result<String> {
        let mut rows = Vec::with_capacity(count);
        for _ in 0..count {
            rows.push(self.row(day)?.json());
        }
        Ok(json!({ "api_key": key, "framework": "FastAPI", "privacy_level": 0, "requests": rows })
            .to_string())
    }

    /// The same for `COPY`, with a number for the project.
    pub fn copy(&mut self, day: i64, count: usize) -> Result<String> {
        let mut text = String::new();
        for _ in 0..count {
            let Row { created_at, path, agent, ip, method, status, response_time } = self.row(day)?;
            let ts = created_at.as_millisecond();
            writeln!(
                text,
                "1\t{ts}\t{method}\tapi.example.com\t{path}\t{status}\t{response_time}\t{ip}\t{agent}\tFastAPI"
            )?;
        }
        Ok(text)
    }
}

impl Row {
    fn json(&self) -> Value {
        json!({
            "hostname": "api.example.com", "ip_address": self.ip.to_string(), "user_agent": self.agent,
            "path": self.path, "method": self.method, "status": self.status,
            "response_time": self.response_time, "user_id": null, "created_at": format!("{:.6}", self.created_at),
        })
    }
}

/// A number below `count`; small ones are more likely, as in Zipf's law.
fn skewed(random: &mut StdRng, count: usize) -> usize {
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss)]
    let index = ((count as f64).powf(random.random_range(0.0..1.0)) - 1.0) as usize;
    index.min(count - 1)
}

fn agents() -> Result<(Vec<String>, Vec<f64>)> {
    let script = paths::workspace().join("e2e/benches/ingest/user-agents.sh");
    let output = Command::new(&script).output().with_context(|| script.display().to_string())?;
    ensure!(output.status.success(), "{}: {}", script.display(), output.status);
    let file = String::from_utf8(output.stdout)?;
    let profiles: Vec<Value> = serde_json::from_slice(&std::fs::read(file.trim())?)?;
    let (mut agents, mut weights, mut sum) = (Vec::new(), Vec::new(), 0.0);
    for profile in profiles {
        let (agent, weight) = (profile["userAgent"].as_str(), profile["weight"].as_f64());
        sum += weight.unwrap_or_default();
        agents.push(agent.context("an agent")?.to_owned());
        weights.push(sum);
    }
    Ok((agents, weights))
}
