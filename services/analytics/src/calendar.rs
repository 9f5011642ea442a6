//! Time buckets, hours and weekdays in a zone, daylight saving included.

use jiff::{
    Timestamp, ToSpan, Zoned,
    civil::{Date, Time},
    tz::TimeZone,
};

use crate::Bucket;

/// What a time is told by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Unit {
    /// Its bucket.
    Bucket(Bucket),
    /// Its hour of the day.
    HourOfDay,
    /// Its day of the week.
    Weekday,
}

/// The calendar of one question.
#[derive(Debug, Clone)]
pub(crate) struct Calendar<'a> {
    zone: &'a TimeZone,
    origin: i64,
}

impl<'a> Calendar<'a> {
    /// A calendar in `zone`; buckets of seconds are counted from `origin`, UTC milliseconds.
    pub fn new(zone: &'a TimeZone, origin: i64) -> Self {
        Self { zone, origin }
    }

    /// The bucket that a time falls into: its start and the start of the next, UTC milliseconds.
    pub fn bucket(&self, ts: i64, bucket: Bucket) -> (i64, i64) {
        match bucket {
            Bucket::Seconds(seconds) => {
                let length = i64::from(seconds.max(1)) * 1_000;
                let start = ts.saturating_sub(ts.saturating_sub(self.origin).rem_euclid(length));
                (start, start.saturating_add(length))
            }
            Bucket::Minute => self.clock(ts, 60_000),
            Bucket::Hour => self.clock(ts, 3_600_000),
            Bucket::Day => self.days(ts, |date| (date, 1.day())),
            Bucket::Week => self.days(ts, |date| {
                let back = i64::from(date.weekday().to_monday_zero_offset());
                (date.saturating_sub(back.days()), 7.days())
            }),
            Bucket::Month => self.days(ts, |date| (date.first_of_month(), 1.month())),
            Bucket::Year => self.days(ts, |date| (date.first_of_year(), 1.year())),
        }
    }

    /// The start of every bucket that a range touches, in order; `None` when there are more than `most`.
    pub fn buckets(&self, from: i64, to: i64, bucket: Bucket, most: usize) -> Option<Vec<i64>> {
        let mut starts = Vec::new();
        let mut at = from;
        while at < to {
            let (start, next) = self.bucket(at, bucket);
            if starts.len() == most {
                return None;
            }
            starts.push(start);
            at = next.max(at + 1);
        }
        Some(starts)
    }

    /// Hour of the day, 0 to 23, and day of the week, 1 (Monday) to 7.
    pub fn hour_and_weekday(&self, ts: i64) -> (i64, i64) {
        let local = self.local(ts);
        (i64::from(local.hour()), i64::from(local.weekday().to_monday_one_offset()))
    }

    /// What a time is told by `unit`, and a stretch of time around it that is told the same
    /// throughout: its first moment and the first after it. The stretch is not always all there is,
    /// since daylight saving may set the clock back into an hour or a day.
    pub fn stretch(&self, ts: i64, unit: Unit) -> (i64, i64, i64) {
        let told = match unit {
            Unit::Bucket(bucket) => self.bucket(ts, bucket).0,
            Unit::HourOfDay => self.hour_and_weekday(ts).0,
            Unit::Weekday => self.hour_and_weekday(ts).1,
        };
        if let Unit::Bucket(bucket @ Bucket::Seconds(_)) = unit {
            return (told, told, self.bucket(ts, bucket).1);
        }
        let offset = i64::from(self.zone.to_offset(timestamp(ts)).seconds()) * 1_000;
        let floor = |length: i64| {
            let start = ts - (ts + offset).rem_euclid(length);
            (start, start + length)
        };
        let (from, to) = match unit {
            Unit::Bucket(Bucket::Minute) => floor(60_000),
            Unit::Bucket(Bucket::Hour) | Unit::HourOfDay => floor(3_600_000),
            // A day at a time also of weeks and longer, which is often enough.
            _ => floor(86_400_000),
        };
        // The offset holds from one transition to the next.
        let moment = timestamp(ts);
        let next = self.zone.following(moment).next().map(|it| it.timestamp().as_millisecond());
        let after = timestamp(ts.saturating_add(1));
        let last = self.zone.preceding(after).next().map(|it| it.timestamp().as_millisecond());
        (told, from.max(last.unwrap_or(i64::MIN)), to.min(next.unwrap_or(i64::MAX)))
    }

    fn local(&self, ts: i64) -> Zoned {
        timestamp(ts).to_zoned(self.zone.clone())
    }

    /// A bucket of so many milliseconds on the zone's clock; an hour that is repeated when
    /// daylight saving ends is two buckets.
    fn clock(&self, ts: i64, length: i64) -> (i64, i64) {
        let offset = i64::from(self.zone.to_offset(timestamp(ts)).seconds()) * 1_000;
        let start = ts - (ts + offset).rem_euclid(length);
        (start, start + length)
    }

    fn days(&self, ts: i64, of: impl Fn(Date) -> (Date, jiff::Span)) -> (i64, i64) {
        let (first, length) = of(self.local(ts).date());
        (self.midnight(first), self.midnight(first.saturating_add(length)))
    }

