//! When a schedule runs: a cron expression in a time zone. Pure.
//!
//! The expression has five fields (minute, hour, day of the month, month, day of the week), or is one of `@hourly`, `@daily`, `@weekly`,
//! `@monthly` and `@yearly`. What names a minute and an hour runs once a day on every day: where clocks are set forward over it, at the first
//! instant after the change, and where they show it twice, the first time. What has a `*` among them goes on by the instants: an hour that
//! is left out has no runs, and one that comes twice has them twice.

use std::time::Duration;

use croner::Cron;
use croner::parser::{CronParser, Seconds, Year};
use jiff::ToSpan;
use jiff::tz::TimeZone;

use crate::domain::{Timestamp, Zone, cut};
use crate::intake::FieldProblem;

/// Bytes of an expression: each minute of an hour by itself takes less.
const CRON_BYTES_MAX: usize = 256;
/// Five years: a time further ahead is never. The 29th of February comes before, and nothing that is meant comes later.
const AHEAD_MAX: Duration = Duration::from_secs(5 * 366 * 24 * 60 * 60);
/// Due times that are counted one by one; of a minute they are a week.
const COUNTED_MAX: u32 = 10_080;
/// Where the latest of more than these is looked for, from now back.
const WINDOWS: [Duration; 4] = [
    Duration::from_secs(60 * 60),
    Duration::from_secs(24 * 60 * 60),
    Duration::from_secs(32 * 24 * 60 * 60),
    Duration::from_secs(366 * 24 * 60 * 60),
];

/// A cron expression in a zone, known to fire.
#[derive(Debug, Clone)]
pub struct Timetable {
    /// The expression as it was said.
    said: Box<str>,
    cron: Cron,
    zone: Zone,
}

/// What is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Due {
    /// The latest of the due times.
    pub(super) at: Timestamp,
    /// Those before it; of very many not all are counted.
    pub(super) before: u32,
}

impl Timetable {
    /// Reads `/cron` and `/timezone`; refused with the reason, also what never fires from `now` on.
    pub fn read(said: &str, zone: &str, now: Timestamp) -> Result<Self, Vec<FieldProblem>> {
        let mut problems = Vec::new();
        let read = parsed(said).map_err(|detail| problems.push(FieldProblem::new("/cron", detail))).ok();
        let known = Zone::parse(zone);
        if known.is_none() {
            let detail =
                format!("`{}` is no time zone: write it as in the IANA database, Europe/Berlin", cut(zone, 64));
            problems.push(FieldProblem::new("/timezone", detail));
        }
        let (Some(cron), Some(zone)) = (read, known) else { return Err(problems) };
        let timetable = Self { said: said.into(), cron, zone };
        if timetable.next(now).is_none() {
            let detail = "never fires within the next five years: there is no such day in the months that it names";
            return Err(vec![FieldProblem::new("/cron", detail)]);
        }
        Ok(timetable)
    }

    /// Whether the other one is said with the same words.
    pub(super) fn is_same(&self, other: &Self) -> bool {
        self.said == other.said && self.zone() == other.zone()
    }

    /// The first time after `after`; `None`: it does not come.
    pub fn next(&self, after: Timestamp) -> Option<Timestamp> {
        // Due times are whole seconds: a part of one before the first would count as the second itself.
        let from = instant(after)?.to_zoned(self.zone.time_zone().clone());
        let found = self.cron.find_next_occurrence(&from, false).ok()?;
        let at = Timestamp(u64::try_from(found.timestamp().as_millisecond()).ok()?);
        (at > after && at.since(after) <= AHEAD_MAX).then_some(at)
    }

    /// The next times after `after`, `count` of them unless there are fewer.
    pub fn upcoming(&self, after: Timestamp, count: usize) -> Vec<Timestamp> {
        std::iter::successors(self.next(after), |at| self.next(*at)).take(count).collect()
    }

    /// What came after `after` and up to `until`.
    pub(super) fn due(&self, after: Timestamp, until: Timestamp) -> Option<Due> {
        let mut due = Due { at: self.next(after).filter(|at| *at <= until)?, before: 0 };
        while let Some(at) = self.next(due.at).filter(|at| *at <= until) {
            due = Due { at, before: due.before + 1 };
            if due.before == COUNTED_MAX {
                return Some(self.latest(until).filter(|at| *at > due.at).map_or(due, |at| Due { at, ..due }));
            }
        }
        Some(due)
    }

    /// The latest up to `until`, of what fires often.
    fn latest(&self, until: Timestamp) -> Option<Timestamp> {
        let within = |window: &Duration| {
            let times = std::iter::successors(self.next(until - *window), |at| self.next(*at));
            times.take_while(|at| *at <= until).last()
        };
        WINDOWS.iter().find_map(within)
    }

    /// The day of the zone's calendar at `at` and `ahead` days further: as days since 1970-01-01, and as people write it.
    pub(super) fn day(&self, at: Timestamp, ahead: i32) -> Option<(i32, String)> {
        let date = self.zone.time_zone().to_datetime(instant(at)?).date().checked_add(ahead.days()).ok()?;
        let midnight = date.to_zoned(TimeZone::UTC).ok()?.timestamp().as_second();
        Some((i32::try_from(midnight / (24 * 60 * 60)).ok()?, date.to_string()))
    }

    /// RFC 3339 with the offset of the zone.
    pub fn shown(&self, at: Timestamp) -> String {
        let zoned = instant(at).map(|at| at.to_zoned(self.zone.time_zone().clone()));
        zoned.map_or_else(|| at.to_string(), |zoned| zoned.strftime("%Y-%m-%dT%H:%M:%S%:z").to_string())
    }

    pub fn zone(&self) -> &str {
        self.zone.name()
    }
}

fn instant(at: Timestamp) -> Option<jiff::Timestamp> {
    jiff::Timestamp::from_second(i64::try_from(at.millis() / 1000).ok()?).ok()
}

fn parsed(text: &str) -> Result<Cron, String> {
    const FORM: &str = "write minute, hour, day of the month, month and day of the week: `0 9 * * MON-FRI`";
    let text = text.trim();
    if text.len() > CRON_BYTES_MAX || !text.is_ascii() {
        return Err(format!("must be at most {CRON_BYTES_MAX} bytes of ASCII: {FORM}"));
    }
    let fields = text.split_ascii_whitespace().count();
    if !text.starts_with('@') && fields != 5 {
        let seconds = if fields == 6 { "; seconds are not taken" } else { "" };
        return Err(format!("must have 5 fields and has {fields}{seconds}: {FORM}"));
    }
    let parser = CronParser::builder().seconds(Seconds::Disallowed).year(Year::Disallowed).build();
    parser.parse(text).map_err(|error| format!("is no cron expression ({error}): {FORM}"))
}

#[cfg(test)]
mod tests;
