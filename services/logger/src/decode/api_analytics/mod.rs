//! api-analytics: `{"api_key", "framework", "privacy_level", "requests": […]}`.
//!
//! As its logger reads it: keys in any case, unknown keys and trailing bytes
//! ignored, whatever the content type. One bad row never costs the batch, as it
//! does there: what cannot be understood is clamped, or left unknown.

mod json;

use std::{borrow::Cow, net::IpAddr};

use serde::Deserialize;
use uuid::Uuid;

use super::text;

/// Frameworks that the published clients name themselves by.
pub const FRAMEWORKS: [&str; 30] = [
    "FastAPI",
    "Flask",
    "Gin",
    "Echo",
    "Express",
    "Fastify",
    "Koa",
    "Chi",
    "Fiber",
    "Actix",
    "Axum",
    "Tornado",
    "Django",
    "Rails",
    "Laravel",
    "Sinatra",
    "Rocket",
    "ASP.NET Core",
    "Hono",
    "Starlette",
    "Sanic",
    "Falcon",
    "aiohttp",
    "NestJS",
    "Elysia",
    "Bun",
    "H3",
    "Oak",
    "Native PHP",
    "Middleware",
];

/// Longest reason given for a body that is no batch, bytes.
const REASON: usize = 255;
/// Stands for a time that cannot be read until the time of arrival takes its place.
const UNKNOWN_TIME: i64 = i64::MIN;

/// Why a whole batch is refused. The texts are upstream's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// Not JSON of the right shape.
    Malformed(String),
    /// No API key.
    NoKey,
    /// The API key is no UUID.
    BadKey,
    /// No rows.
    Empty,
    /// A framework that no client has.
    Framework,
    /// Rows, but not one that says anything.
    NoRows,
}

/// A batch whose envelope is understood.
#[derive(Debug, Default)]
pub struct Envelope {
    api_key: String,
    framework: String,
    privacy_level: i64,
    rows: Vec<Row>,
    repairs: Repairs,
}

/// One row.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Row {
    /// UTC milliseconds.
    pub ts: i64,
    /// Upper case.
    pub method: Option<String>,
    /// Host name.
    pub host: Option<String>,
    /// Path without query.
    pub path: String,
    /// Query without question mark.
    pub query: Option<String>,
    /// HTTP status.
    pub status: Option<i32>,
    /// Microseconds.
    pub duration_us: Option<i64>,
    /// Client's address.
    pub ip: Option<IpAddr>,
    /// `User-Agent` header.
    pub user_agent: Option<String>,
    /// User as the application names them.
    pub user: Option<String>,
    /// `Referer` header.
    pub referrer: Option<String>,
    /// Whether whoever asked does not want to be tracked: `Sec-GPC: 1` or `DNT: 1`, which a client
    /// passes on as `gpc` or `dnt`.
    pub opted_out: bool,
}

/// What was put right in rows, for the metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Repairs {
    /// Addresses that are none; kept as unknown.
    pub ip: u64,
    /// Times that are none or cannot be; the time of arrival was taken.
    pub created_at: u64,
    /// Numbers out of range or not numbers at all.
    pub number: u64,
    /// Texts that were cut.
    pub text: u64,
    /// Rows that are no objects; dropped.
    pub dropped: u64,
}

impl Envelope {
    /// Reads the envelope.
    ///
    /// # Errors
    /// [`Refusal::Malformed`] for anything but the right shape.
    pub fn parse(body: &[u8]) -> Result<Self, Refusal> {
        // Upstream takes text that is not UTF-8, and so one odd user agent costs nobody a batch.
        let text = std::str::from_utf8(body).map_or_else(|_| String::from_utf8_lossy(body), Cow::Borrowed);
        // Not `serde_json::from_str`: bytes after the JSON are ignored, as upstream does.
        let mut json = serde_json::Deserializer::from_str(&text);
        Envelope::deserialize(&mut json).map_err(|error| {
            // It may quote what was sent.
            Refusal::Malformed(text::cut(&error.to_string(), REASON).to_owned())
        })
    }

