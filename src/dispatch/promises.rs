//! Whether messages were with their providers in the time that their priority is promised.

use crate::config::Promises;
use crate::domain::{Outcome, Priority, Timestamp};
use crate::outcomes::{Answer, AnswerKind};
use crate::telemetry::{Counter, CounterMetric};

/// Worry when `missed` grows: providers, their rates or this node cannot keep up with the priority.
const PROMISES: CounterMetric<2> = CounterMetric::new(
    "fanfare_promises_total",
    "Messages by priority, and whether they were with their provider in the time that the priority is promised.",
    ["priority", "outcome"],
);

/// By priority: kept and missed.
pub(super) struct PromiseMetrics([[Counter; 2]; 4]);

impl Default for PromiseMetrics {
    fn default() -> Self {
        Self(Priority::ALL.map(|priority| ["kept", "missed"].map(|outcome| PROMISES.with([priority.name(), outcome]))))
    }
}

impl PromiseMetrics {
    /// One answer to a send that began at `began`. Counted once for each task, when its first attempt is taken: what a provider
    /// refused at first is no delay of ours.
    pub(super) fn observe(&self, answer: &Answer, began: Timestamp, ready_since: Timestamp, promises: &Promises) {
        let AnswerKind::Outcome(Outcome::Accepted { .. }) = &answer.kind else { return };
        if answer.attempt != 1 {
            return;
        }
        let priority = answer.plan.priority();
        let is_missed = began.since(start(answer, ready_since)) > promises.of(priority);
        self.0[priority.index()][usize::from(is_missed)].increment(1);
    }
}

/// From when on it was to be sent: accepted, or due. What waited for something else (a brake, a provider's pause, the channels before
/// it) from when that was over.
fn start(answer: &Answer, ready_since: Timestamp) -> Timestamp {
    let ordinal = usize::from(answer.task.ordinal);
    let due = answer.plan.tasks().get(ordinal).and_then(|spec| spec.due).filter(|_| !answer.plan.is_held(ordinal));
    let is_later_turn = ordinal > 0 && answer.plan.routing == crate::domain::Routing::Fallback;
    match (due, answer.was_scheduled) {
        _ if is_later_turn => ready_since,
        (Some(due), true) => due.max(answer.plan.accepted_at),
        (None, true) => ready_since,
        (_, false) => answer.plan.accepted_at,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use super::*;
    use crate::domain::{Channel, Disposition, Position, ShardId, TaskSpec};
    use crate::store::conformance::plan;
    use crate::telemetry;

    #[track_caller]
    fn check(was_scheduled: bool, due: Option<u64>, ready_since: u64, began: u64, expected: u64) {
        let shard = ShardId { generation: 0, lane: Priority::High, partition: 0 };
        let mut plan = plan(Position::new(shard, 1));
        let at = |seconds| plan.accepted_at + Duration::from_secs(seconds);
        let (due, since, began) = (due.map(at), at(ready_since), at(began));
        let accepted_at = plan.accepted_at;
        let address = crate::domain::Address::Provider;
        plan.disposition = Disposition::Tasks(vec![TaskSpec { channel: Channel::Chat, address, due, endpoint: 0 }]);
        let answer = Answer {
            task: plan.task_id(0),
            attempt: 1,
            plan: Arc::new(plan),
            was_scheduled,
            provider: "any".into(),
            asked_at: began,
            at: began,
            kind: AnswerKind::Outcome(Outcome::Accepted { message_id: None }),
        };
        assert_eq!(start(&answer, since), accepted_at + Duration::from_secs(expected));
    }

    #[test]
    fn a_promise_counts_from_the_acceptance_or_from_when_it_was_due_or_free() {
        check(false, None, 3, 400, 0);
        check(true, Some(60), 63, 400, 60);
        check(true, None, 63, 400, 63);
    }

    #[test]
    fn what_is_sent_late_is_a_promise_missed() {
        let page = telemetry::install();
        let promises = crate::config::defaults().promises;
        let shard = ShardId { generation: 0, lane: Priority::High, partition: 0 };
        let plan = Arc::new(plan(Position::new(shard, 1)));
        let accepted_at = plan.accepted_at;
        let answer = Answer {
            task: plan.task_id(0),
            attempt: 1,
            plan,
            was_scheduled: false,
            provider: "any".into(),
            asked_at: accepted_at,
            at: accepted_at,
            kind: AnswerKind::Outcome(Outcome::Accepted { message_id: None }),
        };
        let metrics = PromiseMetrics::default();
        metrics.observe(&answer, accepted_at + promises.high, accepted_at, &promises);
        metrics.observe(&answer, accepted_at + promises.high + Duration::from_secs(1), accepted_at, &promises);
        let text = page.render();
        for outcome in ["kept", "missed"] {
            let line = format!(r#"fanfare_promises_total{{priority="high",outcome="{outcome}"}}"#);
            assert!(text.contains(&line), "`{line}` is not in:\n{text}");
        }
    }
}
