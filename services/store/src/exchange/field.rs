//! One field of a hit as a CSV cell and as JSON, and back.
//!
//! A spreadsheet runs a cell that begins with `=`, `+`, `-` or `@` as a formula, and paths, agents and
//! user names are a stranger's words. So a text that begins with one of these, with a tab or a
//! return, or with `'`, is written with a `'` before it, which spreadsheets hide, and which reading
//! takes away again. The empty text is a lone `'`: an empty cell is unknown.

use serde_json::Value;

use crate::{Hit, codec::Column};

/// Longest text of a field, bytes.
const TEXT: usize = 1 << 16;

/// The last moment that RFC 3339 can write, UTC milliseconds.
const END_OF_TIME: i64 = 253_402_300_799_999;

pub(super) fn to_cell(hit: &Hit, column: &Column) -> String {
    match column {
        Column::Text(get, _) => get(hit).map(guarded).unwrap_or_default(),
        Column::Integer(get, _) => get(hit).map(|number| number.to_string()).unwrap_or_default(),
        Column::Flag(get, _) => get(hit).map(|flag| flag.to_string()).unwrap_or_default(),
    }
}

fn guarded(text: &str) -> String {
    if text.is_empty() || text.starts_with(['=', '+', '-', '@', '\t', '\r', '\'']) {
        return format!("'{text}");
    }
    text.to_owned()
}

pub(super) fn to_json(hit: &Hit, column: &Column) -> Option<Value> {
    Some(match column {
        Column::Text(get, _) => get(hit)?.into(),
        Column::Integer(get, _) => get(hit)?.into(),
        Column::Flag(get, _) => get(hit)?.into(),
    })
}

/// Sets a field from a CSV cell; an empty one is unknown.
pub(super) fn from_cell(hit: &mut Hit, name: &str, column: &Column, cell: &str) -> Result<(), String> {
    if cell.is_empty() {
        return Ok(());
    }
    match column {
        Column::Text(..) => text(hit, column, cell.strip_prefix('\'').unwrap_or(cell)),
        Column::Flag(_, set) => {
            set(hit, cell.trim().to_ascii_lowercase().parse().map_err(|_| "must be true or false")?);
            Ok(())
        }
        Column::Integer(..) => match cell.trim().parse() {
            Ok(number) => integer(hit, name, column, number),
            Err(_) => time(hit, name, column, cell),
        },
    }
}

/// Sets a field from JSON; `null` is unknown.
pub(super) fn from_json(hit: &mut Hit, name: &str, column: &Column, value: &Value) -> Result<(), String> {
    match (column, value) {
        (_, Value::Null) => Ok(()),
        (Column::Text(..), Value::String(value)) => text(hit, column, value),
        (Column::Text(..), _) => Err("must be a text".into()),
        (Column::Flag(_, set), Value::Bool(flag)) => {
            set(hit, *flag);
            Ok(())
        }
        (Column::Flag(..), _) => Err("must be true or false".into()),
        (Column::Integer(..), Value::String(value)) => time(hit, name, column, value),
        (Column::Integer(..), value) => {
            let number = value.as_i64().ok_or_else(|| whole(name))?;
            integer(hit, name, column, number)
        }
    }
}

pub(super) fn text(hit: &mut Hit, column: &Column, value: &str) -> Result<(), String> {
    if value.len() > TEXT {
        return Err(format!("may have {TEXT} bytes"));
    }
    if let Column::Text(_, set) = column {
        set(hit, value.to_owned());
    }
    Ok(())
}

pub(super) fn integer(hit: &mut Hit, name: &str, column: &Column, number: i64) -> Result<(), String> {
    match name {
        "ts" if !(0..=END_OF_TIME).contains(&number) => {
            return Err("must be a time from 1970 to 9999 in UTC milliseconds".into());
        }
        "status" if i32::try_from(number).is_err() => return Err("is no status".into()),
        _ => {}
    }
    if let Column::Integer(_, set) = column {
        set(hit, number);
    }
    Ok(())
}

/// A time may also be RFC 3339.
fn time(hit: &mut Hit, name: &str, column: &Column, text: &str) -> Result<(), String> {
    let moment = match name {
        "ts" => text.trim().parse::<jiff::Timestamp>().ok(),
        _ => None,
    };
    integer(hit, name, column, moment.ok_or_else(|| whole(name))?.as_millisecond())
}

fn whole(name: &str) -> String {
    match name {
        "ts" => "must be UTC milliseconds or a time such as 2026-01-31T12:00:00Z".into(),
        _ => "must be a whole number".into(),
    }
}
