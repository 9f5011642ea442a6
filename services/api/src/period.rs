//! Stretches of time as people and programs name them: `7d`, `month`, a pair of dates or moments, in
//! a zone. The query interface, exports and the dashboard read them here and nowhere else.

use jiff::{
    Timestamp, ToSpan,
    civil::{Date, DateTime, Time},
    tz::TimeZone,
};
use watchkeeper_analytics::Bucket;

/// Names of ranges, in the order that help texts list them.
pub(crate) const NAMES: [&str; 11] =
    ["day", "24h", "7d", "28d", "30d", "91d", "month", "6mo", "12mo", "year", "all"];

/// Why a range or zone cannot be understood, and how to write it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(crate) struct PeriodError(pub String);

/// A range as it was asked for, before it is known what time it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Range {
    /// So many calendar days, the last of them today.
    Days(u16),
    /// So many calendar months, the last of them this one, up to the end of today.
    Months(u8),
    /// This calendar year, up to the end of today.
    Year,
    /// So many hours up to now.
    Hours(u16),
    /// From the first hit to now.
    All,
    /// From one edge to another.
    Between(Edge, Edge),
}

/// One end of a range that was written out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Edge {
    /// A calendar day, which belongs to the range whole.
    Day(Date),
    /// A time on the zone's clock; the range has its start and not its end.
    Clock(DateTime),
    /// A moment; the range has its start and not its end.
    Moment(Timestamp),
}

/// A range at a given time, in a zone: `from` belongs to it, `to` does not. UTC milliseconds.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Period {
    pub from: i64,
    pub to: i64,
    pub zone: TimeZone,
    /// First and last day, where the period is made of whole days.
    days: Option<(Date, Date)>,
}

impl Range {
    /// A range by its name.
    ///
    /// # Errors
    /// For any but [`NAMES`].
    pub fn named(name: &str) -> Result<Self, PeriodError> {
        Ok(match name {
            "day" => Self::Days(1),
            "24h" => Self::Hours(24),
            "7d" => Self::Days(7),
            "28d" => Self::Days(28),
            "30d" => Self::Days(30),
            "91d" => Self::Days(91),
            "month" => Self::Months(1),
            "6mo" => Self::Months(6),
            "12mo" => Self::Months(12),
            "year" => Self::Year,
            "all" => Self::All,
            other => {
                return Err(PeriodError(format!(
                    "There is no period `{other}`; use {}, or a pair of ISO dates or times.",
                    NAMES.join(", ")
                )));
            }
        })
    }

    /// A range by its two ends: ISO dates (`2026-01-31`, whole days) or times
    /// (`2026-01-31T12:00:00Z`, with an offset or else on the zone's clock).
    ///
    /// # Errors
    /// When an end cannot be read.
    pub fn between(from: &str, to: &str) -> Result<Self, PeriodError> {
        Ok(Self::Between(edge(from)?, edge(to)?))
    }

    /// The range at `now`, UTC milliseconds. `first` is the time of the project's first hit, which
    /// only [`Range::All`] looks at.
    ///
    /// # Errors
    /// When the range ends before it starts, or leaves the calendar.
    pub fn at(self, now: i64, zone: &TimeZone, first: Option<i64>) -> Result<Period, PeriodError> {
        let moment = Timestamp::from_millisecond(now).map_err(|_| off_calendar())?;
        let today = moment.to_zoned(zone.clone()).date();
        let whole = |first: Date, last: Date| Period::of_days(first, last, zone.clone());
        match self {
            Self::Days(days) => {
                let back = i64::from(days.saturating_sub(1)).days();
                whole(today.checked_sub(back).map_err(|_| off_calendar())?, today)
            }
            Self::Months(months) => {
                let back = i64::from(months.saturating_sub(1)).months();
                let first = today.first_of_month().checked_sub(back).map_err(|_| off_calendar())?;
                whole(first, today)
            }
            Self::Year => whole(today.first_of_year(), today),
            Self::Hours(hours) => {
                Ok(Period::of_moments(now - i64::from(hours) * 3_600_000, now, zone.clone()))
            }
            Self::All => {
                Ok(Period::of_moments(first.map_or(now, |first| first.min(now)), now + 1, zone.clone()))
            }
            Self::Between(Edge::Day(first), Edge::Day(last)) => {
                if last < first {
                    return Err(backwards());
                }
                whole(first, last)
            }
            Self::Between(from, to) => {
                let from = match from {
                    Edge::Day(day) => midnight(day, zone)?,
                    other => other.moment(zone)?,
                };
                let to = match to {
                    Edge::Day(day) => midnight(day.tomorrow().map_err(|_| off_calendar())?, zone)?,
                    other => other.moment(zone)?,
                };
                if to < from {
                    return Err(backwards());
                }
                Ok(Period::of_moments(from, to, zone.clone()))
            }
        }
    }
}

