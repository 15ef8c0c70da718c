//! Reminders: a user gets so many of one type within a time, and no more.

use super::Case;
use crate::domain::{SkipReason, Verdict};

/// Whether it is a reminder, to somebody of whom it is counted what they got.
pub(super) fn is_asked(case: &Case<'_>) -> bool {
    case.category.is_reminder && case.facts.received.is_some()
}

pub(super) fn judge(case: &Case<'_>) -> Verdict {
    let received = case.facts.received.unwrap_or_default();
    if received.of_type < case.policy.reminders_max { Verdict::Pass } else { Verdict::Skip(SkipReason::Fatigue) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::planning::testing::{NOW, policy, request};
    use crate::planning::{CandidateFacts, Received};

    fn check(category: &str, of_type: Option<u32>, expected: Option<Verdict>) {
        let mut request = request();
        request.category = Some(category.into());
        let received = of_type.map(|of_type| Received { of_type, ..Received::default() });
        let facts = CandidateFacts { received, ..CandidateFacts::default() };
        let policy = policy();
        let case = Case::new(&request, &facts, &policy, NOW);
        let verdict = is_asked(&case).then(|| judge(&case));
        assert_eq!(verdict, expected, "{category} after {of_type:?}");
    }

    #[test]
    fn the_second_reminder_of_a_type_within_the_time_is_skipped() {
        check("reminder", Some(0), Some(Verdict::Pass));
        check("reminder", Some(1), Some(Verdict::Skip(SkipReason::Fatigue)));
        check("social", Some(9), None);
        check("reminder", None, None);
    }
}
