//! What a user wants to hear, on which channel, and when.

use std::fmt;

use super::{TimeOfDay, Timestamp, Zone};

/// The hours of a day in which a user is left alone: from `from` until just before `to`, over midnight where `from` is later.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct QuietHours {
    from: TimeOfDay,
    to: TimeOfDay,
}

impl QuietHours {
    /// `None` where both are the same: whether that means all of the day or nothing of it, nobody can know.
    pub fn new(from: TimeOfDay, to: TimeOfDay) -> Option<Self> {
        (from != to).then_some(Self { from, to })
    }

    pub fn from(self) -> TimeOfDay {
        self.from
    }

    pub fn to(self) -> TimeOfDay {
        self.to
    }

    /// If it is quiet at an instant in a zone, when that ends.
    pub fn end(self, zone: &Zone, at: Timestamp) -> Option<Timestamp> {
        let now = zone.time_of_day(at);
        let is_quiet = match self.from < self.to {
            true => (self.from..self.to).contains(&now),
            false => now >= self.from || now < self.to,
        };
        is_quiet.then(|| zone.next(self.to, at))
    }
}

impl fmt::Display for QuietHours {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} to {}", self.from, self.to)
    }
}

/// A user's word on quiet hours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum QuietChoice {
    /// Those of the configuration.
    #[default]
    Usual,
    /// None at all.
    Never,
    Own(QuietHours),
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check((from, to): (&str, &str), zone: &str, now: &str, expected: Option<&str>) {
        let time = |text| TimeOfDay::parse(text).expect("a time of day");
        let instant = |text| Timestamp::parse(text).expect("a time");
        let quiet = QuietHours::new(time(from), time(to)).expect("two times");
        let end = quiet.end(&Zone::parse(zone).expect("a zone"), instant(now));
        assert_eq!(end, expected.map(instant), "{quiet} in {zone} at {now}");
    }

    const NIGHT: (&str, &str) = ("22:00", "08:00");

    #[test]
    fn a_night_ends_in_the_morning_of_the_users_own_zone() {
        check(NIGHT, "Asia/Tokyo", "2026-06-01T14:00:00Z", Some("2026-06-01T23:00:00Z"));
        check(NIGHT, "Asia/Tokyo", "2026-06-01T12:59:59Z", None);
        check(NIGHT, "Asia/Tokyo", "2026-06-01T13:00:00Z", Some("2026-06-01T23:00:00Z"));
        check(NIGHT, "Asia/Tokyo", "2026-06-01T23:00:00Z", None);
        check(NIGHT, "America/New_York", "2026-06-01T14:00:00Z", None);
    }

    #[test]
    fn hours_within_a_day_are_quiet_from_the_first_minute_until_before_the_last() {
        check(("13:00", "14:30"), "UTC", "2026-06-01T13:00:00Z", Some("2026-06-01T14:30:00Z"));
        check(("13:00", "14:30"), "UTC", "2026-06-01T14:29:59Z", Some("2026-06-01T14:30:00Z"));
        check(("13:00", "14:30"), "UTC", "2026-06-01T14:30:00Z", None);
    }

    #[test]
    fn a_change_of_the_clocks_moves_the_end_and_never_by_a_day() {
        // The end is left out: quiet until the clocks are set forward.
        check(("22:00", "02:30"), "America/New_York", "2026-03-08T06:59:00Z", Some("2026-03-08T07:00:00Z"));
        check(("22:00", "02:30"), "America/New_York", "2026-03-08T07:00:00Z", None);
        // It comes twice, and the first is over.
        check(("22:00", "01:45"), "America/New_York", "2026-11-01T06:30:00Z", Some("2026-11-01T06:45:00Z"));
    }

    #[test]
    fn hours_that_begin_where_they_end_are_none() {
        let noon = TimeOfDay::new(12, 0).expect("a time of day");
        assert_eq!(QuietHours::new(noon, noon), None);
    }
}
