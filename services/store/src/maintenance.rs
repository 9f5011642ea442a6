//! Times when bad checks are expected: once or again and again, in a zone.

use std::time::Duration;

use jiff::{
    Timestamp, ToSpan,
    civil::{Date, DateTime, Time},
    tz::TimeZone,
};

use crate::MaintenanceWindow;

/// Longest window, so that looking back for its start is bounded.
pub const LONGEST: Duration = Duration::from_secs(31 * 86_400);

/// When a window is over that `at` lies in, UTC milliseconds: the last to end of
/// several. Windows that cannot be understood are none; [`parse`] tells of them
/// when they are written.
pub fn ends_at(windows: &[MaintenanceWindow], at: i64) -> Option<i64> {
    windows.iter().filter_map(|window| parse(window).ok()?.end(at)).max()
}

/// Says what is wrong with a window, naming the field and the fix.
///
/// # Errors
/// When a field cannot be understood.
pub fn parse(window: &MaintenanceWindow) -> Result<Window, String> {
    let zone = TimeZone::get(&window.timezone).map_err(|_| {
        format!("timezone: `{}` is not a zone; write its IANA name, such as Europe/Berlin", window.timezone)
    })?;
    let start = start(&window.start, &zone).ok_or_else(|| {
        format!(
            "start: `{}` is not a time; write 22:00 or 2026-01-31T22:00 (in the window's zone) or 2026-01-31T22:00:00Z",
            window.start
        )
    })?;
    if window.duration.is_zero() || window.duration > LONGEST {
        return Err("duration: it must be longer than nothing and at most 31 days".into());
    }
    let recurrence = match window.recurrence.as_deref().map(str::trim) {
        None | Some("" | "none") => Recurrence::Once,
        Some("daily") => Recurrence::Daily,
        Some("weekly") => Recurrence::Weekly,
        Some("monthly") => Recurrence::Monthly,
        Some(text) => Recurrence::Cron(Cron::parse(text).map_err(|error| format!("recurrence: {error}"))?),
    };
    let duration = i64::try_from(window.duration.as_millis()).unwrap_or(i64::MAX);
    Ok(Window { start, zone, duration, recurrence })
}

/// A window that was understood.
#[derive(Debug, Clone)]
pub struct Window {
    start: DateTime,
    zone: TimeZone,
    duration: i64,
    recurrence: Recurrence,
}

#[derive(Debug, Clone)]
enum Recurrence {
    Once,
    Daily,
    Weekly,
    Monthly,
    Cron(Cron),
}

impl Window {
    /// When the occurrence ends that `at` lies in.
    pub fn end(&self, at: i64) -> Option<i64> {
        let first = self.moment(self.start)?;
        if at < first {
            return None;
        }
        if matches!(self.recurrence, Recurrence::Once) {
            let end = first.saturating_add(self.duration);
            return (at < end).then_some(end);
        }
        let today = Timestamp::from_millisecond(at).ok()?.to_zoned(self.zone.clone()).date();
        // One day more than the duration has: days are not all of one length.
        let days = self.duration / crate::DAY_MS + 2;
        (0..=days)
            .filter_map(|back| today.checked_sub(back.days()).ok())
            .flat_map(|day| self.starts_on(day))
            .filter_map(|start| self.moment(start))
            .filter(|start| (first..=at).contains(start))
            .map(|start| start.saturating_add(self.duration))
            .filter(|end| at < *end)
            .max()
    }

    /// The local times at which it starts on a day.
    fn starts_on(&self, day: Date) -> Vec<DateTime> {
        let usual = day.to_datetime(self.start.time());
        let starts = match &self.recurrence {
            Recurrence::Once => day == self.start.date(),
            Recurrence::Daily => true,
            Recurrence::Weekly => day.weekday() == self.start.date().weekday(),
            // The 31st of a shorter month is its last day.
            Recurrence::Monthly => day.day() == self.start.date().day().min(day.days_in_month()),
            Recurrence::Cron(cron) => return cron.times_on(day),
        };
        if starts { vec![usual] } else { Vec::new() }
    }

