//! An instant, as the engine counts it.

use std::fmt;
use std::time::Duration;

/// Milliseconds since 1970-01-01T00:00:00Z. Printed and read as RFC 3339 in UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Timestamp(pub u64);

impl Timestamp {
    pub fn millis(self) -> u64 {
        self.0
    }

    /// The time from `earlier` to `self`; zero if `earlier` is later.
    pub fn since(self, earlier: Timestamp) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }

    /// Reads RFC 3339 with any offset; `None` if it is none, or lies before 1970.
    pub fn parse(text: &str) -> Option<Self> {
        let (seconds, offset) = rfc_3339(text)?;
        let timestamp: jiff::Timestamp = match format!("{seconds}{offset}").parse() {
            Ok(timestamp) => timestamp,
            // The library ends a day before the year 9999 does: its last times all mean never.
            Err(_) if seconds.starts_with(LAST_DAYS) && seconds.parse::<jiff::civil::DateTime>().is_ok() => {
                jiff::Timestamp::MAX
            }
            Err(_) => return None,
        };
        u64::try_from(timestamp.as_millisecond()).ok().map(|millis| Self(millis.min(LAST_MILLIS)))
    }
}

/// The last whole second that the library writes, late in the year 9999.
const LAST_MILLIS: u64 = 253_402_207_200_000;
/// Where times begin that no offset brings into the library's range.
const LAST_DAYS: &str = "9999-12-3";

/// Date and time with at most nine digits of a second's fraction, and the offset, if the text is as RFC 3339 (5.6) has it: the
/// library reads several other ways to write a time as well.
fn rfc_3339(text: &str) -> Option<(&str, &str)> {
    let date_time = text.get(..19)?;
    let fits = |shape: &[u8], text: &str| {
        let same = |(wanted, byte): (&u8, u8)| if *wanted == b'0' { byte.is_ascii_digit() } else { *wanted == byte };
        shape.len() == text.len() && shape.iter().zip(text.bytes()).all(same)
    };
    let shapes: [&[u8]; 3] = [b"0000-00-00T00:00:00", b"0000-00-00t00:00:00", b"0000-00-00 00:00:00"];
    if !shapes.into_iter().any(|shape| fits(shape, date_time)) {
        return None;
    }
    let rest = &text[19..];
    let offset = match rest.strip_prefix('.') {
        Some(fraction) => fraction.trim_start_matches(|digit: char| digit.is_ascii_digit()),
        None => rest,
    };
    let fraction = rest.len() - offset.len();
    let is_offset = matches!(offset, "Z" | "z") || fits(b"+00:00", offset) || fits(b"-00:00", offset);
    // A point alone is no fraction.
    (fraction != 1 && is_offset).then(|| (&text[..19 + fraction.min(1 + 9)], offset))
}

impl std::ops::Add<Duration> for Timestamp {
    type Output = Timestamp;

    fn add(self, duration: Duration) -> Timestamp {
        Timestamp(self.0.saturating_add(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)))
    }
}

impl std::ops::Sub<Duration> for Timestamp {
    type Output = Timestamp;

    fn sub(self, duration: Duration) -> Timestamp {
        Timestamp(self.0.saturating_sub(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)))
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let millis = self.0.min(LAST_MILLIS) as i64;
        let timestamp = jiff::Timestamp::from_millisecond(millis).map_err(|_| fmt::Error)?;
        write!(f, "{timestamp:.3}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_printed_in_utc_and_read_with_any_offset() {
        let noon = Timestamp::parse("2026-11-21T13:00:00+01:00").expect("valid");
        assert_eq!(noon.to_string(), "2026-11-21T12:00:00.000Z");
        assert_eq!(Timestamp::parse("2026-11-21"), None);
        assert_eq!(Timestamp::parse("1969-12-31T23:59:59Z"), None);
    }

    #[test]
    fn what_rfc_3339_does_not_write_is_no_time() {
        for text in [
            "",
            "20270131T090000Z",
            "2027-01-31T09Z",
            "2027-01-31T09:00Z",
            "+002027-01-31T09:00:00Z",
            "2027-01-31T09:00:00,5Z",
            "2027-01-31T09:00:00.Z",
            "2027-01-31T09:00:00",
            "2027-01-31T09:00:00Z[Europe/Berlin]",
            "2027-01-31T09:00:00+01:00[Europe/Berlin]",
            "2027-01-31T09:00:00+01",
            "2027-01-31T09:00:00+0100",
            "2027-01-31T09:00:00+01:00:00",
            "2027-02-30T09:00:00Z",
            "２027-01-31T09:00:00Z",
        ] {
            assert_eq!(Timestamp::parse(text), None, "{text}");
        }
        for text in [
            "2027-01-31T09:00:00Z",
            "2027-01-31t09:00:00z",
            "2027-01-31 09:00:00Z",
            "2027-01-31T09:00:00.5Z",
            "2027-01-31T09:00:00.123456789Z",
            "2027-01-31T09:00:00.1234567890123Z",
            "2027-01-31T09:00:00-00:00",
            "2027-01-31T20:30:00+11:30",
        ] {
            let at = Timestamp::parse(text).unwrap_or_else(|| panic!("{text}"));
            assert!(at.to_string().starts_with("2027-01-31T09:00:00."), "{text}: {at}");
        }
    }

    #[test]
    fn the_last_times_that_can_be_written_are_times() {
        let last = Timestamp::parse("9999-12-31T23:59:59Z").expect("a time");
        assert!(last > Timestamp::parse("9999-12-30T00:00:00Z").expect("a time"));
        assert_eq!(last.to_string(), "9999-12-30T22:00:00.000Z");
        assert_eq!(LAST_MILLIS, jiff::Timestamp::MAX.as_second() as u64 * 1000);
        for text in ["9999-12-31T23:59:59-12:00", "9999-12-30T22:00:00.9Z", "9999-12-31T23:59:59.9Z"] {
            assert_eq!(Timestamp::parse(text), Some(last), "{text}");
        }
        assert_eq!(Timestamp(u64::MAX).to_string(), last.to_string());
    }
}
