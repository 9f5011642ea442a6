//! Others that watch, over the same targets.

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use watchkeeper_e2e::targets::Targets;
use watchkeeper_testkit::paths;
use watchkeeper_testkit::ports::free_port;
use watchkeeper_testkit::postgres::Postgres;
use watchkeeper_testkit::wait;

use crate::Found;
use crate::usage::Usage;

const PATIENCE: Duration = Duration::from_secs(60);

/// A peer's process, ended when dropped.
struct Peer(Child);

impl Drop for Peer {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// blackbox_exporter, asked for each target every second; it stores nothing.
pub async fn blackbox(targets: &Targets, endpoints: usize, time: Duration) -> Result<Found> {
    let program = paths::packaged("blackbox")?.join("prometheus-blackbox-exporter");
    let directory = tempfile::tempdir()?;
    let configuration = directory.path().join("blackbox.yml");
    std::fs::write(&configuration, "modules:\n  http_2xx:\n    prober: http\n    timeout: 5s\n")?;
    let port = free_port()?;
    let peer = start(
        Command::new(program)
            .arg(format!("--config.file={}", configuration.display()))
            .arg(format!("--web.listen-address=127.0.0.1:{port}"))
            .arg("--log.level=error"),
    )?;
    let client = reqwest::Client::new();
    let base = format!("http://127.0.0.1:{port}");
    wait::until_async("blackbox_exporter answers", PATIENCE, async || {
        Ok(client.get(format!("{base}/-/healthy")).send().await.is_ok().then_some(()))
    })
    .await?;
    measure(&peer, targets, async || {
        let begin = Instant::now();
        let scrapes = (0..endpoints).map(|number| {
            let (client, base, target) = (client.clone(), base.clone(), targets.url(number));
            tokio::spawn(async move {
                let offset =
                    u32::try_from(number).unwrap_or(0) * 1_000 / u32::try_from(endpoints).unwrap_or(1);
                let first = tokio::time::Instant::now() + Duration::from_millis(offset.into());
                let mut tick = tokio::time::interval_at(first, Duration::from_secs(1));
                while begin.elapsed() < time {
                    tick.tick().await;
                    let query = [("module", "http_2xx"), ("target", target.as_str())];
                    if let Ok(answer) = client.get(format!("{base}/probe")).query(&query).send().await {
                        let _ = answer.bytes().await;
                    }
                }
            })
        });
        let scrapes: Vec<_> = scrapes.collect();
        for scrape in scrapes {
            scrape.await?;
        }
        Ok(())
    })
    .await
}

/// Gatus with its store on the same Postgres; `None` when there is none.
pub async fn gatus(targets: &Targets, endpoints: usize, time: Duration) -> Result<Option<Found>> {
    let named = std::env::var_os("WATCHKEEPER_BENCH_GATUS").map(PathBuf::from);
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = named.or_else(|| {
        std::env::split_paths(&path).map(|directory| directory.join("gatus")).find(|file| file.is_file())
    });
    let Some(program) = found else { return Ok(None) };
    let url = Postgres::shared()?.database()?;
    let port = free_port()?;
    let mut configuration = format!(
        "web: {{address: 127.0.0.1, port: {port}}}\nconcurrency: 0\n\
         storage: {{type: postgres, path: \"{url}?sslmode=disable\"}}\nendpoints:\n"
    );
    for number in 0..endpoints {
        configuration.push_str(&format!(
            "  - {{name: \"target-{number}\", url: \"{}\", interval: 1s, conditions: [\"[STATUS] == 200\"]}}\n",
            targets.url(number)
        ));
    }
    let directory = tempfile::tempdir()?;
    let file = directory.path().join("config.yaml");
    std::fs::write(&file, configuration)?;
    let peer = start(Command::new(program).env("GATUS_CONFIG_PATH", &file))?;
    // It starts its endpoints one after the other: all that the time allows have begun by then.
    let (mut before, mut asked) = (0, targets.asked_in_all());
    let begin = Instant::now();
    while begin.elapsed() < PATIENCE && (asked == before || asked - before < endpoints as u64 * 9) {
        before = asked;
        tokio::time::sleep(Duration::from_secs(10)).await;
        asked = targets.asked_in_all();
    }
    measure(&peer, targets, async || {
        tokio::time::sleep(time).await;
        Ok(())
    })
    .await
    .map(Some)
}

fn start(command: &mut Command) -> Result<Peer> {
    let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
    Ok(Peer(child.with_context(|| format!("{:?}", command.get_program()))?))
}

/// Counts what the targets were asked meanwhile, and what the peer used for it.
async fn measure(peer: &Peer, targets: &Targets, work: impl AsyncFnOnce() -> Result<()>) -> Result<Found> {
    let pid = peer.0.id();
    let (begin, used, before) = (Instant::now(), Usage::of(pid)?, targets.asked_in_all());
    work().await?;
    let usage = Usage::of(pid)?;
    #[allow(clippy::cast_precision_loss)]
    let checks = (targets.asked_in_all() - before) as f64;
    Ok(Found {
        rate: checks / begin.elapsed().as_secs_f64(),
        cost: (usage.processor - used.processor) * 1_000.0 / checks.max(1.0),
        memory: usage.memory,
    })
}
