//! The wall clock, which the harness and the mock share because they run on one machine.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Microseconds since 1970.
pub(crate) fn now_us() -> u64 {
    // A clock before 1970 is a machine without a clock; zero shows it plainly in every figure.
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO).as_micros() as u64
}

/// Writes microseconds since 1970 as RFC 3339 in UTC, with milliseconds.
pub(crate) fn write_rfc3339(at_us: u64, out: &mut impl std::fmt::Write) -> std::fmt::Result {
    let (days, of_day_ms) = (at_us / 86_400_000_000, at_us / 1000 % 86_400_000);
    let (year, month, day) = civil(days as i64);
    let (hours, minutes, seconds) = (of_day_ms / 3_600_000, of_day_ms / 60_000 % 60, of_day_ms / 1000 % 60);
    write!(out, "{year:04}-{month:02}-{day:02}T{hours:02}:{minutes:02}:{seconds:02}.{:03}Z", of_day_ms % 1000)
}

/// The date of a day counted from 1970-01-01, as RFC 3339 has it.
pub(crate) fn date(days: i64) -> String {
    let (year, month, day) = civil(days);
    format!("{year:04}-{month:02}-{day:02}")
}

/// The date of a day counted from 1970-01-01 (Hinnant, "chrono-Compatible Low-Level Date Algorithms", 2013).
fn civil(days: i64) -> (i64, i64, i64) {
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    (year_of_era + era * 400 + i64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_written_as_rfc_3339() {
        let cases = [
            (0, "1970-01-01T00:00:00.000Z"),
            (951_827_696_789_999, "2000-02-29T12:34:56.789Z"),
            (1_767_225_599_000_000, "2025-12-31T23:59:59.000Z"),
            (4_107_542_400_000_000, "2100-03-01T00:00:00.000Z"),
        ];
        for (at_us, expected) in cases {
            let mut text = String::new();
            write_rfc3339(at_us, &mut text).expect("a string takes everything");
            assert_eq!(text, expected);
        }
    }
}
