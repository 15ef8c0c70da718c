//! What a clock on the wall shows: times of day and dates in a person's zone.
//!
//! A time that a change of the clocks leaves out stands for the first instant after the change; of one that comes twice
//! the first that is still ahead counts.

use std::fmt;

use jiff::civil::{Date, DateTime, Time};
use jiff::tz::{AmbiguousOffset, TimeZone};

use super::Timestamp;

/// A time zone of the IANA database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Zone(TimeZone);

/// Hours and minutes of a day, without a zone. Written `HH:MM`, from `00:00` to `23:59`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct TimeOfDay {
    minutes: u16,
}

/// A day of the calendar, without a zone. Written `YYYY-MM-DD`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LocalDate(Date);

const MINUTES_PER_DAY: u16 = 24 * 60;

impl TimeOfDay {
    pub const MIDNIGHT: TimeOfDay = TimeOfDay { minutes: 0 };

    /// `None`: there is no such time.
    pub fn new(hour: u8, minute: u8) -> Option<Self> {
        (hour < 24 && minute < 60).then(|| Self { minutes: u16::from(hour) * 60 + u16::from(minute) })
    }

    /// Reads `HH:MM`, two digits each.
    pub fn parse(text: &str) -> Option<Self> {
        let (hour, minute) = text.split_once(':')?;
        let number = |text: &str| {
            let is_number = text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_digit());
            if is_number { text.parse().ok() } else { None }
        };
        Self::new(number(hour)?, number(minute)?)
    }

    /// Since midnight, as clocks count.
    pub fn minutes(self) -> u16 {
        self.minutes
    }

    /// `None` from 1,440 on.
    pub fn from_minutes(minutes: u16) -> Option<Self> {
        (minutes < MINUTES_PER_DAY).then_some(Self { minutes })
    }

    fn civil(self) -> Time {
        Time::constant((self.minutes / 60) as i8, (self.minutes % 60) as i8, 0, 0)
    }
}

impl fmt::Display for TimeOfDay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:02}:{:02}", self.minutes / 60, self.minutes % 60)
    }
}

impl LocalDate {
    /// `None`: there is no such day.
    pub fn new(year: i16, month: i8, day: i8) -> Option<Self> {
        Date::new(year, month, day).ok().map(Self)
    }

    pub fn parse(text: &str) -> Option<Self> {
        // The library reads other ways to write a date as well.
        if text.len() == 10 { text.parse().ok().map(Self) } else { None }
    }

    pub fn month_and_day(self) -> (i8, i8) {
        (self.0.month(), self.0.day())
    }

    /// The day after; the last day there is has itself.
    pub fn next(self) -> Self {
        Self(self.0.tomorrow().unwrap_or(self.0))
    }
}

impl fmt::Display for LocalDate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Zone {
    pub const UTC: Zone = Zone(TimeZone::UTC);

    /// By its name in the IANA database, such as `Europe/Berlin`; `None`: there is no such zone.
    pub fn parse(name: &str) -> Option<Self> {
        TimeZone::get(name).ok().map(Self)
    }

    /// The names of all zones there are.
    pub fn names() -> Vec<String> {
        jiff::tz::db().available().map(|name| name.to_string()).collect()
    }

    pub fn name(&self) -> &str {
        self.0.iana_name().unwrap_or("UTC")
    }

    /// For those who write times down.
    pub fn time_zone(&self) -> &TimeZone {
        &self.0
    }

    /// What the clock shows; seconds are left out.
    pub fn time_of_day(&self, at: Timestamp) -> TimeOfDay {
        let time = self.local(at).time();
        TimeOfDay { minutes: u16::from(time.hour() as u8) * 60 + u16::from(time.minute() as u8) }
    }

    pub fn date(&self, at: Timestamp) -> LocalDate {
        LocalDate(self.local(at).date())
    }

    /// The first instant, at or after `from`, at which the clock shows `time`.
    pub fn next(&self, time: TimeOfDay, from: Timestamp) -> Timestamp {
        let mut date = self.date(from);
        // A day may have passed the time already, and where a zone jumps over a whole day the next has as well.
        for _ in 0..3 {
            let ahead = self.instants(date.0.to_datetime(time.civil())).into_iter().flatten().find(|at| *at >= from);
            if let Some(instant) = ahead {
                return instant;
            }
            date = date.next();
        }
        // Only the last days of the year 9999 come here.
        from
    }

    /// The first instant of a day.
    pub fn start_of(&self, date: LocalDate) -> Timestamp {
        let [first, second] = self.instants(date.0.to_datetime(Time::midnight()));
        first.or(second).unwrap_or_default()
    }

    fn local(&self, at: Timestamp) -> DateTime {
        self.0.to_datetime(instant(at))
    }

    /// The instants at which clocks show this: one, two where they were set back, and the change itself where they were set
    /// forward over it.
    fn instants(&self, local: DateTime) -> [Option<Timestamp>; 2] {
        let at = |offset: jiff::tz::Offset| offset.to_timestamp(local).ok();
        match self.0.to_ambiguous_timestamp(local).offset() {
            AmbiguousOffset::Unambiguous { offset } => [at(offset).map(timestamp), None],
            AmbiguousOffset::Fold { before, after } => [at(before).map(timestamp), at(after).map(timestamp)],
            AmbiguousOffset::Gap { after, .. } => {
                // With the later offset it lies before the change, which is the next.
                let change = at(after).and_then(|before| self.0.following(before).next());
                [change.map(|change| timestamp(change.timestamp())), None]
            }
        }
    }
}

