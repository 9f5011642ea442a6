//! Hits as rows of api-analytics: numbers for methods, whole milliseconds, empty texts for what is
//! unknown.

use std::io::Write;

use jiff::Timestamp;
use sha2::{Digest, Sha256};
use watchkeeper_analytics::{Columns, Rows};
use watchkeeper_store::ColumnValues;

/// Methods by upstream's number; any other has the number after the last.
const METHODS: [&str; 9] = ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "CONNECT", "HEAD", "TRACE"];

/// The fields of hits that rows are made of.
pub(super) const FIELDS: &[&str] = &[
    "ip",
    "path",
    "query",
    "host",
    "user_agent",
    "method",
    "duration_us",
    "status",
    "country",
    "user",
    "referrer",
];

/// Rows ready to be written: every text is made JSON once, not once a row.
pub(super) struct Table {
    batches: Vec<Batch>,
    order: Vec<(i64, usize, usize)>,
}

struct Batch {
    ip: Texts,
    path: Texts,
    query: Texts,
    host: Texts,
    agent: Texts,
    agent_id: Vec<u64>,
    method: Texts,
    country: Texts,
    user: Texts,
    referrer: Texts,
    status: Vec<Option<i64>>,
    duration_us: Vec<Option<i64>>,
}

/// A column of texts as they stand between the quotes of JSON; those of methods are numbers.
#[derive(Default)]
struct Texts {
    codes: Vec<u32>,
    /// All values in one, since many small ones would cost more than what is written with them.
    values: Vec<u8>,
    /// Where each value ends.
    ends: Vec<usize>,
}

impl Texts {
    fn new(columns: &Columns, field: &str, write: impl Fn(&mut Vec<u8>, &str)) -> Self {
        let Some(ColumnValues::Texts { codes, values: texts }) = columns.get(field) else {
            return Self::default();
        };
        let mut values = Vec::with_capacity(texts.iter().map(|text| text.len()).sum());
        let mut ends = Vec::with_capacity(texts.len());
        for text in texts.iter() {
            write(&mut values, text);
            ends.push(values.len());
        }
        Self { codes: codes.clone(), values, ends }
    }

    fn place(&self, row: usize) -> Option<usize> {
        let code = *self.codes.get(row)?;
        usize::try_from(code).ok()?.checked_sub(1)
    }

    fn get(&self, row: usize) -> Option<&[u8]> {
        self.at(self.place(row)?)
    }

    fn at(&self, place: usize) -> Option<&[u8]> {
        let start = if place == 0 { 0 } else { *self.ends.get(place - 1)? };
        self.values.get(start..*self.ends.get(place)?)
    }
}

impl Table {
    /// Takes hits with [`FIELDS`]. This takes processor time.
    pub fn new(rows: &Rows) -> Self {
        Self {
            batches: rows.batches.iter().map(|columns| Batch::new(columns)).collect(),
            order: rows.order.clone(),
        }
    }

    /// Number of rows.
    pub fn len(&self) -> usize {
        self.order.len()
    }

    /// Row `number`.
    pub fn row(&self, number: usize) -> Row<'_> {
        let (ts, batch, row) = self.order[number];
        Row { ts, batch: &self.batches[batch], row }
    }
}

impl Batch {
    fn new(columns: &Columns) -> Self {
        let texts = |field| Texts::new(columns, field, escape);
        let agents = match columns.get("user_agent") {
            Some(ColumnValues::Texts { values, .. }) => values.iter().map(agent_id).collect(),
            _ => Vec::new(),
        };
        Self {
            ip: texts("ip"),
            path: texts("path"),
            query: texts("query"),
            host: texts("host"),
            agent: texts("user_agent"),
            agent_id: agents,
            method: Texts::new(columns, "method", write_method),
            country: texts("country"),
            user: texts("user"),
            referrer: texts("referrer"),
            status: integers(columns, "status"),
            duration_us: integers(columns, "duration_us"),
        }
    }
}

fn integers(columns: &Columns, field: &str) -> Vec<Option<i64>> {
    match columns.get(field) {
        Some(ColumnValues::Integers(values)) => values.clone(),
        _ => Vec::new(),
    }
}

