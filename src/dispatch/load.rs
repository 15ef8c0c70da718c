//! Reads the contents of handles that came without, many at a time: a read costs as much for one as for a hundred.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use super::groups;
use super::ready::{Payload, Ready, STALE};
use super::sender::SenderContext;
use super::stopped::{stops, unasked};
use crate::domain::{
    BrakeSet, BrakeVerdict, Event, Plan, Position, Routing, ShardId, SkipReason, Story, TaskState, Timestamp,
};
use crate::outcomes::{Answer, AnswerKind};
use crate::ownership::{Begin, Shard};
use crate::planning::{self, SecondLook};
use crate::store::{TimerKey, TimerRow};

/// Handles that are read together.
pub(super) const LOAD_MAX: usize = 512;

/// Gives each handle its content, and the attempt that its task is at: a handle may come of an older row than the task's
/// last, and the handle of the last one was dropped because of it. Left out are those whose tasks have ended, and those that
/// wait for a time or are held by a brake, which go back to the timers.
pub(super) async fn load(context: &SenderContext, handles: Vec<Ready>) -> Vec<Ready> {
    let owners: BTreeMap<ShardId, Arc<Shard>> =
        context.ownership.shards().into_iter().map(|shard| (shard.id(), shard)).collect();
    let give_up = |ready: &Ready| give_up(owners.get(&ready.task.position.shard), ready);
    let mut stories = read(context, &handles).await;
    let (now, brakes) = (context.clock.now(), context.brakes.set());
    let mut held: BTreeSet<ShardId> = BTreeSet::new();
    // What a brake holds is not closed: who is in it may leave it until it goes on.
    let leads = handles.iter().zip(&mut stories).filter_map(|(ready, story)| {
        let story = story.as_mut().filter(|story| story.plan.is_leader() && !story.plan.is_erased())?;
        let goes = course(Some(story), ready, &brakes, now).goes() && holds(story, ready, &brakes, now).is_none();
        goes.then_some(&mut story.plan)
    });
    let closing = groups::gather(context, leads.collect()).await;
    let mut kept_waiting: Vec<Vec<Ready>> = closing.iter().map(|_| Vec::new()).collect();
    let (mut loaded, mut answers) = (Vec::with_capacity(handles.len()), Vec::new());
    for (mut ready, story) in handles.into_iter().zip(stories) {
        let course = course(story.as_ref(), &ready, &brakes, now);
        if let (Some(deliveries), Some(story)) = (&context.deliveries, &story)
            && has_moved_on(&ready, story.booked(usize::from(ready.task.ordinal)), now)
        {
            deliveries.tell_story(story);
        }
        match (course, story) {
            (Course::Waits { attempt, due }, Some(story)) => {
                if story.is_held(usize::from(ready.task.ordinal)) {
                    held.insert(ready.task.position.shard);
                }
                context.ownership.return_to_timer(ready.task.position.shard, timer(&ready, attempt, due));
            }
            (Course::Taken { attempt, is_scheduled }, Some(story)) => {
                (ready.attempt, ready.scheduled) = (attempt, is_scheduled);
                answers.extend(taken(context, &ready, story));
            }
            (Course::Goes { attempt, is_scheduled }, Some(story)) => {
                (ready.attempt, ready.scheduled) = (attempt, is_scheduled);
                let is_whole = groups::is_whole(&story.plan);
                if let Some(end) = end(&story, &ready, &brakes, now) {
                    if matches!(end, AnswerKind::Held { .. }) {
                        groups::forget(context, &story.plan);
                    }
                    answers.extend(unasked(context, &ready, Arc::new(story.plan), end));
                } else if is_whole {
                    let (looked_at, plan) = (story.plan.accepted_at, Arc::new(story.plan));
                    ready.payload = Some(Box::new(Payload { plan, looked_at, objection: None, _held: None }));
                    loaded.push(ready);
                } else if let Some(at) = closing.iter().position(|closing| closing.shard == ready.task.position.shard) {
                    kept_waiting[at].push(ready);
                } else {
                    give_up(&ready);
                }
            }
            _ => give_up(&ready),
        }
    }
    for (closing, leaders) in closing.into_iter().zip(kept_waiting) {
        closing.hand_on(context, leaders);
    }
    if !answers.is_empty() {
        context.settler.submit(answers).await;
    }
    held.into_iter().for_each(|shard| context.brakes.was_held(shard, brakes.number()));
    look_again(context, &mut loaded, now).await;
    loaded
}

