//! Caps: so much of a category, and of all that do not ignore caps, reaches a user in a day.

use super::Case;
use crate::domain::{SkipReason, Verdict};

/// Whether there is a cap, for somebody of whom it is counted what they got.
pub(super) fn is_asked(case: &Case<'_>) -> bool {
    let has_cap = case.category.daily_cap.is_some() || case.policy.daily_cap.is_some();
    has_cap && !case.category.ignores_caps && case.facts.received.is_some()
}

pub(super) fn judge(case: &Case<'_>) -> Verdict {
    let received = case.facts.received.unwrap_or_default();
    let is_reached = |cap: Option<u32>, count: u32| cap.is_some_and(|cap| count >= cap);
    let is_capped =
        is_reached(case.category.daily_cap, received.of_category) || is_reached(case.policy.daily_cap, received.in_all);
    if is_capped { Verdict::Skip(SkipReason::DailyCap) } else { Verdict::Pass }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::planning::testing::{NOW, policy, request};
    use crate::planning::{CandidateFacts, Received};

    /// Marketing has a cap of 3; over all there may be one.
    fn check(category: &str, over_all: Option<u32>, (of_category, in_all): (u32, u32), expected: Option<bool>) {
        let mut request = request();
        request.category = Some(category.into());
        let received = Some(Received { of_category, in_all, ..Received::default() });
        let facts = CandidateFacts { received, ..CandidateFacts::default() };
        let mut policy = policy();
        policy.daily_cap = over_all;
        let case = Case::new(&request, &facts, &policy, NOW);
        let passes = is_asked(&case).then(|| judge(&case) == Verdict::Pass);
        assert_eq!(passes, expected, "{category}, {of_category} of it, {in_all} of at most {over_all:?}");
    }

    #[test]
    fn what_a_user_got_enough_of_in_a_day_is_skipped() {
        check("marketing", None, (2, 99), Some(true));
        check("marketing", None, (3, 3), Some(false));
        check("marketing", Some(5), (0, 5), Some(false));
        check("social", Some(5), (9, 4), Some(true));
        check("social", None, (9, 9), None);
    }

    #[test]
    fn a_category_that_ignores_caps_always_comes() {
        check("security", Some(1), (9, 9), None);
    }
}
