use proptest::prelude::*;

use super::*;

fn window(start: &str, hours: u64, recurrence: &str, timezone: &str) -> MaintenanceWindow {
    MaintenanceWindow {
        start: start.into(),
        duration: Duration::from_secs(hours * 3_600),
        recurrence: Some(recurrence.into()),
        timezone: timezone.into(),
    }
}

fn at(moment: &str) -> i64 {
    moment.parse::<Timestamp>().expect("a moment").as_millisecond()
}

fn end(window: &MaintenanceWindow, moment: &str) -> Option<String> {
    ends_at(std::slice::from_ref(window), at(moment))
        .map(|end| Timestamp::from_millisecond(end).expect("a moment").to_string())
}

#[test]
fn a_window_that_happens_once_includes_its_start_and_not_its_end() {
    let once = window("2026-03-01T22:00", 2, "none", "UTC");
    assert_eq!(end(&once, "2026-03-01T21:59:59Z"), None);
    assert_eq!(end(&once, "2026-03-01T22:00:00Z").as_deref(), Some("2026-03-02T00:00:00Z"));
    assert_eq!(end(&once, "2026-03-01T23:59:59Z").as_deref(), Some("2026-03-02T00:00:00Z"));
    assert_eq!(end(&once, "2026-03-02T00:00:00Z"), None);
    assert_eq!(end(&once, "2026-03-02T22:30:00Z"), None);
}

#[test]
fn a_daily_window_keeps_its_local_time_when_the_clocks_change() {
    let daily = window("2026-03-01T22:00", 1, "daily", "Europe/Berlin");
    // Winter time is UTC+1 until 29 March 2026, summer time UTC+2.
    assert!(end(&daily, "2026-03-28T21:30:00Z").is_some());
    assert!(end(&daily, "2026-03-28T20:30:00Z").is_none());
    assert!(end(&daily, "2026-03-30T20:30:00Z").is_some());
    assert!(end(&daily, "2026-03-30T21:30:00Z").is_none());
    // Not before its first day.
    assert!(end(&daily, "2026-02-28T21:30:00Z").is_none());
}

#[test]
fn a_start_that_the_clocks_leave_out_is_an_hour_later() {
    let daily = window("2026-03-01T02:30", 1, "daily", "Europe/Berlin");
    // 02:30 does not exist on 29 March 2026 in Berlin: it is 03:30, 01:30 UTC.
    assert_eq!(end(&daily, "2026-03-29T01:45:00Z").as_deref(), Some("2026-03-29T02:30:00Z"));
}

#[test]
fn a_window_over_midnight_goes_on_into_the_next_day() {
    let night = window("22:00", 9, "daily", "America/New_York");
    assert_eq!(end(&night, "2026-07-02T03:00:00Z").as_deref(), Some("2026-07-02T11:00:00Z"));
    assert_eq!(end(&night, "2026-07-02T10:59:00Z").as_deref(), Some("2026-07-02T11:00:00Z"));
    assert_eq!(end(&night, "2026-07-02T12:00:00Z"), None);
}

#[test]
fn weekly_and_monthly_windows_follow_their_first_day() {
    // 1 March 2026 is a Sunday.
    let weekly = window("2026-03-01T10:00", 2, "weekly", "UTC");
    assert!(end(&weekly, "2026-03-08T11:00:00Z").is_some());
    assert!(end(&weekly, "2026-03-09T11:00:00Z").is_none());
    let monthly = window("2026-01-31T10:00", 2, "monthly", "UTC");
    assert!(end(&monthly, "2026-02-28T11:00:00Z").is_some());
    assert!(end(&monthly, "2026-03-31T11:00:00Z").is_some());
    assert!(end(&monthly, "2026-03-28T11:00:00Z").is_none());
}

#[test]
fn cron_says_when_windows_begin() {
    let weekdays = window("00:00", 1, "30 2 * * 1-5", "UTC");
    assert!(end(&weekdays, "2026-03-02T02:45:00Z").is_some());
    assert!(end(&weekdays, "2026-03-02T02:29:00Z").is_none());
    assert!(end(&weekdays, "2026-03-01T02:45:00Z").is_none());
    let second_tuesday = window("2026-01-01T00:00", 24, "0 0 8-14 * *", "UTC");
    assert!(end(&second_tuesday, "2026-03-10T12:00:00Z").is_some());
    // Day of month or day of week, when both are given.
    let either = window("00:00", 1, "0 0 13 * 5", "UTC");
    assert!(end(&either, "2026-04-13T00:30:00Z").is_some());
    assert!(end(&either, "2026-04-17T00:30:00Z").is_some());
    assert!(end(&either, "2026-04-14T00:30:00Z").is_none());
    // 7 is Sunday as well.
    assert!(end(&window("00:00", 1, "0 0 * * 7", "UTC"), "2026-03-01T00:30:00Z").is_some());
    let quarters = window("00:00", 1, "*/15 0 * * *", "UTC");
    assert_eq!(end(&quarters, "2026-03-01T01:44:00Z").as_deref(), Some("2026-03-01T01:45:00Z"));
}

#[test]
fn what_is_wrong_is_named_with_its_fix() {
    let wrong = |window: MaintenanceWindow| parse(&window).expect_err("it is wrong");
    assert!(wrong(window("tomorrow", 1, "none", "UTC")).starts_with("start: `tomorrow`"));
    assert!(wrong(window("22:00", 1, "daily", "Berlin")).starts_with("timezone: `Berlin`"));
    assert!(wrong(window("22:00", 0, "daily", "UTC")).starts_with("duration: "));
    assert!(wrong(window("22:00", 32 * 24, "daily", "UTC")).starts_with("duration: "));
    assert!(wrong(window("22:00", 1, "yearly", "UTC")).starts_with("recurrence: `yearly`"));
    assert!(wrong(window("22:00", 1, "60 * * * *", "UTC")).contains("minute"));
    assert!(wrong(window("22:00", 1, "* * 0 * *", "UTC")).contains("day of month"));
    assert!(wrong(window("22:00", 1, "*/0 * * * *", "UTC")).contains("minute"));
    assert!(wrong(window("22:00", 1, "5-1 * * * *", "UTC")).contains("minute"));
}

proptest! {
    /// In UTC, where all days are of one length, a daily window is arithmetic.
    #[test]
    fn a_daily_window_in_utc_is_arithmetic(minute in 0_i64..1_440, hours in 1_u64..24, moment in 86_400_000_i64..4_000_000_000_000) {
        let start = format!("{:02}:{:02}", minute / 60, minute % 60);
        let daily = window(&start, hours, "daily", "UTC");
        let hours = i64::try_from(hours).expect("small");
        let into = (moment - minute * 60_000).rem_euclid(crate::DAY_MS);
        let inside = into < hours * 3_600_000;
        let expected = inside.then(|| moment - into + hours * 3_600_000);
        prop_assert_eq!(ends_at(&[daily], moment), expected);
    }
}