/// The stories of handles, when the store can be read.
async fn read(context: &SenderContext, handles: &[Ready]) -> Vec<Option<Story>> {
    let positions: Vec<Position> = handles.iter().map(|ready| ready.task.position).collect();
    loop {
        match context.store.stories(&positions).await {
            Ok(stories) => return stories,
            Err(error) => {
                tracing::error!(%error, "cannot read tasks that are to be sent: trying again");
                context.clock.sleep(Duration::from_secs(1)).await;
            }
        }
    }
}

/// Where a task stands whose turn has come.
#[derive(Clone, Copy)]
enum Course {
    Goes {
        attempt: u8,
        is_scheduled: bool,
    },
    /// It has its turn at another time.
    Waits {
        attempt: u8,
        due: Timestamp,
    },
    /// A receipt says that an attempt before was taken, which was in doubt.
    Taken {
        attempt: u8,
        is_scheduled: bool,
    },
    /// It ended, or waits for the channel before it.
    Over,
}

impl Course {
    fn goes(self) -> bool {
        matches!(self, Course::Goes { .. })
    }
}

fn course(story: Option<&Story>, ready: &Ready, brakes: &BrakeSet, now: Timestamp) -> Course {
    let Some(story) = story else { return Course::Over };
    let ordinal = usize::from(ready.task.ordinal);
    let is_taken = story.is_taken_after_all(ordinal);
    match story.booked(ordinal) {
        Some(TaskState::Scheduled { attempt, .. }) if is_taken => Course::Taken { attempt, is_scheduled: true },
        Some(TaskState::Pending { attempt }) if is_taken => Course::Taken { attempt, is_scheduled: false },
        Some(TaskState::Scheduled { attempt, due })
            if due > now && waits(story, ready, brakes) && !story.is_answered(ordinal) =>
        {
            Course::Waits { attempt, due }
        }
        Some(TaskState::Scheduled { attempt, .. }) => Course::Goes { attempt, is_scheduled: true },
        Some(TaskState::Pending { attempt }) => Course::Goes { attempt, is_scheduled: false },
        _ => Course::Over,
    }
}

/// The answer for a task whose attempt before was taken after all, as the receipt says: it is not sent again.
fn taken(context: &SenderContext, ready: &Ready, story: Story) -> Option<Answer> {
    let ordinal = usize::from(ready.task.ordinal);
    let is_receipt = |event: &&Event| usize::from(event.task.ordinal) == ordinal && event.kind.is_receipt();
    let receipt = story.events.iter().filter(is_receipt).min_by_key(|event| event.at);
    let provider = receipt.and_then(|event| event.provider.clone());
    let message_id = receipt.and_then(|event| event.provider_message_id.clone());
    let kind = AnswerKind::TakenAfterAll { message_id, has_bounced: story.has_bounced(ordinal) };
    let mut answer = unasked(context, ready, Arc::new(story.plan), kind)?;
    // The attempt that it waits for was not made.
    answer.attempt = ready.attempt.saturating_sub(1).max(1);
    answer.provider = provider.map_or(answer.provider, Into::into);
    Some(answer)
}

/// The answer for a leader that a brake holds.
fn holds(story: &Story, ready: &Ready, brakes: &BrakeSet, now: Timestamp) -> Option<AnswerKind> {
    let kind = stops(brakes, &story.plan, ready.channel, None, now)?;
    matches!(kind, AnswerKind::Held { .. }).then_some(kind)
}

