//! Days of UTC in a query.

use super::bad;
use crate::api::problem::Problem;
use crate::domain::Timestamp;

const DAY_MILLIS: u64 = 86_400_000;
/// Where nothing is said.
const DAYS: u32 = 30;
/// The most that are asked for at once: a year and a month.
const DAYS_MAX: u32 = 400;
/// Later than this nothing is asked about.
const AHEAD_MAX: u32 = 366;

/// The first and the last day, both inclusive.
pub(super) fn range(start: Option<&str>, end: Option<&str>, now: Timestamp) -> Result<(u32, u32), Problem> {
    let today = day_of(now);
    let start = start.map(|text| read("start_date", text, today)).transpose()?;
    let end = end.map(|text| read("end_date", text, today)).transpose()?;
    let last = end.unwrap_or_else(|| today.max(start.unwrap_or(0)));
    let first = start.unwrap_or_else(|| last.saturating_sub(DAYS - 1));
    if last < first {
        return Err(bad(format!("`end_date` ({}) is before `start_date` ({})", text(last), text(first))));
    }
    if last - first >= DAYS_MAX {
        return Err(bad(format!("from `start_date` to `end_date` are more than {DAYS_MAX} days: ask for fewer")));
    }
    Ok((first, last))
}

fn read(name: &str, said: &str, today: u32) -> Result<u32, Problem> {
    let is_date = said.len() == 10 && said.is_ascii();
    let at = Timestamp::parse(&format!("{said}T00:00:00Z")).filter(|_| is_date);
    let day = at.map(day_of).ok_or_else(|| bad(format!("`{name}` must be a date like 2026-11-22, in UTC")))?;
    if day > today + AHEAD_MAX {
        return Err(bad(format!("`{name}` is more than a year ahead")));
    }
    Ok(day)
}

fn day_of(at: Timestamp) -> u32 {
    u32::try_from(at.millis() / DAY_MILLIS).unwrap_or(u32::MAX)
}

/// A day as its date.
pub(super) fn text(day: u32) -> String {
    Timestamp(u64::from(day) * DAY_MILLIS).to_string().chars().take(10).collect()
}
