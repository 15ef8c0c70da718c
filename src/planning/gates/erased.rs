//! Users who were erased after the notification was accepted.

use super::Case;
use crate::domain::{SkipReason, Verdict};

pub(super) fn judge(case: &Case<'_>) -> Verdict {
    let erased_at = case.user().and_then(|user| user.erased_at);
    let is_erased = erased_at.is_some_and(|erased_at| case.request.accepted_at <= erased_at);
    if is_erased { Verdict::Skip(SkipReason::Erased) } else { Verdict::Pass }
}

/// Whether the user was erased at all.
pub(super) fn is_asked(case: &Case<'_>) -> bool {
    case.user().is_some_and(|user| user.erased_at.is_some())
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
}