/// What ends the turn of a task before it has a lane's: its fallback has reached the user meanwhile, what it says was erased, everybody
/// has left its group, or a brake holds its group, which is open as long as it does.
fn end(story: &Story, ready: &Ready, brakes: &BrakeSet, now: Timestamp) -> Option<AnswerKind> {
    if story.is_confirmed_before(usize::from(ready.task.ordinal)) {
        return Some(AnswerKind::DeliveredElsewhere);
    }
    if story.plan.is_erased() {
        return Some(AnswerKind::Skipped(SkipReason::Erased));
    }
    if groups::is_empty(&story.plan) {
        return Some(AnswerKind::Emptied);
    }
    if groups::is_whole(&story.plan) { None } else { holds(story, ready, brakes, now) }
}

/// Nobody works on it any more, unless somebody else does. `owner`: the shard when the handle was taken up. Where it was let go since
/// and came back, it is another one, which has the task in hand anew.
fn give_up(owner: Option<&Arc<Shard>>, ready: &Ready) {
    if let Some(shard) = owner
        && shard.begin(ready.task) == Begin::Yes
    {
        shard.release(ready.task);
    }
}

/// Whether a task whose time has not come is to wait for it: not if a brake that held it is off, or if it was recalled.
fn waits(story: &Story, ready: &Ready, brakes: &BrakeSet) -> bool {
    match brakes.judge(&story.plan, ready.channel, None) {
        BrakeVerdict::Recalled(_) => false,
        BrakeVerdict::Held(_) => true,
        BrakeVerdict::Go => !story.is_held(usize::from(ready.task.ordinal)),
    }
}

/// Has those looked at again that waited, and notes what is against sending them.
async fn look_again(context: &SenderContext, loaded: &mut [Ready], now: Timestamp) {
    let waited = |ready: &&mut Ready| {
        let Some(payload) = &ready.payload else { return false };
        // The channels before it took their time, or were skipped.
        let is_later = payload.plan.routing == Routing::Fallback && ready.task.ordinal > 0;
        ready.scheduled || is_later || now.since(payload.plan.accepted_at) > STALE
    };
    let mut waited: Vec<&mut Ready> = loaded.iter_mut().filter(waited).collect();
    if waited.is_empty() {
        return;
    }
    let plans: Vec<(Arc<Plan>, usize)> = waited
        .iter()
        .filter_map(|ready| Some((ready.payload.as_ref()?.plan.clone(), usize::from(ready.task.ordinal))))
        .collect();
    let tasks: Vec<(&Plan, usize)> = plans.iter().map(|(plan, ordinal)| (&**plan, *ordinal)).collect();
    // However long the store takes, what was looked at is fresh: it is not read again at once, and again.
    let (looks, looked_at) = loop {
        let asked_at = context.clock.now();
        match planning::look_again(&tasks, &context.policy, &context.people, now).await {
            Ok(looks) => break (looks, asked_at),
            Err(error) => {
                tracing::error!(%error, "cannot read the users of tasks that are to be sent: trying again");
                context.clock.sleep(Duration::from_secs(1)).await;
            }
        }
    };
    for (ready, look) in waited.iter_mut().zip(looks) {
        if let Some(payload) = &mut ready.payload {
            payload.looked_at = looked_at;
            payload.objection = match look {
                SecondLook::Send => None,
                SecondLook::Skip(reason) => Some(AnswerKind::Skipped(reason)),
                SecondLook::Wait(until) => Some(AnswerKind::PutOff { until }),
                SecondLook::Expire => Some(AnswerKind::Expired),
            };
        }
    }
}

/// Whether the task is not where its handle says. After a crash, others may not know what happened in between.
fn has_moved_on(ready: &Ready, state: Option<TaskState>, now: Timestamp) -> bool {
    match state {
        Some(TaskState::Pending { attempt }) => attempt != ready.attempt,
        // Written by who held it, and told then.
        Some(TaskState::Scheduled { .. }) if ready.attempt == TimerKey::HELD => false,
        Some(TaskState::Scheduled { attempt, due }) => attempt != ready.attempt || due > now,
        _ => true,
    }
}

fn timer(ready: &Ready, attempt: u8, due: Timestamp) -> TimerRow {
    let key = TimerKey { due, offset: ready.task.position.offset, ordinal: ready.task.ordinal, attempt };
    TimerRow { key, channel: ready.channel, endpoint: ready.endpoint }
}
