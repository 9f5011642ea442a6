//! Reading hits a row at a time: a row that cannot be read costs nobody the others.

use std::{
    io::{BufRead, BufReader, Read},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use serde_json::Value;

use super::{field, parquet::Read as Row};
use crate::{Hit, codec::COLUMNS};

/// Longest row, bytes.
const ROW: usize = 1 << 20;

/// What a file is after its last row was read, or why it cannot be read on.
pub(super) type Outcome = Result<Vec<String>, String>;

fn bad(field: &str, why: impl Into<String>) -> Row {
    Err((field.to_owned(), why.into()))
}

/// Reads a JSON object a line; empty lines are passed over. `each` says whether to go on.
pub(super) fn ndjson(input: impl Read, mut each: impl FnMut(Row) -> bool) -> Outcome {
    let mut input = BufReader::new(input);
    let mut unknown: Vec<String> = Vec::new();
    let mut line = Vec::new();
    loop {
        line.clear();
        let limit = u64::try_from(ROW).unwrap_or(u64::MAX);
        input.by_ref().take(limit).read_until(b'\n', &mut line).map_err(|e| e.to_string())?;
        if line.is_empty() {
            return Ok(unknown);
        }
        if line.len() == ROW && !line.ends_with(b"\n") {
            return Err(format!("a line has more than {ROW} bytes"));
        }
        if line.trim_ascii().is_empty() {
            continue;
        }
        if !each(object(&line, &mut unknown)) {
            return Ok(unknown);
        }
    }
}

fn object(line: &[u8], unknown: &mut Vec<String>) -> Row {
    let value: Value = match serde_json::from_slice(line) {
        Ok(value) => value,
        Err(error) => return bad("", format!("is not JSON: {error}")),
    };
    let Value::Object(members) = value else { return bad("", "is not a JSON object") };
    if members.get("ts").is_none_or(Value::is_null) {
        return bad("ts", "is missing");
    }
    let mut hit = Hit::default();
    for (name, value) in &members {
        match COLUMNS.iter().find(|(known, _)| known == name) {
            Some((name, column)) => {
                if let Err(why) = field::from_json(&mut hit, name, column, value) {
                    return bad(name, why);
                }
            }
            // What a stranger makes up is not collected without end.
            None if unknown.len() < COLUMNS.len() && !unknown.contains(name) => {
                unknown.push(super::import::short(name));
            }
            None => {}
        }
    }
    Ok(hit)
}

/// Reads comma-separated values with a header, in any order of columns.
pub(super) fn csv(input: impl Read, mut each: impl FnMut(Row) -> bool) -> Outcome {
    let since_row = Arc::new(AtomicUsize::new(0));
    let bounded = Bounded { input, since_row: Arc::clone(&since_row) };
    let mut reader = csv::ReaderBuilder::new().flexible(true).from_reader(bounded);
    let header = reader.byte_headers().map_err(|e| e.to_string())?.clone();
    let names: Vec<String> =
        header.iter().map(|name| String::from_utf8_lossy(name).trim().to_owned()).collect();
    let columns: Vec<_> = names.iter().map(|name| COLUMNS.iter().find(|(known, _)| known == name)).collect();
    if !names.iter().any(|name| name == "ts") {
        return Err("the header has no column `ts`".into());
    }
    let unknown = names
        .iter()
        .zip(&columns)
        .filter(|(_, known)| known.is_none())
        .take(COLUMNS.len())
        .map(|(name, _)| super::import::short(name))
        .collect();
    let mut record = csv::ByteRecord::new();
    while reader.read_byte_record(&mut record).map_err(|e| e.to_string())? {
        since_row.store(0, Ordering::Relaxed);
        if !each(cells(&record, &columns)) {
            break;
        }
    }
    Ok(unknown)
}

fn cells(record: &csv::ByteRecord, columns: &[Option<&(&'static str, crate::codec::Column)>]) -> Row {
    if record.len() != columns.len() {
        return bad("", format!("has {} cells, the header has {}", record.len(), columns.len()));
    }
    let mut hit = Hit::default();
    let mut timed = false;
    for (cell, column) in record.iter().zip(columns) {
        let Some((name, column)) = column else { continue };
        let Ok(cell) = std::str::from_utf8(cell) else { return bad(name, "is not UTF-8") };
        timed |= *name == "ts" && !cell.is_empty();
        if let Err(why) = field::from_cell(&mut hit, name, column, cell) {
            return bad(name, why);
        }
    }
    if timed { Ok(hit) } else { bad("ts", "is missing") }
}

/// Refuses to go on when a row does not end: an open quote could otherwise take all memory.
struct Bounded<R> {
    input: R,
    since_row: Arc<AtomicUsize>,
}

impl<R: Read> Read for Bounded<R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let read = self.input.read(buffer)?;
        if self.since_row.fetch_add(read, Ordering::Relaxed) > ROW {
            return Err(std::io::Error::other(format!("a row has more than {ROW} bytes")));
        }
        Ok(read)
    }
}
