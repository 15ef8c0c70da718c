//! What the user wants to hear: the preference for the category on the channel, or the category's default; and what the user consented
//! to, where the category requires it. Categories that users may not switch off and that require no consent always pass.

use super::Case;
use crate::domain::{Channel, SkipReason, Verdict};

pub(super) fn judge(case: &Case<'_>, channel: Channel) -> Verdict {
    let category = case.category;
    let said = case.user().and_then(|user| user.preference(&category.name, channel));
    let may_come = category.has_consent(case.user()) && category.is_wanted(said);
    if may_come { Verdict::Pass } else { Verdict::Skip(SkipReason::NoConsent) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{Consent, UserEntry};
    use crate::planning::testing::{NOW, known, policy, request};

    /// `said` of push in the category; `is_on`: the category's default.
    fn check(category: &str, is_on: bool, said: Option<bool>, channel: Channel, expected: bool) {
        let mut request = request();
        request.category = Some(category.into());
        let preference = UserEntry::Preference { category: category.into(), channel: Channel::Push, enabled: said };
        let facts = known([UserEntry::Email(Some("alice@example.com".into())), preference]);
        let mut policy = policy();
        policy.categories = crate::planning::testing::categories(|category| category.is_on = is_on);
        let verdict = judge(&Case::new(&request, &facts, &policy, NOW), channel);
        assert_eq!(verdict == Verdict::Pass, expected, "{category}, {is_on}, {said:?} on {channel}");
    }

    #[test]
    fn a_category_that_was_switched_off_on_a_channel_is_skipped_there_and_passes_on_others() {
        check("social", true, Some(false), Channel::Push, false);
        check("social", true, Some(false), Channel::Email, true);
        check("social", true, None, Channel::Push, true);
    }

    #[test]
    fn a_category_that_is_off_by_itself_is_for_those_who_switched_it_on() {
        check("social", false, None, Channel::Push, false);
        check("social", false, Some(true), Channel::Push, true);
        check("social", false, Some(true), Channel::Email, false);
    }

    #[test]
    fn a_category_that_users_may_not_switch_off_passes_whatever_they_said() {
        check("security", true, Some(false), Channel::Push, true);
    }

    #[test]
    fn a_category_that_requires_consent_is_for_those_who_gave_it_and_did_not_withdraw_it() {
        let check = |category: &str, granted: Option<bool>, expected: bool| {
            let mut request = request();
            request.category = Some(category.into());
            let given = |granted| Consent { granted, ..Consent::withdrawn(None, "sign-up", NOW) };
            let consent = UserEntry::Consent { purpose: "newsletter".into(), consent: granted.map(given) };
            let facts = known([UserEntry::Email(Some("alice@example.com".into())), consent]);
            let mut policy = policy();
            policy.categories = crate::planning::testing::categories(|category| {
                category.requires_consent = Some("newsletter".into());
            });
            let verdict = judge(&Case::new(&request, &facts, &policy, NOW), Channel::Email);
            assert_eq!(verdict == Verdict::Pass, expected, "{category}, {granted:?}");
        };
        // Also where users may not switch it off.
        for category in ["social", "security"] {
            check(category, Some(true), true);
            check(category, Some(false), false);
            check(category, None, false);
        }
    }

    #[test]
    fn of_whom_nothing_is_known_has_consented_to_nothing() {
        let mut policy = policy();
        policy.categories = crate::planning::testing::categories(|category| {
            category.requires_consent = Some("newsletter".into());
        });
        let (request, facts) = (request(), crate::planning::CandidateFacts::default());
        assert_eq!(
            judge(&Case::new(&request, &facts, &policy, NOW), Channel::Email),
            Verdict::Skip(SkipReason::NoConsent)
        );
    }
}
