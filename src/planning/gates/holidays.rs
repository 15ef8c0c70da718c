//! Holidays and other special days: those of all calendars that name the user's locale.

use super::Case;
use crate::domain::{Timestamp, Zone, end_of_special_days};

pub(super) fn until(case: &Case<'_>, zone: &Zone, at: Timestamp) -> Option<Timestamp> {
    if case.category.ignores_holidays {
        return None;
    }
    let locale = case.user().and_then(|user| user.locale.as_deref());
    let own = case.policy.calendars.iter().filter(|calendar| calendar.is_of(locale));
    end_of_special_days(own, zone, at)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{Calendar, SpecialDay, UserEntry};
    use crate::planning::testing::{known, policy, request};

    fn check(category: &str, locale: &str, at: &str, expected: Option<&str>) {
        let time = |text| Timestamp::parse(text).expect("a time");
        let mut request = request();
        request.category = Some(category.into());
        let facts = known([UserEntry::Locale(Some(locale.into()))]);
        let mut policy = policy();
        let days = vec![SpecialDay::parse("12-25").expect("a day")];
        policy.calendars = vec![Calendar { locales: vec!["de".into()], days }];
        let until = until(&Case::new(&request, &facts, &policy, time(at)), &Zone::UTC, time(at));
        assert_eq!(until, expected.map(time), "{category} for {locale} at {at}");
    }

    #[test]
    fn what_may_wait_is_held_on_the_special_days_of_the_users_locale() {
        check("marketing", "de-AT", "2026-12-25T12:00:00Z", Some("2026-12-26T00:00:00Z"));
        check("marketing", "de-AT", "2026-12-26T00:00:00Z", None);
        check("marketing", "fr", "2026-12-25T12:00:00Z", None);
        check("security", "de-AT", "2026-12-25T12:00:00Z", None);
    }
}
