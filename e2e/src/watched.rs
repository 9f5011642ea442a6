//! Endpoints with a past of three months, for pages about what is watched.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};
use watchkeeper_store::{
    Check, DAY_MS, EndpointSpec, HttpProbe, LastCheck, NewEndpoint, Options, Origin, Phases, Probe,
    ProjectId, Store, now_ms,
};

/// Time from one check to the next, milliseconds.
const EVERY: i64 = 1_800_000;

/// An outage: how many days ago, and how many checks long.
type Outage = (i64, i64);

/// Name, group, and the outages of the past.
const ENDPOINTS: &[(&str, &str, &[Outage])] = &[
    ("Search", "Shop", &[(0, 4), (2, 3), (19, 2), (61, 7)]),
    ("Storefront", "Shop", &[]),
    ("Checkout API", "Shop", &[(1, 2), (70, 1)]),
    ("Payments", "Shop", &[(2, 6), (33, 1)]),
    ("Product images", "Shop", &[]),
    ("Accounts", "Platform", &[(44, 2)]),
    ("Database", "Platform", &[]),
    ("Message queue", "Platform", &[(12, 1)]),
    ("Login", "Platform", &[]),
    ("EU edge", "Edge", &[(8, 2), (9, 1)]),
    ("US edge", "Edge", &[(50, 1)]),
    ("Mail relay", "", &[(30, 1)]),
];

/// Stores the endpoints with their past in the data directory of a running `watchkeeper local`. The
/// first asks where nobody listens, all others ask the server itself.
///
/// # Errors
/// When the store cannot be opened or written.
pub async fn seed(data: &Path, server: &str) -> Result<()> {
    let store = Store::open(&Options::sqlite(data.join("watchkeeper.db"))).await?;
    for (number, (name, group, outages)) in ENDPOINTS.iter().enumerate() {
        let url =
            if number == 0 { "http://127.0.0.1:9/search".into() } else { format!("{server}/api/health") };
        let spec = EndpointSpec {
            group: Some((*group).to_owned()).filter(|group| !group.is_empty()),
            interval: Duration::from_secs(1_800),
            timeout: Duration::from_secs(5),
            ..EndpointSpec::new(*name, Probe::Http(HttpProbe::new(url)))
        };
        let uid = format!("seeded-{number}");
        let new = NewEndpoint {
            uid: uid.clone(),
            origin: Origin::Kubernetes,
            project: ProjectId::INSTALLATION,
            namespace: "shop".into(),
            name: name.to_lowercase().replace(' ', "-"),
            generation: 1,
            spec,
        };
        store.put_endpoint(&new).await?;
        let endpoints = store.endpoints().await?;
        let id = endpoints.iter().find(|it| it.uid == uid).context("an endpoint is not stored")?.id;
        let now = now_ms();
        let first = now - 90 * DAY_MS;
        let checks: Vec<_> = (0..(now - first) / EVERY)
            .map(|step| {
                let at = first + step * EVERY;
                let down = outages.iter().any(|(days, length)| {
                    let start = now - days * DAY_MS - length * EVERY;
                    (start..start + length * EVERY).contains(&at)
                });
                // A course over the day that differs by endpoint, without chance.
                let wave = (step * 7 + i64::try_from(number).unwrap_or_default() * 13) % 48;
                let duration_us = 60_000 + 1_500 * (wave - 24).abs() + (step * 2_654_435_761 % 20_000);
                let result = LastCheck {
                    at,
                    ok: !down,
                    status: Some(if down { 503 } else { 200 }),
                    duration_us,
                    message: down.then(|| "the status is 503, not 2xx".into()),
                    phases: Some(Phases {
                        resolve_us: duration_us / 20,
                        connect_us: duration_us / 6,
                        tls_us: duration_us / 4,
                        processing_us: duration_us / 3,
                        transfer_us: duration_us / 10,
                    }),
                    certificate_expires_at: Some(now + 62 * DAY_MS),
                    ..LastCheck::default()
                };
                Check { project: ProjectId::INSTALLATION, endpoint: id, result }
            })
            .collect();
        store.record_checks(&checks).await?;
    }
    store.close().await;
    Ok(())
}

/// A group of [`seed_many`], by its number.
#[must_use]
pub fn many_group(number: i64) -> String {
    format!("Group {number:02}")
}

/// Stores so many endpoints, 25 a group, with a check a day for 90 days, of which one in seven is bad.
///
/// # Errors
/// When the store cannot be opened or written.
pub async fn seed_many(data: &Path, count: i64) -> Result<()> {
    let store = Store::open(&Options::sqlite(data.join("watchkeeper.db"))).await?;
    for number in 0..count {
        let probe = Probe::Http(HttpProbe::new("http://127.0.0.1:9/"));
        let spec = EndpointSpec {
            group: Some(many_group(number / 25)),
            interval: Duration::from_secs(86_400),
            timeout: Duration::from_secs(5),
            ..EndpointSpec::new(format!("Service {number:03}"), probe)
        };
        let new = NewEndpoint {
            uid: format!("many-{number}"),
            origin: Origin::Kubernetes,
            project: ProjectId::INSTALLATION,
            namespace: "many".into(),
            name: format!("service-{number}"),
            generation: 1,
            spec,
        };
        store.put_endpoint(&new).await?;
    }
    let now = now_ms();
    for endpoint in store.endpoints().await? {
        let check = |days: i64| {
            let ok = (days + endpoint.id) % 7 != 0;
            let result = LastCheck {
                at: now - days * DAY_MS,
                ok,
                status: Some(if ok { 200 } else { 503 }),
                duration_us: 60_000 + 1_000 * days,
                message: (!ok).then(|| "the status is 503, not 2xx".into()),
                ..LastCheck::default()
            };
            Check { project: ProjectId::INSTALLATION, endpoint: endpoint.id, result }
        };
        let checks: Vec<_> = (1..90).rev().map(check).collect();
        store.record_checks(&checks).await?;
    }
    store.close().await;
    Ok(())
}
