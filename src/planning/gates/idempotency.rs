//! The same call, sent again by its caller: another notification holds the retry key.

use super::Case;
use crate::domain::{NotificationId, SkipReason, Verdict};

pub(super) fn judge(case: &Case<'_>) -> Verdict {
    match case.facts.retry_holder {
        Some(holder) => Verdict::Skip(SkipReason::Duplicate { of: NotificationId(holder) }),
        None => Verdict::Pass,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::planning::CandidateFacts;
    use crate::planning::testing::{NOW, policy, position, request};

    #[test]
    fn a_retry_key_of_another_notification_makes_it_a_duplicate_of_that_one() {
        let check = |retry_holder, expected| {
            let facts = CandidateFacts { retry_holder, ..CandidateFacts::default() };
            assert_eq!(judge(&Case::new(&request(), &facts, &policy(), NOW)), expected);
        };
        check(Some(position(7)), Verdict::Skip(SkipReason::Duplicate { of: NotificationId(position(7)) }));
        check(None, Verdict::Pass);
    }
}
