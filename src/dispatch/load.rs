//! Reads the contents of handles that came without, many at a time: a read costs as much for one as for a hundred.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use super::groups;
use super::ready::{Payload, Ready};
use super::sender::SenderContext;
use crate::domain::{BrakeSet, BrakeVerdict, Plan, Position, Routing, ShardId, Story, TaskState, Timestamp};
use crate::outcomes::{Answer, AnswerKind};
use crate::ownership::Begin;
use crate::planning::{self, SecondLook};
use crate::store::{TimerKey, TimerRow};

/// Handles that are read together.
pub(super) const LOAD_MAX: usize = 512;

/// Gives each handle its content, and the attempt that its task is at: a handle may come of an older row than the task's
/// last, and the handle of the last one was dropped because of it. Left out are those whose tasks have ended, and those that
/// wait for a time or are held by a brake, which go back to the timers.
pub(super) async fn load(context: &SenderContext, handles: Vec<Ready>) -> Vec<Ready> {
    let positions: Vec<Position> = handles.iter().map(|ready| ready.task.position).collect();
    let mut stories = loop {
        match context.store.stories(&positions).await {
            Ok(stories) => break stories,
            Err(error) => {
                tracing::error!(%error, "cannot read tasks that are to be sent: trying again");
                context.clock.sleep(Duration::from_secs(1)).await;
            }
        }
    };
    let (now, brakes) = (context.clock.now(), context.brakes.set());
    let mut confirmed = Vec::new();
    let mut held: BTreeSet<ShardId> = BTreeSet::new();
    let goes = |story: &Story, ready: &Ready| match story.state(usize::from(ready.task.ordinal)) {
        Some(TaskState::Scheduled { due, .. }) => due <= now || !waits(story, ready, &brakes),
        state => matches!(state, Some(TaskState::Pending { .. })),
    };
    let leads = handles.iter().zip(&mut stories).filter_map(|(ready, story)| {
        let story = story.as_mut().filter(|story| story.plan.is_leader())?;
        goes(story, ready).then_some(&mut story.plan)
    });
    groups::gather(context, leads.collect()).await;
    let mut loaded = Vec::with_capacity(handles.len());
    for (mut ready, story) in handles.into_iter().zip(stories) {
        let state = story.as_ref().and_then(|story| story.state(usize::from(ready.task.ordinal)));
        if let (Some(deliveries), Some(story)) = (&context.deliveries, &story)
            && has_moved_on(&ready, state, now)
        {
            deliveries.tell_story(story);
        }
        match (state, story) {
            (Some(TaskState::Scheduled { attempt, due }), Some(story))
                if due > now && waits(&story, &ready, &brakes) =>
            {
                if story.is_held(usize::from(ready.task.ordinal)) {
                    held.insert(ready.task.position.shard);
                }
                context.ownership.return_to_timer(ready.task.position.shard, timer(&ready, attempt, due));
            }
            (Some(TaskState::Pending { attempt } | TaskState::Scheduled { attempt, .. }), Some(story))
                if groups::is_whole(&story.plan) =>
            {
                let is_scheduled = matches!(state, Some(TaskState::Scheduled { .. }));
                if story.is_confirmed_before(usize::from(ready.task.ordinal)) {
                    confirmed.extend(no_more_needed(context, &ready, attempt, is_scheduled, story.plan));
                    continue;
                }
                ready.attempt = attempt;
                ready.scheduled = is_scheduled;
                ready.payload = Some(Box::new(Payload { plan: Arc::new(story.plan), objection: None, _held: None }));
                loaded.push(ready);
            }
            _ => {
                if context.ownership.begin(ready.task) == Begin::Yes {
                    context.ownership.release(ready.task);
                }
            }
        }
    }
    if !confirmed.is_empty() {
        context.settler.submit(confirmed).await;
    }
    held.into_iter().for_each(|shard| context.brakes.was_held(shard, brakes.number()));
    look_again(context, &mut loaded, now).await;
    loaded
}

/// The answer that ends a task whose fallback has reached the user meanwhile, if nobody else has it.
fn no_more_needed(
    context: &SenderContext,
    ready: &Ready,
    attempt: u8,
    was_scheduled: bool,
    plan: Plan,
) -> Option<Answer> {
    (context.ownership.begin(ready.task) == Begin::Yes).then(|| Answer {
        task: ready.task,
        attempt,
        plan: Arc::new(plan),
        was_scheduled,
        provider: "none".into(),
        asked_at: context.clock.now(),
        at: context.clock.now(),
        kind: AnswerKind::DeliveredElsewhere,
    })
}

/// Whether a task whose time has not come is to wait for it: not if a brake that held it is off, or if it was recalled.
fn waits(story: &Story, ready: &Ready, brakes: &BrakeSet) -> bool {
    match brakes.judge(&story.plan, ready.channel, None) {
        BrakeVerdict::Recalled => false,
        BrakeVerdict::Held(_) => true,
        BrakeVerdict::Go => !story.is_held(usize::from(ready.task.ordinal)),
    }
}

/// After this, what was accepted and has not been sent is looked at again though it waited for no time of its own.
const STALE: Duration = Duration::from_secs(60);

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
    let looks = loop {
        match planning::look_again(&tasks, &context.policy, &context.people, now).await {
            Ok(looks) => break looks,
            Err(error) => {
                tracing::error!(%error, "cannot read the users of tasks that are to be sent: trying again");
                context.clock.sleep(Duration::from_secs(1)).await;
            }
        }
    };
    for (ready, look) in waited.iter_mut().zip(looks) {
        if let Some(payload) = &mut ready.payload {
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
