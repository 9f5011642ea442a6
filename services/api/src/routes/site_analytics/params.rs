//! Query parameters, checked as the original's schemas check them: everything at once, and nothing
//! that is not known.

use axum::extract::Query;
use http::Uri;
use jiff::{
    Timestamp,
    civil::{Date, DateTime, Time},
    tz::TimeZone,
};
use watchkeeper_runtime::field_errors::{FieldErrors, MISSING, UNKNOWN};

use super::Refused;

/// The parameters of one request. Each is taken out; what is left at the end is unknown.
pub(super) struct Params {
    left: Vec<(String, String)>,
    errors: FieldErrors,
}

impl Params {
    pub fn of(uri: &Uri) -> Self {
        let left = Query::try_from_uri(uri).map(|Query(left)| left).unwrap_or_default();
        Self { left, errors: FieldErrors::default() }
    }

    /// A parameter that has to be there.
    pub fn required<T>(&mut self, name: &str, read: impl FnOnce(&str) -> Result<T, String>) -> Option<T> {
        match self.take(name) {
            Some(text) => self.read(name, &text, read),
            None => {
                self.errors.add(name, MISSING);
                None
            }
        }
    }

    /// A parameter that may be missing.
    pub fn optional<T>(&mut self, name: &str, read: impl FnOnce(&str) -> Result<T, String>) -> Option<T> {
        let text = self.take(name)?;
        self.read(name, &text, read)
    }

    /// Adds what is wrong with a parameter.
    pub fn refuse(&mut self, name: &str, message: &str) {
        self.errors.add(name, message);
    }

    /// Gives what was read if nothing is wrong with any parameter.
    pub fn finish<T>(mut self, value: Option<T>) -> Result<T, Refused> {
        let mut unknown: Vec<String> = self.left.drain(..).map(|(name, _)| name).collect();
        unknown.dedup();
        unknown.iter().for_each(|name| self.errors.add(name, UNKNOWN));
        value.filter(|_| self.errors.is_empty()).ok_or(Refused::Parameters(self.errors))
    }

    /// `start_date` and `end_date`, the first day and the first that no longer counts, as the UTC
    /// milliseconds of their beginning.
    pub fn dates(&mut self) -> Option<(i64, i64)> {
        let start = self.required("start_date", iso_date);
        let end = self.required("end_date", iso_date);
        let range = start.zip(end);
        if range.is_some_and(|(start, end)| end <= start) {
            self.refuse("end_date", "end_date must be later than start_date");
        }
        range
    }

    /// The first value of a name, as in the original; further ones go with it.
    fn take(&mut self, name: &str) -> Option<String> {
        let first = self.left.iter().find(|(given, _)| given == name).map(|(_, value)| value.clone());
        self.left.retain(|(given, _)| given != name);
        first
    }

    fn read<T>(&mut self, name: &str, text: &str, read: impl FnOnce(&str) -> Result<T, String>) -> Option<T> {
        read(text).map_err(|message| self.errors.add(name, &message)).ok()
    }
}

/// One of some names, exactly as it is written.
pub(super) fn one_of<T: Copy>(names: &[(&str, T)], text: &str) -> Result<T, String> {
    let found = names.iter().find(|(name, _)| *name == text);
    found.map(|(_, value)| *value).ok_or_else(|| format!("Invalid enum member {text}"))
}

/// A whole number of at least 1.
pub(super) fn positive(name: &str, text: &str) -> Result<u32, String> {
    let number: i64 = text.trim().parse().map_err(|_| "Not a valid integer.".to_owned())?;
    if number < 1 {
        return Err(format!("{name} must be greater than 0."));
    }
    u32::try_from(number).map_err(|_| format!("{name} must be at most {}.", u32::MAX))
}

/// `YYYY-MM-DD`, where month and day may have one digit, as UTC milliseconds.
pub(super) fn iso_date(text: &str) -> Result<i64, String> {
    let parts: Vec<&str> = text.split('-').collect();
    match parts.as_slice() {
        [year, month, day] => date(year, month, day),
        _ => None,
    }
    .ok_or_else(no_date)
}

/// `MM-DD-YYYY`, where month and day may have one digit, as UTC milliseconds.
pub(super) fn us_date(text: &str) -> Result<i64, String> {
    let parts: Vec<&str> = text.split('-').collect();
    match parts.as_slice() {
        [month, day, year] => date(year, month, day),
        _ => None,
    }
    .ok_or_else(no_date)
}

fn no_date() -> String {
    "Not a valid date.".into()
}

fn date(year: &str, month: &str, day: &str) -> Option<i64> {
    fn number<T: std::str::FromStr>(text: &str, lengths: std::ops::RangeInclusive<usize>) -> Option<T> {
        let digits = text.bytes().all(|byte| byte.is_ascii_digit()) && lengths.contains(&text.len());
        text.parse().ok().filter(|_| digits)
    }
    let date = Date::new(number(year, 4..=4)?, number(month, 1..=2)?, number(day, 1..=2)?).ok()?;
    let midnight = TimeZone::UTC.to_timestamp(date.to_datetime(Time::midnight())).ok()?;
    Some(midnight.as_millisecond())
}

/// A time as it was written: with a zone, or without one and then UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Moment {
    pub at: Timestamp,
    pub zoned: bool,
}

impl Moment {
    /// ISO 8601.
    pub fn read(text: &str) -> Result<Self, String> {
        if let Ok(at) = text.parse() {
            return Ok(Self { at, zoned: true });
        }
        let naive = text.parse::<DateTime>().ok().and_then(|naive| TimeZone::UTC.to_timestamp(naive).ok());
        naive.map(|at| Self { at, zoned: false }).ok_or_else(|| "Not a valid datetime.".into())
    }

    /// The first whole millisecond that is not before it: hits have no finer times.
    pub fn millisecond(self) -> i64 {
        let floor = self.at.as_millisecond();
        floor + i64::from(self.at.subsec_nanosecond().rem_euclid(1_000_000) != 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_may_be_unpadded_and_must_exist() {
        assert_eq!(iso_date("1970-1-2"), Ok(86_400_000));
        assert_eq!(us_date("1-02-1970"), iso_date("1970-01-02"));
        for wrong in
            ["2021-02-30", "03-15-2021", "", "2021-03-15T00:00:00", "21-03-15", "2021-3-+5", "2021-003-1"]
        {
            assert_eq!(iso_date(wrong), Err("Not a valid date.".into()), "{wrong}");
        }
    }

    #[test]
    fn everything_wrong_is_told_at_once() {
        let uri: Uri = "/x?start_date=x&zzz=1&zzz=2".parse().expect("uri");
        let mut params = Params::of(&uri);
        let dates = params.dates();
        let Err(Refused::Parameters(errors)) = params.finish(dates) else { panic!("taken") };
        assert_eq!(
            errors.to_string(),
            "{'start_date': ['Not a valid date.'], 'end_date': ['Missing data for required field.'], \
             'zzz': ['Unknown field.']}"
        );
    }

    #[test]
    fn a_moment_between_milliseconds_is_the_next_of_them() {
        let at = |text| Moment::read(text).map(Moment::millisecond);
        assert_eq!(at("1970-01-01T00:00:00.0015"), Ok(2));
        assert_eq!(at("1970-01-01T01:00:00.001+01:00"), Ok(1));
        assert!(at("soon").is_err());
    }
}