impl Edge {
    fn moment(self, zone: &TimeZone) -> Result<i64, PeriodError> {
        match self {
            Self::Day(day) => midnight(day, zone),
            Self::Clock(clock) => {
                let zoned = zone.to_ambiguous_zoned(clock).compatible().map_err(|_| off_calendar())?;
                Ok(zoned.timestamp().as_millisecond())
            }
            Self::Moment(moment) => Ok(moment.as_millisecond()),
        }
    }
}

impl Period {
    fn of_days(first: Date, last: Date, zone: TimeZone) -> Result<Self, PeriodError> {
        let from = midnight(first, &zone)?;
        let to = midnight(last.tomorrow().map_err(|_| off_calendar())?, &zone)?;
        Ok(Self { from, to, zone, days: Some((first, last)) })
    }

    fn of_moments(from: i64, to: i64, zone: TimeZone) -> Self {
        Self { from, to, zone, days: None }
    }

    /// The period of the same length just before: as many days, or as many milliseconds.
    ///
    /// # Errors
    /// When it leaves the calendar.
    pub fn before(&self) -> Result<Self, PeriodError> {
        let Some((first, last)) = self.days else {
            let from = self.from.checked_sub(self.to - self.from).ok_or_else(off_calendar)?;
            return Ok(Self::of_moments(from, self.from, self.zone.clone()));
        };
        let length = first.until(last).map_err(|_| off_calendar())?.get_days();
        let end = first.yesterday().map_err(|_| off_calendar())?;
        let start = end.checked_sub(i64::from(length).days()).map_err(|_| off_calendar())?;
        Self::of_days(start, end, self.zone.clone())
    }

    /// The same period a year earlier; a 29 February becomes the 28th.
    ///
    /// # Errors
    /// When it leaves the calendar.
    pub fn year_before(&self) -> Result<Self, PeriodError> {
        if let Some((first, last)) = self.days {
            let back = |day: Date| day.checked_sub(1.year()).map_err(|_| off_calendar());
            return Self::of_days(back(first)?, back(last)?, self.zone.clone());
        }
        let back = |ms: i64| {
            let zoned = Timestamp::from_millisecond(ms).ok()?.to_zoned(self.zone.clone());
            Some(zoned.checked_sub(1.year()).ok()?.timestamp().as_millisecond())
        };
        let (from, to) = (back(self.from), back(self.to));
        let (Some(from), Some(to)) = (from, to) else { return Err(off_calendar()) };
        Ok(Self::of_moments(from, to, self.zone.clone()))
    }

    /// Whether it is made of whole days.
    pub fn is_of_days(&self) -> bool {
        self.days.is_some()
    }

    /// How far a time is on the zone's clock from the midnight that the period begins with,
    /// milliseconds: every hour has its place, also in days of 23 or 25 hours.
    pub fn clock(&self, ts: i64) -> i64 {
        let on_clock = |ms: i64| {
            let moment = Timestamp::from_millisecond(ms).unwrap_or(Timestamp::UNIX_EPOCH);
            ms + i64::from(self.zone.to_offset(moment).seconds()) * 1_000
        };
        let midnight = |day: Date| TimeZone::UTC.to_timestamp(day.to_datetime(Time::midnight())).ok();
        let start = self.days.and_then(|(first, _)| midnight(first));
        on_clock(ts) - start.map_or_else(|| on_clock(self.from), Timestamp::as_millisecond)
    }

    /// The time bucket that gives a chart some dozens of points.
    pub fn bucket(&self) -> Bucket {
        const HOUR: i64 = 3_600_000;
        match self.to.saturating_sub(self.from) {
            length if length <= 3 * HOUR => Bucket::Minute,
            // Three days, and a hundred, may have an hour more.
            length if length <= 73 * HOUR => Bucket::Hour,
            length if length <= (100 * 24 + 1) * HOUR => Bucket::Day,
            length if length <= 200 * 24 * HOUR => Bucket::Week,
            _ => Bucket::Month,
        }
    }
}

