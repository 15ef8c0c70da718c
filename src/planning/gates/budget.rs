//! What its category may cost in a day: what cannot be paid for today waits for a day that can, unless it expires before.

use super::Case;
use crate::domain::{SkipReason, Verdict};
use crate::planning::BudgetFact;

/// Whether its category has a budget, and it costs something.
pub(super) fn is_asked(case: &Case<'_>) -> bool {
    case.facts.budget.is_some()
}

pub(super) fn judge(case: &Case<'_>) -> Verdict {
    match case.facts.budget {
        None | Some(BudgetFact::Paid) => Verdict::Pass,
        Some(BudgetFact::From(until)) => Verdict::Hold { until },
        Some(BudgetFact::Spent) => Verdict::Skip(SkipReason::Budget),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::planning::CandidateFacts;
    use crate::planning::testing::{NOW, policy, request};

    #[test]
    fn what_is_not_paid_for_is_held_or_skipped() {
        let check = |budget, verdict, due| {
            let facts = CandidateFacts { budget, ..CandidateFacts::default() };
            let (request, policy) = (request(), policy());
            let case = Case::new(&request, &facts, &policy, NOW);
            assert_eq!((judge(&case), case.times.due), (verdict, due), "{budget:?}");
        };
        let until = NOW + Duration::from_secs(3600);
        check(None, Verdict::Pass, None);
        check(Some(BudgetFact::Paid), Verdict::Pass, None);
        check(Some(BudgetFact::From(until)), Verdict::Hold { until }, Some(until));
        check(Some(BudgetFact::Spent), Verdict::Skip(SkipReason::Budget), None);
    }
}
