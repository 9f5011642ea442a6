//! Random hits around a change of the clocks, with unknown values everywhere.

use rand::{Rng, rngs::StdRng, seq::IndexedRandom};
use sqlx::{AnyConnection, Connection};
use watchkeeper_store::{DAY_MS, Hit, Options};

/// 2026-03-27T00:00:00Z: in Berlin the clocks change two days later.
pub(super) const FIRST: i64 = 1_774_569_600_000;

/// Five days later.
pub(super) const END: i64 = FIRST + 5 * DAY_MS;

pub(super) const PATHS: &[&str] = &[
    "/",
    "/v1/users/1",
    "/v1/users/2",
    "/v2/users/1",
    "/V1/x",
    "/a/v10",
    "/50%_off",
    "/ä/é",
    "/a\\b",
    "/x.y(z)",
];
pub(super) const HOSTS: &[&str] = &["api.example.com", "Example.org", "www.example.com"];
pub(super) const ADDRESSES: &[&str] = &["192.0.2.1", "192.0.2.2", "2001:db8::1", "198.51.100.7"];
pub(super) const USERS: &[&str] = &["anna", "Bert", "192.0.2.1", "c@example.com"];
pub(super) const REFERRERS: &[&str] =
    &["https://www.example.com/a?b", "http://user@[2001:db8::1]:80/", "news", "https://Example.org"];
pub(super) const STATUSES: &[i32] = &[200, 200, 204, 301, 399, 400, 404, 500, 0, 99, -7];

fn some<T: Clone>(random: &mut StdRng, values: &[T]) -> Option<T> {
    random.random_bool(0.8).then(|| values.choose(random).cloned()).flatten()
}

fn text(random: &mut StdRng, values: &[&str]) -> Option<String> {
    some(random, values).map(str::to_owned)
}

/// So many hits in no order of time.
pub(super) fn hits(random: &mut StdRng, count: usize) -> Vec<Hit> {
    // Some batches know nothing of some columns, or all rows say the same.
    let sparse = random.random_bool(0.2);
    let same_host = random.random_bool(0.3);
    (0..count)
        .map(|_| {
            // Bursts, so that visits have several hits and times are equal now and then.
            let ts = FIRST
                + random.random_range(0..5) * DAY_MS
                + random.random_range(0..48) * 1_800_000
                + random.random_range(0..40) * 1_000;
            let mut hit = Hit {
                ts,
                source: text(random, &["api-analytics", "otlp"]),
                method: text(random, &["GET", "POST", "get"]),
                host: text(random, HOSTS),
                path: text(random, PATHS),
                query: text(random, &["a=1", "b=2&c"]),
                route: random.random_bool(0.4).then(|| text(random, &["/users/{id}", "/"])).flatten(),
                status: some(random, STATUSES),
                duration_us: some(random, &[0, 1, 999, 1_500, 70_000, 1 << 33, -5])
                    .map(|us| us + random.random_range(0..3)),
                request_bytes: some(random, &[0, 10, 300, 70_000]),
                response_bytes: some(random, &[1, 5_000_000_000, 12]),
                http_version: text(random, &["1.1", "2"]),
                ip: text(random, ADDRESSES),
                user_agent: text(random, &["curl/8", "Mozilla/5.0"]),
                user: random.random_bool(0.4).then(|| text(random, USERS)).flatten(),
                referrer: text(random, REFERRERS),
                country: text(random, &["DE", "US", "FR"]),
                framework: text(random, &["axum"]),
                visitor: some(random, &[i64::MIN, -3, 7, 8, i64::MAX]),
                client: text(random, &["curl", "Firefox"]),
                os: text(random, &["Linux"]),
                device: text(random, &["Desktop", "Mobile"]),
                bot: some(random, &[true, false]),
                home: some(random, &[true, false]),
                log: text(random, &["main"]),
            };
            if sparse {
                (hit.path, hit.user, hit.status, hit.duration_us, hit.visitor) =
                    (None, None, None, None, None);
            }
            if same_host {
                hit.host = Some(HOSTS[0].into());
            }
            hit
        })
        .collect()
}

/// Tells the store of some addresses, of one of them next to nothing.
pub(super) async fn tell_addresses(options: &Options, project: i64) {
    let mut database = AnyConnection::connect(options.url()).await.expect("connection");
    for (ip, host, city, bot) in [
        (ADDRESSES[0], Some("a.crawl.example.com"), Some("Berlin"), Some(1_i64)),
        (ADDRESSES[1], Some("b.example.net."), None, Some(0)),
        (ADDRESSES[2], None, None, None),
    ] {
        sqlx::query("INSERT INTO addresses (project_id, ip, host, city, bot) VALUES ($1, $2, $3, $4, $5)")
            .bind(project)
            .bind(ip)
            .bind(host)
            .bind(city)
            .bind(bot)
            .execute(&mut database)
            .await
            .expect("insert");
    }
    database.close().await.expect("close");
}
