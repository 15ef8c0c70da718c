//! Cancelled by the caller before it was planned.

use super::Case;
use crate::domain::{SkipReason, Verdict};

pub(super) fn judge(case: &Case<'_>) -> Verdict {
    if case.facts.cancelled { Verdict::Skip(SkipReason::Cancelled) } else { Verdict::Pass }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::planning::CandidateFacts;
    use crate::planning::testing::{NOW, policy, request};

    #[test]
    fn what_was_cancelled_is_skipped_and_the_rest_passes() {
        let check = |cancelled, expected| {
            let facts = CandidateFacts { cancelled, ..CandidateFacts::default() };
            assert_eq!(judge(&Case::new(&request(), &facts, &policy(), NOW)), expected);
        };
        check(true, Verdict::Skip(SkipReason::Cancelled));
        check(false, Verdict::Pass);
    }
}
