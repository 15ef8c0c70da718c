//! Users who were erased after the notification was accepted. A campaign may have its list from before, with an address for each: what it
//! makes later for who was erased and is nobody since is not sent either. Nor is what cannot be read any more, whatever is known of the user.

use super::Case;
use crate::domain::{SkipReason, User, Verdict};

pub(super) fn judge(case: &Case<'_>) -> Verdict {
    let is_erased = |user: &User| {
        let is_of_list = case.request.campaign.is_some() && !user.is_somebody();
        user.erased_at.is_some_and(|erased_at| is_of_list || case.request.accepted_at <= erased_at)
    };
    let is_erased = case.facts.is_unreadable || case.user().is_some_and(is_erased);
    if is_erased { Verdict::Skip(SkipReason::Erased) } else { Verdict::Pass }
}

/// Whether the user was erased at all, or whoever it is.
pub(super) fn is_asked(case: &Case<'_>) -> bool {
    case.facts.is_unreadable || case.user().is_some_and(|user| user.erased_at.is_some())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::domain::UserEntry;
    use crate::planning::testing::{NOW, known, policy, request};

    #[test]
    fn what_was_accepted_before_its_user_was_erased_is_skipped_and_what_came_later_passes() {
        let check = |accepted_at, expected| {
            let facts = known([UserEntry::Erased(Some(NOW))]);
            let request = crate::domain::NotificationRequest { accepted_at, ..request() };
            let policy = policy();
            assert_eq!(judge(&Case::new(&request, &facts, &policy, NOW)) == Verdict::Pass, expected);
        };
        let moment = Duration::from_millis(1);
        check(NOW - moment, false);
        check(NOW, false);
        check(NOW + moment, true);
    }

    #[test]
    fn what_a_campaign_makes_of_its_list_later_for_who_is_nobody_since_is_skipped() {
        let check = |entries: Vec<UserEntry>, campaign, expected| {
            let facts = known(entries);
            let accepted_at = NOW + Duration::from_secs(60);
            let request = crate::domain::NotificationRequest { accepted_at, campaign, ..request() };
            let policy = policy();
            assert_eq!(judge(&Case::new(&request, &facts, &policy, NOW)) == Verdict::Pass, expected);
        };
        let erased = || UserEntry::Erased(Some(NOW));
        let campaign = Some(crate::domain::CampaignId(1));
        check(vec![erased()], campaign, false);
        check(vec![erased(), UserEntry::Created(Some(NOW + Duration::from_secs(1)))], campaign, true);
        // Whoever names somebody anew, one by one, means it.
        check(vec![erased()], None, true);
    }
}
