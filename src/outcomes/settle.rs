//! What an answer means for its task. Pure: the settler writes what this decides.

use std::time::Duration;

use super::answer::{Answer, AnswerKind};
use super::retry::{MISCONFIGURED_PAUSE, RetryPolicy, recipient_pause, throttle_pause};
use crate::domain::{
    BrakeKind, CONFIRMATION_REASON, Categories, Channel, Event, EventKind, HELD_REASON, Outcome, Routing, SkipReason,
    TaskId, Timestamp,
};
use crate::store::{BookColumn, BookDelta, DeadLetter, DeadLetterCause, DeadLetterKey, TimerKey, TimerRow};

/// What is to be written of one answer, and what comes next.
#[derive(Debug, Default)]
pub(super) struct Settlement {
    pub(super) events: Vec<Event>,
    /// That of the task's next attempt, or of the task of a fallback whose turn it is now or is to come.
    pub(super) timer: Option<TimerRow>,
    pub(super) dead_letter: Option<DeadLetter>,
    /// For the counters: `None` where the sender counted it already.
    pub(super) counted: Option<&'static str>,
    /// For the counters: the channels of a fallback that had no turn, and what became of their tasks.
    pub(super) without_turn: Vec<(Channel, &'static str)>,
}

/// Decides one answer, and enters it into the books.
pub(super) fn settle(
    answer: &Answer,
    policy: &RetryPolicy,
    categories: &Categories,
    books: &mut BookDelta,
) -> Settlement {
    let mut settlement = Settlement::default();
    let outcome = match &answer.kind {
        AnswerKind::Expired => return end(answer, &Rest::Expired, books),
        AnswerKind::Recalled { by } if by.is_way() => return take_back(answer, books),
        AnswerKind::Recalled { .. } | AnswerKind::Emptied => return end(answer, &Rest::Cancelled, books),
        AnswerKind::DeliveredElsewhere => return end(answer, &Rest::Skipped(SkipReason::DeliveredElsewhere), books),
        AnswerKind::Skipped(reason) => return skip(answer, reason, books),
        AnswerKind::PutOff { until } => return put_off(answer, *until, books),
        AnswerKind::Held { by, until, .. } => return hold(answer, *by, *until, books),
        AnswerKind::TakenAfterAll { message_id, has_bounced } => {
            return taken_after_all(answer, message_id.clone(), *has_bounced, books);
        }
        AnswerKind::Outcome(outcome) => outcome,
    };
    match outcome {
        Outcome::Accepted { message_id } => {
            let mut event = event(answer, EventKind::Sent);
            event.provider_message_id = message_id.clone();
            settlement.events.push(event);
            enter(answer, books, BookColumn::Sent);
            match categories.of(answer.plan.category.as_deref()).confirm_within {
                Some(within) => await_confirmation(answer, within, books, &mut settlement),
                None => end_the_rest(answer, books, &Rest::Skipped(SkipReason::DeliveredElsewhere), &mut settlement),
            }
        }
        Outcome::DeadRecipient { .. } | Outcome::BadRequest { .. } => {
            give_up(answer, EventKind::Failed, outcome, books, &mut settlement);
        }
        Outcome::Transient { retry_after, .. } => match policy.delay(answer.task, answer.attempt, *retry_after) {
            Some(delay) => {
                reschedule(answer, answer.attempt + 1, answer.at + delay, why(outcome), books, &mut settlement);
            }
            None => give_up(answer, EventKind::Failed, outcome, books, &mut settlement),
        },
        Outcome::Unknown { reason } => match policy.delay_in_doubt(answer.task, answer.attempt, answer.plan.priority())
        {
            Some(delay) => {
                let mut event = event(answer, EventKind::Unknown);
                event.reason = Some(reason.clone());
                settlement.events.push(event);
                reschedule(answer, answer.attempt + 1, answer.at + delay, why(outcome), books, &mut settlement);
            }
            None => give_up(answer, EventKind::Unknown, outcome, books, &mut settlement),
        },
        Outcome::Throttled { retry_after, whose, .. } => {
            let due = answer.at + throttle_pause(retry_after.or_else(|| recipient_pause(*whose)));
            reschedule(answer, answer.attempt, due, why(outcome), books, &mut settlement);
        }
        Outcome::Config { .. } if is_given_up_for_another(answer) => {
            give_up(answer, EventKind::Failed, outcome, books, &mut settlement);
        }
        Outcome::Config { .. } => {
            let due = answer.at + MISCONFIGURED_PAUSE;
            reschedule(answer, answer.attempt, due, why(outcome), books, &mut settlement);
        }
    }
    settlement
}

/// So long a task waits for settings to be put right while another channel could have it.
const MISCONFIGURED_WAIT_MAX: Duration = Duration::from_secs(5 * 60);

/// Whether a task has met wrong settings before, has waited long enough for them, and has a next channel. Without one it waits on.
fn is_given_up_for_another(answer: &Answer) -> bool {
    let plan = &answer.plan;
    let Some(spec) = plan.tasks().get(usize::from(answer.task.ordinal)) else { return false };
    let due = spec.due.map_or(plan.accepted_at, |due| due.max(plan.accepted_at));
    answer.was_scheduled && answer.at.since(due) > MISCONFIGURED_WAIT_MAX && next_of_fallback(answer).is_some()
}

/// The ordinal of the channel that has its turn after this one.
fn next_of_fallback(answer: &Answer) -> Option<usize> {
    let next = usize::from(answer.task.ordinal) + 1;
    (answer.plan.routing == Routing::Fallback && next < answer.plan.tasks().len()).then_some(next)
}

fn why(outcome: &Outcome) -> Box<str> {
    format!("{}: {}", outcome.name(), outcome.reason()).into()
}

fn event(answer: &Answer, kind: EventKind) -> Event {
    let mut event = Event::new(answer.task, answer.attempt, kind, answer.at);
    event.channel = answer.plan.tasks().get(usize::from(answer.task.ordinal)).map(|spec| spec.channel);
    event.provider = Some((&*answer.provider).into());
    event
}

/// Moves the task itself to its final column.
fn enter(answer: &Answer, books: &mut BookDelta, column: BookColumn) {
    let from = answer.was_scheduled.then_some(BookColumn::Scheduled);
    books.shift(answer.plan.source, from, Some(column), 1);
}

fn reschedule(
    answer: &Answer,
    attempt: u8,
    due: Timestamp,
    reason: Box<str>,
    books: &mut BookDelta,
    settlement: &mut Settlement,
) {
    let Some(spec) = answer.plan.tasks().get(usize::from(answer.task.ordinal)) else { return };
    let mut event = event(answer, EventKind::Scheduled);
    event.attempt = attempt;
    event.due = Some(due);
    event.reason = Some(reason);
    settlement.events.push(event);
    let key = TimerKey { due, offset: answer.task.position.offset, ordinal: answer.task.ordinal, attempt };
    settlement.timer = Some(TimerRow { key, channel: spec.channel, endpoint: spec.endpoint });
    settlement.counted = Some("retried");
    if !answer.was_scheduled {
        books.add(answer.plan.source, BookColumn::Scheduled, 1);
    }
}

/// The task ends without having been delivered: the next channel of a fallback has its turn, or it is a dead letter.
fn give_up(answer: &Answer, kind: EventKind, outcome: &Outcome, books: &mut BookDelta, settlement: &mut Settlement) {
    let mut event = event(answer, kind);
    let reason = why(outcome);
    event.reason = Some(reason.clone());
    settlement.events.push(event);
    let column = if kind == EventKind::Unknown { BookColumn::Unknown } else { BookColumn::Failed };
    enter(answer, books, column);
    settlement.counted = Some("failed");
    if give_turn(answer, books, settlement) {
        return;
    }
    let Some(spec) = answer.plan.tasks().get(usize::from(answer.task.ordinal)) else { return };
    settlement.dead_letter = Some(DeadLetter {
        key: DeadLetterKey { tenant: answer.plan.tenant.clone(), at: answer.at, task: answer.task },
        reason,
        cause: DeadLetterCause::Task { channel: spec.channel, attempt: answer.attempt },
    });
}

/// The next channel of a fallback has its turn, if there is one.
fn give_turn(answer: &Answer, books: &mut BookDelta, settlement: &mut Settlement) -> bool {
    let Some(next) = next_of_fallback(answer) else { return false };
    books.add(answer.plan.source, BookColumn::Waiting, -1);
    settlement.timer = turn(answer, next);
    true
}

/// What the next channel's task is found by after a crash: its block may be done with, since the tasks before it waited for
/// timers of their own.
fn turn(answer: &Answer, ordinal: usize) -> Option<TimerRow> {
    let spec = answer.plan.tasks().get(ordinal)?;
    let offset = answer.task.position.offset;
    let key = TimerKey { due: answer.at, offset, ordinal: ordinal as u8, attempt: TimerKey::TURN };
    Some(TimerRow { key, channel: spec.channel, endpoint: spec.endpoint })
}

/// It ends without having been sent, and so do the channels after it.
fn end(answer: &Answer, rest: &Rest, books: &mut BookDelta) -> Settlement {
    let mut settlement = Settlement::default();
    let (kind, column, reason) = rest.ending();
    let mut event = event(answer, kind);
    event.reason = reason.map(Into::into);
    settlement.events.push(event);
    enter(answer, books, column);
    end_the_rest(answer, books, rest, &mut settlement);
    if kind == EventKind::Cancelled {
        // As those that are cancelled one by one, which no provider was to get.
        settlement.without_turn.clear();
    } else {
        settlement.counted = Some(kind.name());
    }
    settlement
}

/// It was sent, and the next channel waits for a sign that it arrived: it has its turn when the time is over.
fn await_confirmation(answer: &Answer, within: Duration, books: &mut BookDelta, settlement: &mut Settlement) {
    let next = usize::from(answer.task.ordinal) + 1;
    let Some(spec) = answer.plan.tasks().get(next).filter(|_| answer.plan.routing == Routing::Fallback) else { return };
    let due = answer.at + within;
    let mut event = Event::new(answer.plan.task_id(next), 1, EventKind::Scheduled, answer.at);
    event.channel = Some(spec.channel);
    event.due = Some(due);
    event.reason = Some(CONFIRMATION_REASON.into());
    settlement.events.push(event);
    let key = TimerKey { due, offset: answer.task.position.offset, ordinal: next as u8, attempt: 1 };
    settlement.timer = Some(TimerRow { key, channel: spec.channel, endpoint: spec.endpoint });
    books.shift(answer.plan.source, Some(BookColumn::Waiting), Some(BookColumn::Scheduled), 1);
}

/// It was in doubt, and a receipt says that it was sent: it is settled as if that had been the answer. What did not arrive gives
/// the next channel of a fallback its turn; what did needs no other.
fn taken_after_all(
    answer: &Answer,
    message_id: Option<Box<str>>,
    has_bounced: bool,
    books: &mut BookDelta,
) -> Settlement {
    let mut settlement = Settlement { counted: Some("sent"), ..Settlement::default() };
    let mut event = event(answer, EventKind::Sent);
    event.provider_message_id = message_id;
    event.reason = Some("a receipt says that it was taken, which was in doubt".into());
    settlement.events.push(event);
    enter(answer, books, BookColumn::Sent);
    if has_bounced {
        give_turn(answer, books, &mut settlement);
    } else {
        end_the_rest(answer, books, &Rest::Skipped(SkipReason::DeliveredElsewhere), &mut settlement);
    }
    settlement
}

/// It is not to be sent on this channel any more. That is no failure: it is in no dead letter, and the next channel of a fallback has
/// its turn, unless its user is gone.
fn skip(answer: &Answer, reason: &SkipReason, books: &mut BookDelta) -> Settlement {
    let mut settlement = Settlement { counted: Some("skipped"), ..Settlement::default() };
    let mut event = event(answer, EventKind::Skipped);
    event.provider = None;
    event.reason = Some(reason.name().into());
    settlement.events.push(event);
    enter(answer, books, BookColumn::of_skip(reason));
    if *reason == SkipReason::Erased {
        end_the_rest(answer, books, &Rest::Skipped(SkipReason::Erased), &mut settlement);
    } else {
        give_turn(answer, books, &mut settlement);
    }
    settlement
}

/// Its way to the user was recalled, and not what it says: it ends alone, as planning leaves the way out, and the next channel of a
/// fallback has its turn.
fn take_back(answer: &Answer, books: &mut BookDelta) -> Settlement {
    let mut settlement = Settlement::default();
    settlement.events.push(event(answer, EventKind::Cancelled));
    enter(answer, books, BookColumn::Cancelled);
    give_turn(answer, books, &mut settlement);
    settlement
}

/// It waits once more, and has spent no attempt.
fn put_off(answer: &Answer, until: Timestamp, books: &mut BookDelta) -> Settlement {
    let mut settlement = Settlement::default();
    reschedule(answer, answer.attempt, until, "the user is not to be disturbed now".into(), books, &mut settlement);
    settlement.counted = Some("held");
    settlement
}

/// It waits for a brake to be taken off: durably, and found by a timer of its own kind, so that nobody looks at it meanwhile.
fn hold(answer: &Answer, by: BrakeKind, until: Timestamp, books: &mut BookDelta) -> Settlement {
    let mut settlement = Settlement::default();
    let Some(spec) = answer.plan.tasks().get(usize::from(answer.task.ordinal)) else { return settlement };
    let mut event = event(answer, EventKind::Scheduled);
    event.provider = None;
    event.due = Some(until);
    event.reason = Some(format!("{HELD_REASON}the {} is paused", by.name()).into());
    settlement.events.push(event);
    let (offset, ordinal) = (answer.task.position.offset, answer.task.ordinal);
    let key = TimerKey { due: until, offset, ordinal, attempt: TimerKey::HELD };
    settlement.timer = Some(TimerRow { key, channel: spec.channel, endpoint: spec.endpoint });
    if !answer.was_scheduled {
        books.add(answer.plan.source, BookColumn::Scheduled, 1);
    }
    settlement
}

/// What becomes of the channels of a fallback that have no turn.
enum Rest {
    Expired,
    Cancelled,
    Skipped(SkipReason),
}

impl Rest {
    /// Their event, their column of the books, and why.
    fn ending(&self) -> (EventKind, BookColumn, Option<&'static str>) {
        match self {
            Rest::Expired => (EventKind::Expired, BookColumn::Expired, None),
            Rest::Cancelled => (EventKind::Cancelled, BookColumn::Cancelled, None),
            Rest::Skipped(reason) => (EventKind::Skipped, BookColumn::of_skip(reason), Some(reason.name())),
        }
    }
}

/// The channels of a fallback that still wait for their turn will not have it.
fn end_the_rest(answer: &Answer, books: &mut BookDelta, rest: &Rest, settlement: &mut Settlement) {
    let (kind, column, reason) = rest.ending();
    if answer.plan.routing != Routing::Fallback {
        return;
    }
    for ordinal in usize::from(answer.task.ordinal) + 1..answer.plan.tasks().len() {
        let task = TaskId { position: answer.task.position, ordinal: ordinal as u8 };
        let Some(spec) = answer.plan.tasks().get(ordinal) else { continue };
        let mut event = Event::new(task, 1, kind, answer.at);
        event.channel = Some(spec.channel);
        event.reason = reason.map(Into::into);
        settlement.without_turn.push((spec.channel, kind.name()));
        settlement.events.push(event);
        books.shift(answer.plan.source, Some(BookColumn::Waiting), Some(column), 1);
    }
}

#[cfg(test)]
mod tests;