fn instant(at: Timestamp) -> jiff::Timestamp {
    let millis = i64::try_from(at.millis()).unwrap_or(i64::MAX);
    jiff::Timestamp::from_millisecond(millis).unwrap_or(jiff::Timestamp::MAX)
}

/// What lies before 1970 is 1970.
fn timestamp(instant: jiff::Timestamp) -> Timestamp {
    Timestamp(u64::try_from(instant.as_millisecond()).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn zone(name: &str) -> Zone {
        Zone::parse(name).expect("a zone")
    }

    fn at(text: &str) -> Timestamp {
        Timestamp::parse(text).expect("a time")
    }

    fn check_next(name: &str, time: &str, from: &str, expected: &str) {
        let time = TimeOfDay::parse(time).expect("a time of day");
        assert_eq!(zone(name).next(time, at(from)), at(expected), "{time} in {name} from {from}");
    }

    #[test]
    fn a_time_of_day_is_today_if_it_is_still_ahead_and_tomorrow_otherwise() {
        check_next("Asia/Tokyo", "08:00", "2026-06-01T22:59:00Z", "2026-06-01T23:00:00Z");
        check_next("Asia/Tokyo", "08:00", "2026-06-01T23:00:00Z", "2026-06-01T23:00:00Z");
        check_next("Asia/Tokyo", "08:00", "2026-06-01T23:00:00.001Z", "2026-06-02T23:00:00Z");
        check_next("UTC", "00:00", "2026-12-31T12:00:00Z", "2027-01-01T00:00:00Z");
    }

    #[test]
    fn a_time_that_the_clocks_leave_out_is_the_moment_they_are_set_forward() {
        check_next("America/New_York", "02:30", "2026-03-08T06:00:00Z", "2026-03-08T07:00:00Z");
        check_next("Europe/Berlin", "02:00", "2026-03-29T00:30:00Z", "2026-03-29T01:00:00Z");
        // Half an hour only.
        check_next("Australia/Lord_Howe", "02:15", "2026-10-03T12:00:00Z", "2026-10-03T15:30:00Z");
        // A whole day that never was: the 30th of December 2011.
        check_next("Pacific/Apia", "08:00", "2011-12-30T09:00:00Z", "2011-12-30T10:00:00Z");
    }

    #[test]
    fn of_a_time_that_comes_twice_the_first_that_is_ahead_counts() {
        check_next("America/New_York", "01:30", "2026-11-01T04:00:00Z", "2026-11-01T05:30:00Z");
        check_next("America/New_York", "01:30", "2026-11-01T05:45:00Z", "2026-11-01T06:30:00Z");
        check_next("America/New_York", "01:30", "2026-11-01T06:45:00Z", "2026-11-02T06:30:00Z");
    }

    #[test]
    fn a_day_begins_where_its_clocks_begin() {
        let date = |text| LocalDate::parse(text).expect("a date");
        assert_eq!(zone("Asia/Tokyo").start_of(date("2026-06-02")), at("2026-06-01T15:00:00Z"));
        // Clocks go forward at midnight there: the day begins at one.
        assert_eq!(zone("Africa/Cairo").start_of(date("2026-04-24")), at("2026-04-23T22:00:00Z"));
        assert_eq!(zone("Asia/Tokyo").date(at("2026-06-01T15:00:00Z")), date("2026-06-02"));
        assert_eq!(zone("Asia/Kathmandu").time_of_day(at("2026-06-01T00:00:59Z")).to_string(), "05:45");
    }

    #[test]
    fn only_what_is_a_zone_a_time_or_a_date_is_read_as_one() {
        for name in ["Mars/Olympus", "", "CEST+2", "../etc/passwd"] {
            assert_eq!(Zone::parse(name), None, "{name}");
        }
        assert_eq!(zone("europe/berlin").name(), "Europe/Berlin");
        for text in ["24:00", "7:30", "07:60", "0730", "07:30:00", "-1:00", "+7:30", ""] {
            assert_eq!(TimeOfDay::parse(text), None, "{text}");
        }
        for text in ["2026-02-29", "2026-2-1", "20260201", "2026-02-01T00:00:00", ""] {
            assert_eq!(LocalDate::parse(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn the_next_time_of_day_is_ahead_and_less_than_two_days_off(
            name in prop::sample::select(vec!["America/New_York", "Australia/Lord_Howe", "Africa/Cairo", "Asia/Tokyo", "UTC"]),
            minutes in 0u16..MINUTES_PER_DAY,
            seconds in 1_700_000_000u64..1_900_000_000,
        ) {
            let (zone, from) = (zone(name), Timestamp(seconds * 1000));
            let time = TimeOfDay::from_minutes(minutes).expect("below a day");
            let next = zone.next(time, from);
            prop_assert!(next >= from && next.since(from).as_secs() <= 25 * 3600, "{next}");
            // Unless the clocks leave the time out, they show it then.
            let shown = zone.time_of_day(next);
            prop_assert!(shown == time || shown.minutes().abs_diff(minutes) <= 60, "{shown}");
        }
    }
}