/// A time zone by its IANA name, such as `Europe/Berlin`.
///
/// # Errors
/// When there is none of this name.
pub(crate) fn zone(name: &str) -> Result<TimeZone, PeriodError> {
    TimeZone::get(name).map_err(|_| {
        PeriodError(format!(
            "There is no time zone `{name}`; use an IANA name such as UTC, Europe/Berlin or America/New_York."
        ))
    })
}

fn edge(text: &str) -> Result<Edge, PeriodError> {
    let text = text.trim();
    // A date parses as a time too, so the longer forms come first and only where there is a time.
    if let Ok(moment) = text.parse::<Timestamp>() {
        return Ok(Edge::Moment(moment));
    }
    let has_time = text.contains(['T', 't', ' ']);
    if has_time && let Ok(clock) = text.parse::<DateTime>() {
        return Ok(Edge::Clock(clock));
    }
    if !has_time && let Ok(day) = text.parse::<Date>() {
        return Ok(Edge::Day(day));
    }
    Err(PeriodError(format!(
        "`{text}` is neither an ISO date such as 2026-01-31 nor a time such as 2026-01-31T12:00:00Z."
    )))
}

fn midnight(day: Date, zone: &TimeZone) -> Result<i64, PeriodError> {
    Edge::Clock(day.to_datetime(Time::midnight())).moment(zone)
}

fn off_calendar() -> PeriodError {
    PeriodError("The range leaves the calendar; use years from 1 to 9998.".into())
}

