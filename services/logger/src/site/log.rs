//! The log of views beside the store, as CSV: `time,url,address,user agent`.
//!
//! A view is written once, after the store has it and before its request is answered, in one write
//! to a file opened for appending. The file reaches the disk within [`SYNC`]; the store is what
//! makes an answer durable.

use std::{
    fs::{File, OpenOptions},
    io::{self, Write},
    os::unix::fs::OpenOptionsExt,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use jiff::Timestamp;
use watchkeeper_store::Hit;

/// Time after which a written line is on the disk.
const SYNC: Duration = Duration::from_secs(1);

/// First characters by which a spreadsheet takes a text for a formula, and the one that guards
/// against that.
const FORMULAS: [char; 7] = ['=', '+', '-', '@', '\t', '\r', '\''];

/// The log; clones write into the same file.
#[derive(Debug, Clone)]
pub struct TrafficLog {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    file: File,
    unsynced: AtomicBool,
}

impl TrafficLog {
    /// Opens a log for appending, which is made if need be, readable by its owner alone, and
    /// starts to bring it to the disk.
    ///
    /// # Errors
    /// When the file cannot be opened.
    pub fn open(path: &Path) -> io::Result<Self> {
        let file = OpenOptions::new().append(true).create(true).mode(0o600).open(path)?;
        let log = Self { inner: Arc::new(Inner { file, unsynced: AtomicBool::new(false) }) };
        tokio::spawn(sync(Arc::downgrade(&log.inner)));
        Ok(log)
    }

    /// Writes a line for each view.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub async fn write(&self, hits: &[Hit]) -> io::Result<()> {
        let (inner, lines) = (Arc::clone(&self.inner), lines(hits)?);
        tokio::task::spawn_blocking(move || {
            inner.unsynced.store(true, Ordering::Release);
            (&inner.file).write_all(&lines)
        })
        .await?
    }
}

async fn sync(log: std::sync::Weak<Inner>) {
    loop {
        tokio::time::sleep(SYNC).await;
        let Some(inner) = log.upgrade() else { return };
        if inner.unsynced.swap(false, Ordering::AcqRel) {
            let synced = tokio::task::spawn_blocking(move || inner.file.sync_data()).await;
            if let Err(error) = synced.map_err(io::Error::other).flatten() {
                tracing::warn!(%error, "the traffic log could not be brought to the disk");
            }
        }
    }
}

fn lines(hits: &[Hit]) -> io::Result<Vec<u8>> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    for hit in hits {
        let time = Timestamp::from_millisecond(hit.ts).unwrap_or(Timestamp::UNIX_EPOCH);
        writer.write_record([
            // As Python's `datetime.fromisoformat` reads it in every version.
            time.strftime("%Y-%m-%dT%H:%M:%S.%3f+00:00").to_string(),
            guarded(hit.route.as_deref().or(hit.path.as_deref())),
            guarded(hit.ip.as_deref()),
            guarded(hit.user_agent.as_deref()),
        ])?;
    }
    writer.into_inner().map_err(|error| error.into_error())
}

/// A text that no spreadsheet takes for a formula: one that could be has an apostrophe before it.
fn guarded(text: Option<&str>) -> String {
    let text = text.unwrap_or_default();
    let guard = if text.starts_with(FORMULAS) { "'" } else { "" };
    format!("{guard}{text}")
}

/// The text that was guarded.
pub(super) fn unguarded(text: &str) -> &str {
    match text.strip_prefix('\'') {
        Some(rest) if rest.starts_with(FORMULAS) => rest,
        _ => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn logged(url: &str, agent: &str) -> String {
        let hit = Hit {
            ts: 1_700_000_000_123,
            route: Some(url.into()),
            ip: Some("1.2.3.4".into()),
            user_agent: Some(agent.into()),
            ..Hit::default()
        };
        String::from_utf8(lines(&[hit]).expect("lines")).expect("UTF-8")
    }

    #[test]
    fn a_line_has_time_url_address_and_agent() {
        assert_eq!(logged("/a", "UA"), "2023-11-14T22:13:20.123+00:00,/a,1.2.3.4,UA\n");
    }

    #[test]
    fn commas_quotes_and_line_breaks_stay_inside_their_field() {
        assert_eq!(
            logged("/a,b", "x \"y\"\n=z"),
            "2023-11-14T22:13:20.123+00:00,\"/a,b\",1.2.3.4,\"x \"\"y\"\"\n=z\"\n"
        );
    }

    #[test]
    fn what_looks_like_a_formula_is_guarded_and_reads_back() {
        for text in ["=1+1", "+1", "-1", "@x", "\t=1", "\r=1", "'=1", "''", "'", "plain", ""] {
            let guarded = guarded(Some(text));
            assert!(!guarded.starts_with(['=', '+', '-', '@', '\t', '\r']), "{guarded}");
            assert_eq!(unguarded(&guarded), text);
        }
    }
}
