//! The hours in which the user is left alone: their own, or else the category's, or else the configured ones, by the clock of
//! their zone.

use super::Case;
use crate::domain::{QuietChoice, QuietHours, Timestamp, Zone};

pub(super) fn until(case: &Case<'_>, zone: &Zone, at: Timestamp) -> Option<Timestamp> {
    hours(case)?.end(zone, at)
}

fn hours(case: &Case<'_>) -> Option<QuietHours> {
    if case.category.ignores_quiet_hours {
        return None;
    }
    match case.user().map(|user| user.quiet_hours).unwrap_or_default() {
        QuietChoice::Never => None,
        QuietChoice::Own(hours) => Some(hours),
        QuietChoice::Usual => case.category.quiet_hours.or(case.policy.quiet_hours),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{TimeOfDay, UserEntry};
    use crate::planning::testing::{categories, known, policy, request};

    fn hours(from: &str, to: &str) -> QuietHours {
        let time = |text| TimeOfDay::parse(text).expect("a time of day");
        QuietHours::new(time(from), time(to)).expect("two times")
    }

    /// Marketing at a time in UTC, where the category's own hours and the user's choice are these.
    fn check(own: Option<QuietHours>, choice: QuietChoice, at: &str, expected: Option<&str>) {
        let time = |text| Timestamp::parse(text).expect("a time");
        let mut request = request();
        request.category = Some("marketing".into());
        let facts = known([UserEntry::QuietHours(choice)]);
        let mut policy = policy();
        policy.categories = categories(|category| category.quiet_hours = own);
        let until = until(&Case::new(&request, &facts, &policy, time(at)), &Zone::UTC, time(at));
        assert_eq!(until, expected.map(time), "{choice:?}, {own:?} at {at}");
    }

    #[test]
    fn the_users_hours_count_before_the_categorys_and_those_before_the_configured_ones() {
        let (siesta, evening) = (hours("13:00", "15:00"), hours("20:00", "06:00"));
        let (noon, night) = ("2026-06-01T14:00:00Z", "2026-06-01T23:00:00Z");
        check(None, QuietChoice::Usual, night, Some("2026-06-02T08:00:00Z"));
        check(None, QuietChoice::Usual, noon, None);
        check(Some(evening), QuietChoice::Usual, night, Some("2026-06-02T06:00:00Z"));
        check(Some(evening), QuietChoice::Own(siesta), night, None);
        check(Some(evening), QuietChoice::Own(siesta), noon, Some("2026-06-01T15:00:00Z"));
        check(Some(evening), QuietChoice::Never, night, None);
    }

    #[test]
    fn a_category_that_ignores_quiet_hours_comes_at_night() {
        let night = Timestamp::parse("2026-06-01T03:00:00Z").expect("a time");
        let mut request = request();
        request.category = Some("security".into());
        let facts = known([UserEntry::QuietHours(QuietChoice::Own(hours("22:00", "08:00")))]);
        let policy = policy();
        assert_eq!(until(&Case::new(&request, &facts, &policy, night), &Zone::UTC, night), None);
    }
}