    /// A local time that a change of clocks leaves out is as much later.
    fn moment(&self, local: DateTime) -> Option<i64> {
        Some(self.zone.to_ambiguous_zoned(local).compatible().ok()?.timestamp().as_millisecond())
    }
}

/// Reads a local time, with or without seconds, an RFC 3339 moment, or a time of
/// day, which begins with the epoch.
fn start(text: &str, zone: &TimeZone) -> Option<DateTime> {
    let text = text.trim();
    if let Ok(moment) = text.parse::<Timestamp>() {
        return Some(moment.to_zoned(zone.clone()).datetime());
    }
    // A civil time reads dates with times as well; only one without a date is meant here.
    if !text.contains(['-', 'T', ' ']) {
        return Some(Date::constant(1970, 1, 1).to_datetime(text.parse::<Time>().ok()?));
    }
    text.parse().ok()
}

/// Minute, hour, day of month, month and day of week, as cron has them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cron {
    minutes: u64,
    hours: u64,
    days: u64,
    months: u64,
    weekdays: u64,
    /// Whether both kinds of day are restricted: then either is enough.
    either: bool,
}

impl Cron {
    /// Reads five fields of numbers, `*`, lists, ranges and steps; 0 and 7 are Sunday.
    ///
    /// # Errors
    /// A sentence that names the field.
    pub fn parse(text: &str) -> Result<Self, String> {
        let fields: Vec<&str> = text.split_whitespace().collect();
        let [minute, hour, day, month, weekday] = fields[..] else {
            return Err(format!(
                "`{text}` is neither none, daily, weekly, monthly nor five fields of cron \
                 (minute hour day-of-month month day-of-week)"
            ));
        };
        let weekdays = field(weekday, "day of week", 0, 7)?;
        Ok(Self {
            minutes: field(minute, "minute", 0, 59)?,
            hours: field(hour, "hour", 0, 23)?,
            days: field(day, "day of month", 1, 31)?,
            months: field(month, "month", 1, 12)?,
            weekdays: weekdays | (weekdays >> 7),
            either: !day.starts_with('*') && !weekday.starts_with('*'),
        })
    }

    fn times_on(&self, day: Date) -> Vec<DateTime> {
        let has = |bits: u64, value: i8| u8::try_from(value).is_ok_and(|value| bits >> value & 1 == 1);
        let (of_month, of_week) =
            (has(self.days, day.day()), has(self.weekdays, day.weekday().to_sunday_zero_offset()));
        let fits = if self.either { of_month || of_week } else { of_month && of_week };
        if !fits || !has(self.months, day.month()) {
            return Vec::new();
        }
        (0..24)
            .filter(|hour| has(self.hours, *hour))
            .flat_map(|hour| (0..60).filter(|minute| has(self.minutes, *minute)).map(move |m| (hour, m)))
            .filter_map(|(hour, minute)| Time::new(hour, minute, 0, 0).ok())
            .map(|time| day.to_datetime(time))
            .collect()
    }
}

/// The values that one field of cron allows, a bit each.
fn field(text: &str, name: &str, least: u32, most: u32) -> Result<u64, String> {
    let wrong = || format!("`{text}` is no {name}: write {least} to {most}, lists, ranges, steps or *");
    let number = |text: &str| {
        let number = text.parse::<u32>().ok().filter(|number| (least..=most).contains(number));
        number.ok_or_else(wrong)
    };
    let mut bits = 0;
    for part in text.split(',') {
        let (range, step) = match part.split_once('/') {
            Some((range, step)) => (range, step.parse().ok().filter(|step| *step > 0).ok_or_else(wrong)?),
            None => (part, 1),
        };
        let (first, last) = match range.split_once('-') {
            _ if range == "*" => (least, most),
            Some((first, last)) => (number(first)?, number(last)?),
            // As cron has it: 5/10 goes on to the end.
            None if part.contains('/') => (number(range)?, most),
            None => (number(range)?, number(range)?),
        };
        if first > last {
            return Err(wrong());
        }
        for value in (first..=last).step_by(step) {
            bits |= 1_u64 << value;
        }
    }
    Ok(bits)
}

#[cfg(test)]
#[path = "maintenance_tests.rs"]
mod tests;
