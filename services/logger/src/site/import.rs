//! Views out of a file: site-analytics' own log in each of its formats, or ours.

use std::io::BufRead;

use csv::{ByteRecord, ReaderBuilder};
use watchkeeper_store::{ProjectId, Store, StoreError, day_of, now_ms};

use super::{hit, hit::time as time_of, log::unguarded};
use crate::{
    decode::site_analytics::{View, time},
    enrich::Enricher,
    policy::Policy,
};

/// Views that are stored at a time.
const BATCH: usize = 5_000;

/// Lines that a report of mistakes names.
const NAMED: usize = 20;

/// What an import did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Imported {
    /// Views stored.
    pub views: u64,
    /// Lines that say no view; they are passed over.
    pub skipped: u64,
    /// What is wrong with the first of them, with their line numbers.
    pub mistakes: Vec<String>,
}

/// Why an import ended early; what it had stored stays.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// The file cannot be read.
    #[error("the file cannot be read: {0}")]
    Read(#[from] csv::Error),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Stores every view of a file: a line each of `time,url,address,user agent`, where the user agent
/// may have commas that nothing quotes, as in the original's first logs. `progress` is called after
/// each batch.
///
/// # Errors
/// When the file cannot be read and when the store fails.
pub async fn import(
    store: &Store,
    enricher: &Enricher,
    project: ProjectId,
    file: impl BufRead,
    mut progress: impl FnMut(&Imported),
) -> Result<Imported, ImportError> {
    let mut reader = ReaderBuilder::new().has_headers(false).flexible(true).from_reader(file);
    let settings = store.project_by_id(project).await?.map(|project| project.settings).unwrap_or_default();
    let policy = Policy::from(settings);
    let (mut imported, mut views, mut record) = (Imported::default(), Vec::new(), ByteRecord::new());
    loop {
        let more = reader.read_byte_record(&mut record)?;
        if more {
            match view(&record) {
                Ok(view) => views.push(view),
                Err(mistake) => {
                    imported.skipped += 1;
                    if imported.mistakes.len() < NAMED {
                        let line = record.position().map_or(0, csv::Position::line);
                        imported.mistakes.push(format!("line {line}: {mistake}"));
                    }
                }
            }
        }
        if views.len() == BATCH || !(more || views.is_empty()) {
            let (count, now) = (views.len() as u64, now_ms());
            enricher.salts().prepare(views.iter().map(|view| day_of(time_of(view, now)))).await;
            let hits = views.drain(..).map(|view| hit(enricher, project, policy, &view, now)).collect();
            store.append(project, hits).await?;
            imported.views += count;
            progress(&imported);
        }
        if !more {
            return Ok(imported);
        }
    }
}

fn view(record: &ByteRecord) -> Result<View, String> {
    let fields: Vec<_> = record.iter().map(String::from_utf8_lossy).collect();
    let [at, url, ip, agent @ ..] = fields.as_slice() else {
        return Err(format!("there are {} fields; there must be time,url,address,user agent", fields.len()));
    };
    if agent.is_empty() {
        return Err("the user agent is missing; an empty one needs its comma".into());
    }
    let ts = time(at)
        .ok_or_else(|| format!("the time `{at}` is neither ISO 8601 nor MM-DD-YYYY-HH:MM:SS:ffffff"))?;
    Ok(View {
        ts: Some(ts),
        url: unguarded(url).to_owned(),
        ip: unguarded(ip).to_owned(),
        user_agent: unguarded(&agent.join(",")).to_owned(),
        // A log does not say it.
        opted_out: false,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn views(text: &str) -> Vec<Result<View, String>> {
        let mut reader = ReaderBuilder::new().has_headers(false).flexible(true).from_reader(text.as_bytes());
        reader.byte_records().map(|record| view(&record.expect("record"))).collect()
    }

    fn expected(ts: i64, agent: &str) -> Result<View, String> {
        let (url, ip, user_agent) = ("/a".into(), "1.2.3.4".into(), agent.into());
        Ok(View { ts: Some(ts), url, ip, user_agent, opted_out: false })
    }

    #[test]
    fn every_format_of_the_original_and_ours_are_read() {
        let agent = "Mozilla/5.0 (KHTML, like Gecko) Chrome/80";
        for line in [
            format!("11-14-2023-22:13:20:123456,/a,1.2.3.4,{agent}\n"),
            format!("2023-11-14 22:13:20.123456,/a,1.2.3.4,{agent}\n"),
            format!("2023-11-14T22:13:20.123456,/a,1.2.3.4,\"{agent}\"\r\n"),
            format!("2023-11-14T22:13:20.123+00:00,/a,1.2.3.4,\"{agent}\"\n"),
        ] {
            assert_eq!(views(&line), [expected(1_700_000_000_123, agent)], "{line}");
        }
    }

    #[test]
    fn a_guard_against_formulas_is_taken_off() {
        assert_eq!(views("2023-11-14T22:13:20,/a,1.2.3.4,'=cmd\n"), [expected(1_700_000_000_000, "=cmd")]);
    }

    #[test]
    fn what_is_no_view_says_why() {
        let mistakes = views("x\n2023-11-14T22:13:20,/a,1.2.3.4\nyesterday,/a,1.2.3.4,UA\n");
        for (mistake, part) in mistakes.iter().zip(["1 fields", "user agent is missing", "`yesterday`"]) {
            assert!(mistake.as_ref().expect_err("a mistake").contains(part), "{mistake:?}");
        }
    }
}
