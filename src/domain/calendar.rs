//! Days on which people are left alone: holidays, and whatever else an operator enters.

use super::{LocalDate, Timestamp, Zone};

/// A day, of every year or of one. Written `MM-DD` or `YYYY-MM-DD`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SpecialDay {
    Yearly { month: i8, day: i8 },
    Once(LocalDate),
}

impl SpecialDay {
    /// `None`: there is no such day.
    pub fn parse(text: &str) -> Option<Self> {
        if let Some(date) = LocalDate::parse(text) {
            return Some(Self::Once(date));
        }
        // A leap year, which has all days that any year has.
        let (month, day) = LocalDate::parse(&format!("2024-{text}"))?.month_and_day();
        Some(Self::Yearly { month, day })
    }

    fn is(self, date: LocalDate) -> bool {
        match self {
            SpecialDay::Yearly { month, day } => date.month_and_day() == (month, day),
            SpecialDay::Once(once) => date == once,
        }
    }
}

/// The special days of the people who speak a language or live in a country.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Calendar {
    /// Ranges of languages (RFC 4647, 2.1): `de` is everybody who speaks German, `de-AT` those in Austria, `*` everybody.
    pub locales: Vec<Box<str>>,
    pub days: Vec<SpecialDay>,
}

impl Calendar {
    /// Whether it is that of somebody with this locale; of people without one only what is everybody's is.
    pub fn is_of(&self, locale: Option<&str>) -> bool {
        self.locales.iter().any(|range| &**range == "*" || locale.is_some_and(|locale| is_within(range, locale)))
    }

    pub fn has(&self, date: LocalDate) -> bool {
        self.days.iter().any(|day| day.is(date))
    }
}

/// The basic filtering of RFC 4647 (3.3.1).
fn is_within(range: &str, locale: &str) -> bool {
    let head = locale.get(..range.len()).is_some_and(|head| head.eq_ignore_ascii_case(range));
    head && matches!(locale.as_bytes().get(range.len()), None | Some(b'-'))
}

/// More special days in a row than any calendar may have.
const DAYS_MAX: usize = 366;

/// If an instant lies on a special day, where the clocks of the zone begin the first day after it that is none.
pub fn end_of_special_days<'a>(
    calendars: impl Iterator<Item = &'a Calendar> + Clone,
    zone: &Zone,
    at: Timestamp,
) -> Option<Timestamp> {
    let is_special = |date| calendars.clone().any(|calendar| calendar.has(date));
    let mut date = zone.date(at);
    if !is_special(date) {
        return None;
    }
    for _ in 0..DAYS_MAX {
        date = date.next();
        if !is_special(date) {
            break;
        }
    }
    Some(zone.start_of(date)).filter(|end| *end > at)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn calendar(locales: &[&str], days: &[&str]) -> Calendar {
        Calendar {
            locales: locales.iter().map(|locale| (*locale).into()).collect(),
            days: days.iter().map(|day| SpecialDay::parse(day).expect("a day")).collect(),
        }
    }

    #[test]
    fn a_calendar_is_that_of_everybody_whose_locale_is_within_its_own() {
        let check = |range: &str, locale: Option<&str>, expected| {
            assert_eq!(calendar(&[range], &[]).is_of(locale), expected, "{range} and {locale:?}");
        };
        check("de", Some("de"), true);
        check("de", Some("de-AT"), true);
        check("DE", Some("de-at"), true);
        check("de-AT", Some("de"), false);
        check("de", Some("den"), false);
        check("*", None, true);
        check("de", None, false);
    }

    #[test]
    fn special_days_end_where_the_first_usual_day_begins() {
        let calendars = [calendar(&["*"], &["12-25", "12-26"]), calendar(&["*"], &["2026-12-27"])];
        let check = |zone: &str, at: &str, expected: Option<&str>| {
            let instant = |text| Timestamp::parse(text).expect("a time");
            let end = end_of_special_days(calendars.iter(), &Zone::parse(zone).expect("a zone"), instant(at));
            assert_eq!(end, expected.map(instant), "{at} in {zone}");
        };
        check("UTC", "2026-12-24T23:59:59Z", None);
        check("UTC", "2026-12-25T00:00:00Z", Some("2026-12-28T00:00:00Z"));
        check("UTC", "2027-12-25T12:00:00Z", Some("2027-12-27T00:00:00Z"));
        check("Asia/Tokyo", "2026-12-24T15:00:00Z", Some("2026-12-27T15:00:00Z"));
        check("Asia/Tokyo", "2026-12-27T15:00:00Z", None);
    }

    #[test]
    fn a_year_of_nothing_but_special_days_ends() {
        let days = (1..=12).flat_map(|month| (1..=31).map(move |day| SpecialDay::Yearly { month, day })).collect();
        let always = Calendar { locales: vec!["*".into()], days };
        let at = Timestamp::parse("2026-01-01T00:00:00Z").expect("a time");
        assert!(end_of_special_days([&always].into_iter(), &Zone::UTC, at).is_some());
    }

    #[test]
    fn only_days_that_exist_are_read() {
        for text in ["02-30", "13-01", "1-1", "2026-02-29", "", "12-25-01"] {
            assert_eq!(SpecialDay::parse(text), None, "{text}");
        }
        assert!(SpecialDay::parse("02-29").is_some());
    }
}
