//! When: at once, or not before the time asked for.

use crate::domain::{Decision, NotificationRequest, Step, Timestamp, Verdict};

/// The time before which nothing is sent, noted as a decision; `None`: at once.
pub(super) fn decide(
    request: &NotificationRequest,
    now: Timestamp,
    decisions: &mut Vec<Decision>,
) -> Option<Timestamp> {
    let due = request.deliver_at.filter(|deliver_at| *deliver_at > now);
    let verdict = due.map_or(Verdict::Pass, |until| Verdict::Hold { until });
    decisions.push(Decision { step: Step::SendTime, channel: None, verdict });
    due
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::planning::testing::{NOW, request};

    fn check(deliver_at: Option<u64>, expected: Option<u64>) {
        let mut request = request();
        request.deliver_at = deliver_at.map(Timestamp);
        let mut decisions = Vec::new();
        assert_eq!(decide(&request, NOW, &mut decisions), expected.map(Timestamp));
        let verdict = expected.map_or(Verdict::Pass, |until| Verdict::Hold { until: Timestamp(until) });
        assert_eq!(decisions, [Decision { step: Step::SendTime, channel: None, verdict }]);
    }

    #[test]
    fn what_has_a_time_in_the_future_is_held_until_then() {
        check(Some(NOW.0 + 1), Some(NOW.0 + 1));
    }

    #[test]
    fn what_has_no_time_or_one_that_has_come_goes_at_once() {
        check(None, None);
        check(Some(NOW.0), None);
        check(Some(NOW.0 - 1), None);
    }
}