fn backwards() -> PeriodError {
    PeriodError("The range ends before it starts; put the earlier end first.".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(text: &str) -> i64 {
        text.parse::<Timestamp>().expect("time").as_millisecond()
    }

    /// The period at noon UTC of a Sunday in summer, as two texts in the zone.
    fn at(range: Range, name: &str) -> (String, String) {
        let zone = zone(name).expect("zone");
        let period =
            range.at(ms("2026-03-29T12:00:00Z"), &zone, Some(ms("2025-12-31T23:30:00Z"))).expect("at");
        let text = |ms| {
            let zoned = Timestamp::from_millisecond(ms).expect("time").to_zoned(zone.clone());
            zoned.strftime("%Y-%m-%dT%H:%M:%S").to_string()
        };
        (text(period.from), text(period.to))
    }

    fn named(name: &str, zone: &str) -> (String, String) {
        at(Range::named(name).expect("name"), zone)
    }

    fn pair(from: &str, to: &str) -> (String, String) {
        (from.into(), to.into())
    }

    #[test]
    fn every_name_is_a_range_and_no_other_is() {
        for name in NAMES {
            let range = Range::named(name).expect(name);
            let period = range.at(ms("2026-03-29T12:00:00Z"), &TimeZone::UTC, None).expect(name);
            assert!(period.from < period.to, "{name}");
        }
        let error = Range::named("8d").expect_err("no name").to_string();
        assert!(error.contains("8d") && error.contains("24h, 7d"), "{error}");
    }

    #[test]
    fn named_periods_are_whole_days_of_the_zone() {
        // The clocks in Berlin went forward this very day.
        assert_eq!(named("day", "Europe/Berlin"), pair("2026-03-29T00:00:00", "2026-03-30T00:00:00"));
        assert_eq!(named("7d", "Europe/Berlin"), pair("2026-03-23T00:00:00", "2026-03-30T00:00:00"));
        assert_eq!(named("month", "UTC"), pair("2026-03-01T00:00:00", "2026-03-30T00:00:00"));
        assert_eq!(named("6mo", "UTC"), pair("2025-10-01T00:00:00", "2026-03-30T00:00:00"));
        assert_eq!(named("year", "UTC"), pair("2026-01-01T00:00:00", "2026-03-30T00:00:00"));
        assert_eq!(named("24h", "UTC"), pair("2026-03-28T12:00:00", "2026-03-29T12:00:00"));
        assert_eq!(named("day", "Pacific/Kiritimati").0, "2026-03-30T00:00:00");
    }

    #[test]
    fn all_starts_with_the_first_hit() {
        assert_eq!(named("all", "UTC").0, "2025-12-31T23:30:00");
        let none = Range::All.at(5, &TimeZone::UTC, None).expect("at");
        assert_eq!((none.from, none.to), (5, 6));
    }

    #[test]
    fn a_pair_of_dates_has_both_days_and_a_pair_of_times_not_its_end() {
        let days = Range::between("2026-01-01", "2026-01-31").expect("dates");
        assert_eq!(at(days, "Asia/Kolkata"), pair("2026-01-01T00:00:00", "2026-02-01T00:00:00"));
        let times = Range::between("2026-01-01T01:00:00Z", "2026-01-01T04:00:00+02:00").expect("times");
        assert_eq!(at(times, "UTC"), pair("2026-01-01T01:00:00", "2026-01-01T02:00:00"));
        let clock = Range::between("2026-01-01 08:00", "2026-01-01").expect("mixed");
        assert_eq!(at(clock, "America/New_York"), pair("2026-01-01T08:00:00", "2026-01-02T00:00:00"));
    }

    #[test]
    fn what_is_no_range_says_how_to_write_one() {
        for (from, to) in [("", "2026-01-01"), ("2026-02-30", "2026-03-01"), ("2026-01-01", "now")] {
            let error = Range::between(from, to).expect_err("no range").to_string();
            assert!(error.contains("ISO date"), "{error}");
        }
        let back = Range::between("2026-01-02", "2026-01-01").expect("dates");
        assert!(back.at(0, &TimeZone::UTC, None).expect_err("backwards").to_string().contains("earlier end"));
        let far = Range::between("9999-12-31", "9999-12-31").expect("dates");
        assert!(far.at(0, &TimeZone::UTC, None).is_err());
        assert!(zone("Mars/Olympus").expect_err("zone").to_string().contains("IANA"));
    }

    #[test]
    fn the_period_before_has_as_many_days_or_milliseconds() {
        let berlin = zone("Europe/Berlin").expect("zone");
        let now = ms("2026-03-30T12:00:00Z");
        let day = Range::Days(2).at(now, &berlin, None).expect("days");
        let before = day.before().expect("before");
        assert_eq!(before.to, day.from);
        // The day that lost an hour is in the later of the two.
        assert_eq!((day.to - day.from, before.to - before.from), (47 * 3_600_000, 48 * 3_600_000));
        let hours = Range::Hours(24).at(now, &berlin, None).expect("hours").before().expect("before");
        assert_eq!((hours.from, hours.to), (now - 48 * 3_600_000, now - 24 * 3_600_000));
        let leap =
            Range::between("2024-02-29", "2024-02-29").expect("leap").at(now, &berlin, None).expect("leap");
        let year = leap.year_before().expect("year");
        assert_eq!(year.days, Some(("2023-02-28".parse().expect("day"), "2023-02-28".parse().expect("day"))));
    }

    #[test]
    fn an_hour_has_its_place_by_the_clock_also_where_another_is_missing_or_twice() {
        let place = |zone: &str, day: &str, time: &str| {
            let zone = self::zone(zone).expect("zone");
            let range = Range::between(day, day).expect("day").at(0, &zone, None).expect("at");
            range.clock(ms(time)) / 3_600_000
        };
        // At two o'clock it became three, and at three it became two.
        let spring = |time| place("Europe/Berlin", "2026-03-29", time);
        assert_eq!([spring("2026-03-29T00:00:00Z"), spring("2026-03-29T01:00:00Z")], [1, 3]);
        let autumn = |time| place("Europe/Berlin", "2026-10-25", time);
        let hours = ["2026-10-25T00:00:00Z", "2026-10-25T01:00:00Z", "2026-10-25T22:00:00Z"];
        assert_eq!(hours.map(autumn), [2, 2, 23]);
        // A day that began at one.
        assert_eq!(place("America/Havana", "2026-03-08", "2026-03-08T05:00:00Z"), 1);
    }

    #[test]
    fn three_days_have_hours_also_where_they_have_one_more() {
        let berlin = zone("Europe/Berlin").expect("zone");
        let days = Range::between("2026-10-24", "2026-10-26").expect("days");
        let days = days.at(0, &berlin, None).expect("at");
        assert_eq!((days.to - days.from, days.bucket()), (73 * 3_600_000, Bucket::Hour));
    }

    #[test]
    fn buckets_grow_with_the_period() {
        let bucket = |name: &str| {
            let range = Range::named(name).expect("name");
            range.at(ms("2026-12-31T12:00:00Z"), &TimeZone::UTC, None).expect("at").bucket()
        };
        let buckets = ["24h", "7d", "91d", "6mo", "12mo"].map(bucket);
        assert_eq!(buckets, [Bucket::Hour, Bucket::Day, Bucket::Day, Bucket::Week, Bucket::Month]);
    }
}
