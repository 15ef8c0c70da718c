//! Whether messages were with their providers in the time that their priority is promised.

use super::sender::SenderContext;
use crate::config::Promises;
use crate::domain::{Outcome, Priority, Timestamp};
use crate::outcomes::{Answer, AnswerKind};
use crate::telemetry::{Counter, CounterMetric};

/// Worry when `missed` grows: providers, their rates or this node cannot keep up with the priority. Missed is also what was tried
/// again, failed or expired when the time was over.
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
    /// One answer that is settled. Counted once for each task, when it ends: what is put off or to be tried again has not ended.
    pub(super) fn observe(&self, answer: &Answer, ready_since: Timestamp, context: &SenderContext) {
        let is_last = usize::from(answer.attempt) > context.retries;
        let Some(is_missed) = is_missed(answer, ready_since, is_last, &context.promises) else { return };
        self.0[answer.plan.priority().index()][usize::from(is_missed)].increment(1);
    }
}

/// Whether the promise was missed; `None`: the task has not ended, or ended in time without a provider's having taken it, which no
/// promise is about. `is_last`: no attempt follows.
fn is_missed(answer: &Answer, ready_since: Timestamp, is_last: bool, promises: &Promises) -> Option<bool> {
    let is_late = answer.asked_at.since(start(answer, ready_since)) > promises.of(answer.plan.priority());
    match &answer.kind {
        AnswerKind::Outcome(Outcome::Accepted { .. }) => Some(is_late),
        AnswerKind::Outcome(Outcome::DeadRecipient { .. } | Outcome::BadRequest { .. }) | AnswerKind::Expired => {
            is_late.then_some(true)
        }
        AnswerKind::Outcome(Outcome::Transient { .. } | Outcome::Unknown { .. }) if is_last => is_late.then_some(true),
        _ => None,
    }
}

/// From when on it was to be sent: accepted, or due. What waited for something else (a brake, a provider's pause, the channels before
/// it) from when that was over. A later attempt counts from the same time as the first, as far as that is known without its events.
fn start(answer: &Answer, ready_since: Timestamp) -> Timestamp {
    let ordinal = usize::from(answer.task.ordinal);
    let is_held = answer.plan.is_held(ordinal);
    let due = answer.plan.tasks().get(ordinal).and_then(|spec| spec.due).filter(|_| !is_held);
    let is_later_turn = ordinal > 0 && answer.plan.routing == crate::domain::Routing::Fallback;
    match (due, answer.was_scheduled) {
        _ if is_later_turn => ready_since,
        (Some(due), true) => due.max(answer.plan.accepted_at),
        (None, true) if is_held || answer.attempt == 1 => ready_since,
        (None, true) | (_, false) => answer.plan.accepted_at,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use super::*;
    use crate::domain::{Channel, Disposition, Position, ShardId, TaskSpec};
    use crate::store::conformance::plan;

    fn answer(kind: AnswerKind, attempt: u8, due: Option<u64>, began: u64) -> Answer {
        let shard = ShardId { generation: 0, lane: Priority::High, partition: 0 };
        let mut plan = plan(Position::new(shard, 1));
        let at = |seconds| plan.accepted_at + Duration::from_secs(seconds);
        let (due, began) = (due.map(at), at(began));
        let address = crate::domain::Address::Provider;
        plan.disposition = Disposition::Tasks(vec![TaskSpec { channel: Channel::Chat, address, due, endpoint: 0 }]);
        Answer {
            task: plan.task_id(0),
            attempt,
            plan: Arc::new(plan),
            was_scheduled: attempt > 1,
            provider: "any".into(),
            asked_at: began,
            at: began,
            kind,
        }
    }

    fn accepted() -> AnswerKind {
        AnswerKind::Outcome(Outcome::Accepted { message_id: None })
    }

    #[track_caller]
    fn check_start(was_scheduled: bool, attempt: u8, due: Option<u64>, expected: u64) {
        let answer = Answer { was_scheduled, ..answer(accepted(), attempt, due, 400) };
        let accepted_at = answer.plan.accepted_at;
        let ready_since = accepted_at + Duration::from_secs(63);
        assert_eq!(start(&answer, ready_since), accepted_at + Duration::from_secs(expected));
    }

    #[test]
    fn a_promise_counts_from_the_acceptance_or_from_when_it_was_due_or_free() {
        check_start(false, 1, None, 0);
        check_start(true, 1, Some(60), 60);
        check_start(true, 1, None, 63);
    }

    #[test]
    fn a_later_attempt_counts_from_when_the_first_was_to_be() {
        check_start(true, 2, None, 0);
        check_start(true, 2, Some(60), 60);
    }

    /// High is promised five minutes.
    #[track_caller]
    fn check(kind: AnswerKind, attempt: u8, expected: [Option<bool>; 2]) {
        let promises = crate::config::defaults().promises;
        let is_last = attempt == 4;
        let found = [300, 301].map(|began| {
            let answer = answer(kind.clone(), attempt, None, began);
            is_missed(&answer, answer.asked_at, is_last, &promises)
        });
        assert_eq!(found, expected, "{kind:?} at attempt {attempt}");
    }

    #[test]
    fn what_ends_too_late_is_a_promise_missed_however_it_ends() {
        let transient = || Outcome::Transient { reason: "busy".into(), retry_after: None, unreachable: false };
        check(accepted(), 1, [Some(false), Some(true)]);
        check(accepted(), 2, [Some(false), Some(true)]);
        check(AnswerKind::Expired, 1, [None, Some(true)]);
        check(AnswerKind::Outcome(Outcome::BadRequest { reason: "wrong".into() }), 1, [None, Some(true)]);
        check(AnswerKind::Outcome(transient()), 4, [None, Some(true)]);
        check(AnswerKind::Outcome(transient()), 3, [None, None]);
        check(AnswerKind::PutOff { until: Timestamp(0) }, 1, [None, None]);
    }
}
