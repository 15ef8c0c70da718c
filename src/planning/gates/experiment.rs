//! Whether the experiment of its template has anything for the user. Asked before what counts: who is held back got nothing.

use super::{Case, leads_nobody};
use crate::domain::{Assignment, SkipReason, Verdict};

pub(super) fn is_asked(case: &Case<'_>) -> bool {
    case.facts.assigned.is_some()
}

pub(super) fn judge(case: &Case<'_>) -> Verdict {
    match case.facts.assigned {
        // Others stand under one that leads a group already: their message is sent, and it is of no variant.
        Some(Assignment::HeldBack) if leads_nobody(case) => Verdict::Skip(SkipReason::HeldBack),
        _ => Verdict::Pass,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Timestamp;
    use crate::planning::CandidateFacts;
    use crate::planning::testing::{policy, request};

    #[test]
    fn who_is_held_back_gets_nothing_unless_others_are_told_by_the_message() {
        let (request, policy) = (request(), policy());
        for (assigned, leads, expected) in [
            (None, false, None),
            (Some(Assignment::Variant("b".into())), false, Some(Verdict::Pass)),
            (Some(Assignment::HeldBack), false, Some(Verdict::Skip(SkipReason::HeldBack))),
            (Some(Assignment::HeldBack), true, Some(Verdict::Pass)),
        ] {
            let facts = CandidateFacts { assigned, leads, ..CandidateFacts::default() };
            let case = Case::new(&request, &facts, &policy, Timestamp(0));
            assert_eq!(is_asked(&case).then(|| judge(&case)), expected, "{:?}", facts.assigned);
        }
    }
}
