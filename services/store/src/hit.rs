//! One request to somebody's API or site, whatever protocol brought it.

/// Milliseconds of a UTC day.
pub const DAY_MS: i64 = 86_400_000;

/// The UTC day, counted from 1970-01-01, that a time in milliseconds falls on.
pub const fn day_of(ts: i64) -> i64 {
    ts.div_euclid(DAY_MS)
}

/// What is known of one request: the superset of all protocols. Unknown is
/// `None`, never an empty string.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Hit {
    /// When it happened, UTC milliseconds.
    pub ts: i64,
    /// Protocol that brought it, such as `api-analytics`.
    pub source: Option<String>,
    /// HTTP method, upper case.
    pub method: Option<String>,
    /// Host name that was asked.
    pub host: Option<String>,
    /// Path, without the query.
    pub path: Option<String>,
    /// Query string, without the question mark.
    pub query: Option<String>,
    /// Route template, such as `/users/{id}`.
    pub route: Option<String>,
    /// HTTP status.
    pub status: Option<i32>,
    /// Time to the answer, microseconds.
    pub duration_us: Option<i64>,
    /// Size of the request, bytes.
    pub request_bytes: Option<i64>,
    /// Size of the answer, bytes.
    pub response_bytes: Option<i64>,
    /// HTTP version, such as `1.1`.
    pub http_version: Option<String>,
    /// Client's address, where the privacy level lets it be kept.
    pub ip: Option<String>,
    /// `User-Agent` header.
    pub user_agent: Option<String>,
    /// User as the application names them.
    pub user: Option<String>,
    /// `Referer` header.
    pub referrer: Option<String>,
    /// ISO 3166-1 alpha-2 code.
    pub country: Option<String>,
    /// Framework that served the request.
    pub framework: Option<String>,
    /// Keyed hash that stands for the visitor.
    pub visitor: Option<i64>,
    /// Family of the client or browser.
    pub client: Option<String>,
    /// Family of the operating system.
    pub os: Option<String>,
    /// Class of device.
    pub device: Option<String>,
    /// Whether the client is a robot.
    pub bot: Option<bool>,
    /// Whether it came from the operator's own networks.
    pub home: Option<bool>,
    /// Name of the log it came from.
    pub log: Option<String>,
}