/// Writes a text as JSON, without the quotes.
fn escape(out: &mut Vec<u8>, text: &str) {
    if text.bytes().all(|byte| byte >= b' ' && byte != b'"' && byte != b'\\') {
        return out.extend_from_slice(text.as_bytes());
    }
    // Memory takes every text.
    let json = serde_json::to_vec(text).unwrap_or_default();
    out.extend_from_slice(json.get(1..json.len().saturating_sub(1)).unwrap_or_default());
}

fn write_method(out: &mut Vec<u8>, method: &str) {
    integer(out, METHODS.iter().position(|name| *name == method).unwrap_or(METHODS.len()));
}

/// A number for a user agent. It follows from the text, so that every page and every replica gives
/// the same agent the same number; it is below 2^52, so that JavaScript holds it exactly.
fn agent_id(agent: &str) -> u64 {
    Sha256::digest(agent).iter().take(7).fold(0, |id, byte| (id << 8) | u64::from(*byte)) >> 4
}

/// One row.
#[derive(Clone, Copy)]
pub(super) struct Row<'a> {
    ts: i64,
    batch: &'a Batch,
    row: usize,
}

impl<'a> Row<'a> {
    /// The number and the text, as it stands between quotes, of the user agent.
    pub fn agent(&self) -> Option<(u64, &'a [u8])> {
        let place = self.batch.agent.place(self.row)?;
        Some((*self.batch.agent_id.get(place)?, self.batch.agent.at(place)?))
    }

    /// Writes an array in the order of upstream's table, as the dashboard reads it: `null` for an
    /// unknown address, a number for the agent, and the referrer, which upstream's server does not
    /// have, only where there is one.
    pub fn write_for_dashboard(&self, out: &mut Vec<u8>) {
        out.push(b'[');
        match self.batch.ip.get(self.row) {
            Some(ip) => quoted(out, &[ip]),
            None => out.extend_from_slice(b"null"),
        }
        out.push(b',');
        self.path(out);
        out.push(b',');
        self.text(out, &self.batch.host);
        out.push(b',');
        match self.agent() {
            Some((id, _)) => integer(out, id),
            None => out.extend_from_slice(b"null"),
        }
        out.push(b',');
        self.numbers_and_after(out);
        if let Some(referrer) = self.batch.referrer.get(self.row) {
            out.push(b',');
            quoted(out, &[referrer]);
        }
        out.push(b']');
    }

    /// Writes an array in the order of upstream's table, with the agent's text.
    pub fn write_compact(&self, out: &mut Vec<u8>) {
        out.push(b'[');
        self.text(out, &self.batch.ip);
        out.push(b',');
        self.path(out);
        out.push(b',');
        self.text(out, &self.batch.host);
        out.push(b',');
        self.text(out, &self.batch.agent);
        out.push(b',');
        self.numbers_and_after(out);
        out.push(b']');
    }

    /// Writes an object with upstream's names in upstream's order.
    pub fn write_object(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(b"{\"hostname\":");
        self.text(out, &self.batch.host);
        out.extend_from_slice(b",\"ip_address\":");
        self.text(out, &self.batch.ip);
        out.extend_from_slice(b",\"path\":");
        self.path(out);
        out.extend_from_slice(b",\"user_agent\":");
        self.text(out, &self.batch.agent);
        out.extend_from_slice(b",\"method\":");
        self.method(out);
        out.extend_from_slice(b",\"status\":");
        integer(out, self.status());
        out.extend_from_slice(b",\"response_time\":");
        integer(out, self.milliseconds());
        out.extend_from_slice(b",\"location\":");
        self.text(out, &self.batch.country);
        out.extend_from_slice(b",\"user_id\":");
        self.text(out, &self.batch.user);
        out.extend_from_slice(b",\"created_at\":");
        self.time(out);
        out.push(b'}');
    }

    fn numbers_and_after(&self, out: &mut Vec<u8>) {
        self.method(out);
        out.push(b',');
        integer(out, self.milliseconds());
        out.push(b',');
        integer(out, self.status());
        out.push(b',');
        self.text(out, &self.batch.country);
        out.push(b',');
        self.text(out, &self.batch.user);
        out.push(b',');
        self.time(out);
    }

    fn text(&self, out: &mut Vec<u8>, column: &Texts) {
        quoted(out, &[column.get(self.row).unwrap_or_default()]);
    }