    fn midnight(&self, date: Date) -> i64 {
        let midnight = date.to_datetime(Time::midnight());
        let zoned = self.zone.to_ambiguous_zoned(midnight).compatible();
        zoned.map_or(i64::MAX, |zoned| zoned.timestamp().as_millisecond())
    }
}

fn timestamp(ts: i64) -> Timestamp {
    Timestamp::from_millisecond(ts).unwrap_or(if ts < 0 { Timestamp::MIN } else { Timestamp::MAX })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(text: &str) -> i64 {
        text.parse::<Timestamp>().expect("time").as_millisecond()
    }

    fn starts(zone: &str, from: &str, to: &str, bucket: Bucket) -> Vec<String> {
        let zone = TimeZone::get(zone).expect("zone");
        let calendar = Calendar::new(&zone, ms(from));
        let starts = calendar.buckets(ms(from), ms(to), bucket, 1_000).expect("few");
        starts.into_iter().map(|start| timestamp(start).to_zoned(zone.clone()).to_string()).collect()
    }

    #[test]
    fn days_are_as_long_as_daylight_saving_makes_them() {
        let days = starts("Europe/Berlin", "2026-10-24T22:00:00Z", "2026-10-26T23:00:00Z", Bucket::Day);
        assert_eq!(
            days,
            ["2026-10-25T00:00:00+02:00[Europe/Berlin]", "2026-10-26T00:00:00+01:00[Europe/Berlin]"]
        );
    }

    #[test]
    fn the_hour_that_comes_twice_is_two_buckets_and_the_one_that_never_comes_is_none() {
        let autumn = starts("Europe/Berlin", "2026-10-25T00:00:00Z", "2026-10-25T02:00:00Z", Bucket::Hour);
        assert_eq!(autumn.len(), 2);
        assert!(autumn[0].contains("T02:00:00+02:00") && autumn[1].contains("T02:00:00+01:00"));
        let spring = starts("Europe/Berlin", "2026-03-29T00:00:00Z", "2026-03-29T02:00:00Z", Bucket::Hour);
        assert!(spring[0].contains("T01:00:00+01:00") && spring[1].contains("T03:00:00+02:00"));
    }

    #[test]
    fn weeks_begin_on_monday_and_months_on_their_first() {
        let weeks = starts("UTC", "2020-12-31T00:00:00Z", "2021-01-05T00:00:00Z", Bucket::Week);
        assert!(weeks[0].starts_with("2020-12-28") && weeks[1].starts_with("2021-01-04") && weeks.len() == 2);
        let months = starts("UTC", "2024-02-29T23:00:00Z", "2024-03-01T01:00:00Z", Bucket::Month);
        assert!(months[0].starts_with("2024-02-01") && months[1].starts_with("2024-03-01"));
    }

    #[test]
    fn a_zone_of_half_hours_keeps_the_clocks_hours() {
        let hours = starts("Asia/Kolkata", "2026-01-01T00:00:00Z", "2026-01-01T01:00:00Z", Bucket::Hour);
        assert!(hours[0].contains("T05:00:00") && hours[1].contains("T06:00:00"));
    }

    #[test]
    fn a_stretch_is_told_the_same_throughout() {
        let units = [Bucket::Seconds(3_000), Bucket::Minute, Bucket::Hour, Bucket::Day, Bucket::Week];
        let units = units.into_iter().chain([Bucket::Month, Bucket::Year]).map(Unit::Bucket);
        let units: Vec<Unit> = units.chain([Unit::HourOfDay, Unit::Weekday]).collect();
        // Set forward, set back, by half an hour, at midnight, and a day that never was.
        for (zone, around) in [
            ("Europe/Berlin", "2026-03-29T01:00:00Z"),
            ("Europe/Berlin", "2026-10-25T01:00:00Z"),
            ("Australia/Lord_Howe", "2026-04-04T15:00:00Z"),
            ("America/Havana", "2026-11-01T05:00:00Z"),
            ("Pacific/Apia", "2011-12-30T10:00:00Z"),
            ("UTC", "2024-02-29T12:00:00Z"),
        ] {
            let zone = TimeZone::get(zone).expect("zone");
            let calendar = Calendar::new(&zone, ms(around) - 12_345);
            for unit in &units {
                let mut at = ms(around) - 3 * 86_400_000;
                while at < ms(around) + 3 * 86_400_000 {
                    let (told, from, to) = calendar.stretch(at, *unit);
                    assert!(from <= at && at < to, "{unit:?} at {at}: {from} to {to}");
                    for other in [from, from.midpoint(to), to - 1] {
                        assert_eq!(calendar.stretch(other, *unit).0, told, "{unit:?} at {at} and {other}");
                    }
                    at = to;
                }
            }
        }
    }

    #[test]
    fn too_many_buckets_are_refused() {
        let zone = TimeZone::UTC;
        let calendar = Calendar::new(&zone, 0);
        assert_eq!(calendar.buckets(0, 10_000, Bucket::Seconds(1), 9), None);
        assert_eq!(calendar.buckets(0, 10_000, Bucket::Seconds(1), 10).map(|all| all.len()), Some(10));
    }
}