    /// The API key as the client spelled it, without quotes.
    ///
    /// # Errors
    /// [`Refusal::NoKey`] and [`Refusal::BadKey`].
    pub fn key(&self) -> Result<Uuid, Refusal> {
        if self.api_key.is_empty() {
            return Err(Refusal::NoKey);
        }
        self.api_key.replace('"', "").parse().map_err(|_| Refusal::BadKey)
    }

    /// Number of rows, good or bad.
    pub fn len(&self) -> usize {
        self.rows.len() + usize::try_from(self.repairs.dropped).unwrap_or(usize::MAX)
    }

    /// Whether there is no row.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Privacy level that the client asks for, as sent.
    pub fn privacy_level(&self) -> i64 {
        self.privacy_level
    }

    /// Decodes the rows; `now` (UTC milliseconds) stands in for times that cannot be read or cannot be.
    ///
    /// # Errors
    /// [`Refusal::Empty`], [`Refusal::Framework`] and [`Refusal::NoRows`].
    pub fn rows(mut self, now: i64) -> Result<(&'static str, Vec<Row>, Repairs), Refusal> {
        if self.is_empty() {
            return Err(Refusal::Empty);
        }
        let framework =
            FRAMEWORKS.into_iter().find(|name| *name == self.framework).ok_or(Refusal::Framework)?;
        if self.rows.is_empty() {
            return Err(Refusal::NoRows);
        }
        for row in &mut self.rows {
            let said = row.ts;
            row.ts = text::moment(Some(said), now);
            self.repairs.created_at += u64::from(said != UNKNOWN_TIME && said != row.ts);
        }
        Ok((framework, self.rows, self.repairs))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::{Value, json};

    const KEY: &str = "00000000-0000-4000-8000-000000000001";
    /// The time of arrival.
    const NOW: i64 = 1_800_000_000_000;

    fn rows(requests: &Value) -> (Vec<Row>, Repairs) {
        let body = json!({ "api_key": KEY, "framework": "Gin", "requests": requests }).to_string();
        let (_, rows, repairs) = Envelope::parse(body.as_bytes()).expect("parse").rows(NOW).expect("rows");
        (rows, repairs)
    }

    fn one(request: Value) -> (Row, Repairs) {
        let (mut rows, repairs) = rows(&json!([request]));
        (rows.remove(0), repairs)
    }

    #[test]
    fn null_missing_and_empty_are_all_unknown() {
        let (null, repairs) = one(json!({
            "path": "/a", "user_id": null, "ip_address": null, "user_agent": "", "created_at": "2023-11-14T22:13:20Z"
        }));
        assert_eq!(repairs, Repairs::default());
        assert_eq!(
            (null.user, null.ip, null.user_agent, null.host, null.status),
            (None, None, None, None, None)
        );
        assert_eq!((null.ts, null.path.as_str(), null.query), (1_700_000_000_000, "/a", None));
    }

    #[test]
    fn a_bad_value_costs_neither_its_row_nor_the_batch() {
        let (rows, repairs) = rows(&json!([
            { "path": "/a", "ip_address": "junk", "created_at": "garbage", "status": "200", "response_time": 12.5 },
            { "path": "/b", "status": 99_999, "response_time": 40_000, "ip_address": "1.2.3.4:5" },
            "not an object",
        ]));
        assert_eq!(rows.len(), 2);
        assert_eq!(
            (rows[0].ip, rows[0].ts, rows[0].status, rows[0].duration_us),
            (None, NOW, Some(200), Some(12_500))
        );
        assert_eq!((rows[1].status, rows[1].duration_us), (Some(32_767), Some(40_000_000)));
        assert_eq!(rows[1].ip, "1.2.3.4".parse().ok());
        assert_eq!(repairs, Repairs { ip: 1, created_at: 2, number: 2, text: 0, dropped: 1 });
    }

    #[test]
    fn a_time_that_cannot_be_is_repaired_as_one_that_cannot_be_read() {
        // Go's zero, Unix's, and a clock that runs years ahead.
        for time in ["0001-01-01T00:00:00Z", "1970-01-01T00:00:00Z", "9999-12-31T23:59:59Z"] {
            let (row, repairs) = one(json!({ "path": "/", "created_at": time }));
            assert_eq!((row.ts, repairs.created_at), (NOW, 1), "{time}");
        }
    }

    #[test]
    fn words_of_sql_are_ordinary_text() {
        let (row, _) = one(json!({ "path": "/users/update", "user_agent": "it's -- SELECT" }));
        assert_eq!((row.path.as_str(), row.user_agent.as_deref()), ("/users/update", Some("it's -- SELECT")));
    }

    #[test]
    fn keys_are_understood_in_any_case_and_bytes_after_the_json_are_ignored() {
        let body = format!(
            r#"{{"API_Key":"\"{KEY}\"","Framework":"Gin","REQUESTS":[{{"PATH":"/x?y=1"}}]}} trailing"#
        );
        let envelope = Envelope::parse(body.as_bytes()).expect("parse");
        assert_eq!(envelope.key().map(|key| key.to_string()), Ok(KEY.into()));
        let (_, rows, _) = envelope.rows(0).expect("rows");
        assert_eq!((rows[0].path.as_str(), rows[0].query.as_deref()), ("/x", Some("y=1")));
    }

    #[test]
    fn long_texts_are_cut_between_characters() {
        let (row, repairs) =
            one(json!({ "path": format!("/a{}", "é".repeat(3_000)), "hostname": "é".repeat(200) }));
        assert_eq!(row.path.len(), 2_048);
        assert_eq!(row.host.map(|host| host.len()), Some(254));
        assert_eq!(repairs.text, 2);
    }

    #[test]
    fn each_refusal_has_its_reason() {
        let parse = |body: &str| Envelope::parse(body.as_bytes());
        for body in ["", "[]", "{", r#"{"privacy_level":"1"}"#, r#"{"api_key":5}"#, r#"{"requests":{}}"#] {
            assert!(matches!(parse(body), Err(Refusal::Malformed(_))), "{body}");
        }
        assert_eq!(parse("{}").expect("parse").key(), Err(Refusal::NoKey));
        assert_eq!(parse(r#"{"api_key":"x"}"#).expect("parse").key(), Err(Refusal::BadKey));
        let rows = |body: &str| parse(body).expect("parse").rows(0).map(|_| ());
        assert_eq!(rows(r#"{"requests":null}"#), Err(Refusal::Empty));
        assert_eq!(rows(r#"{"requests":[{}],"framework":"gin"}"#), Err(Refusal::Framework));
        assert_eq!(rows(r#"{"requests":[1],"framework":"Gin"}"#), Err(Refusal::NoRows));
    }

    #[test]
    fn what_the_real_clients_send_is_understood_without_repair() {
        let directory = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures");
        let mut seen = 0;
        for entry in std::fs::read_dir(directory).expect("fixtures") {
            let path = entry.expect("entry").path();
            let envelope = Envelope::parse(&std::fs::read(&path).expect("read")).expect("parse");
            let sent = envelope.len();
            let (_, rows, repairs) = envelope.rows(NOW).expect("rows");
            assert_eq!((rows.len(), repairs), (sent, Repairs::default()), "{}", path.display());
            seen += 1;
        }
        assert!(seen >= 8, "only {seen} fixtures");
    }

    proptest! {
        #[test]
        fn no_body_makes_it_panic(body in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = Envelope::parse(&body).map(|envelope| (envelope.key(), envelope.rows(0)));
        }

        #[test]
        fn no_value_makes_a_row_panic(text in ".{0,40}", number in any::<f64>(), integer in any::<i64>()) {
            let (row, _) = one(json!({
                "path": text, "created_at": text, "ip_address": text, "status": number, "response_time": integer
            }));
            prop_assert_eq!(text::moment(Some(row.ts), NOW), row.ts);
        }
    }
}