    fn path(&self, out: &mut Vec<u8>) {
        let path = self.batch.path.get(self.row).unwrap_or_default();
        match self.batch.query.get(self.row) {
            Some(query) => quoted(out, &[path, b"?", query]),
            None => quoted(out, &[path]),
        }
    }

    fn method(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self.batch.method.get(self.row).unwrap_or(b"0"));
    }

    fn status(&self) -> i64 {
        self.batch.status.get(self.row).copied().flatten().unwrap_or_default()
    }

    fn milliseconds(&self) -> i64 {
        let us = self.batch.duration_us.get(self.row).copied().flatten();
        us.map_or(0, |us| us.saturating_add(500).div_euclid(1_000))
    }

    fn time(&self, out: &mut Vec<u8>) {
        let time = Timestamp::from_millisecond(self.ts).unwrap_or(Timestamp::UNIX_EPOCH);
        // Memory takes everything.
        let _ = write!(out, "\"{time}\"");
    }
}

fn quoted(out: &mut Vec<u8>, parts: &[&[u8]]) {
    out.push(b'"');
    parts.iter().for_each(|part| out.extend_from_slice(part));
    out.push(b'"');
}

pub(super) fn integer(out: &mut Vec<u8>, number: impl std::fmt::Display) {
    // Memory takes everything.
    let _ = write!(out, "{number}");
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    fn one(column: &'static str, text: &str) -> (&'static str, ColumnValues) {
        (column, ColumnValues::Texts { codes: vec![1], values: [text].into_iter().collect() })
    }

    fn table(ts: i64, columns: impl IntoIterator<Item = (&'static str, ColumnValues)>) -> Table {
        let columns = Arc::new(columns.into_iter().collect());
        Table::new(&Rows { batches: vec![columns], order: vec![(ts, 0, 0)] })
    }

    fn written(table: &Table, write: impl Fn(&Row<'_>, &mut Vec<u8>)) -> String {
        let mut out = Vec::new();
        write(&table.row(0), &mut out);
        String::from_utf8(out).expect("UTF-8")
    }

    #[test]
    fn a_hit_is_written_in_upstreams_units() {
        let duration = ("duration_us", ColumnValues::Integers(vec![Some(40_000_500)]));
        let columns = [one("method", "HEAD"), one("path", "/a"), one("query", "b=\"c\""), duration];
        let table = table(1_700_000_000_397, columns);
        let dashboard = written(&table, |row, out| row.write_for_dashboard(out));
        assert_eq!(dashboard, r#"[null,"/a?b=\"c\"","",null,7,40001,0,"","","2023-11-14T22:13:20.397Z"]"#);
        let compact = written(&table, |row, out| row.write_compact(out));
        assert_eq!(compact, r#"["","/a?b=\"c\"","","",7,40001,0,"","","2023-11-14T22:13:20.397Z"]"#);
    }

    #[test]
    fn a_method_that_upstream_does_not_know_is_the_number_after_its_last() {
        let method = |columns: Vec<_>| {
            let row: serde_json::Value =
                serde_json::from_str(&written(&table(0, columns), |row, out| row.write_object(out)))
                    .expect("JSON");
            row["method"].as_u64()
        };
        assert_eq!(method(vec![one("method", "PROPFIND")]), Some(9));
        assert_eq!(method(vec![]), Some(0));
    }

    #[test]
    fn texts_are_escaped_as_json_wants_it() {
        for text in ["", "plain é 🐘", "a\"b", "a\\b", "a\u{0}\n\u{1f}", "\u{7f}\u{2028}"] {
            let mut out = Vec::new();
            escape(&mut out, text);
            let json = format!("\"{}\"", String::from_utf8(out).expect("UTF-8"));
            assert_eq!(json, serde_json::to_string(text).expect("JSON"));
        }
    }

    #[test]
    fn an_agent_has_the_same_number_everywhere() {
        let id = agent_id("curl/8");
        assert_eq!(table(0, [one("user_agent", "curl/8")]).row(0).agent(), Some((id, &b"curl/8"[..])));
        assert_ne!(agent_id("curl/7"), id);
        assert!(id < 1 << 52);
    }
}
