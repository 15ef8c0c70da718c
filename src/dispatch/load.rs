//! Reads the contents of handles that came without, many at a time: a read costs as much for one as for a hundred.

use std::sync::Arc;
use std::time::Duration;

use super::ready::{Payload, Ready};
use super::sender::SenderContext;
use crate::domain::{Plan, Position, TaskState, Timestamp};
use crate::outcomes::AnswerKind;
use crate::ownership::Begin;
use crate::planning::{self, SecondLook};
use crate::store::{TimerKey, TimerRow};

/// Handles that are read together.
pub(super) const LOAD_MAX: usize = 512;

/// Gives each handle its content, and the attempt that its task is at: a handle may come of an older row than the task's
/// last, and the handle of the last one was dropped because of it. Left out are those whose tasks have ended, and those that
/// wait for a time, which go back to the timers.
pub(super) async fn load(context: &SenderContext, handles: Vec<Ready>) -> Vec<Ready> {
    let positions: Vec<Position> = handles.iter().map(|ready| ready.task.position).collect();
    let stories = loop {
        match context.store.stories(&positions).await {
            Ok(stories) => break stories,
            Err(error) => {
                tracing::error!(%error, "cannot read tasks that are to be sent: trying again");
                context.clock.sleep(Duration::from_secs(1)).await;
            }
        }
    };
    let now = context.clock.now();
    let mut loaded = Vec::with_capacity(handles.len());
    for (mut ready, story) in handles.into_iter().zip(stories) {
        let state = story.as_ref().and_then(|story| story.state(usize::from(ready.task.ordinal)));
        if let (Some(deliveries), Some(story)) = (&context.deliveries, &story)
            && has_moved_on(&ready, state, now)
        {
            deliveries.tell_story(story);
        }
        match (state, story) {
            (Some(TaskState::Scheduled { attempt, due }), _) if due > now => {
                context.ownership.return_to_timer(ready.task.position.shard, timer(&ready, attempt, due));
            }
            (Some(TaskState::Pending { attempt } | TaskState::Scheduled { attempt, .. }), Some(story)) => {
                ready.attempt = attempt;
                ready.scheduled = matches!(state, Some(TaskState::Scheduled { .. }));
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
    look_again(context, &mut loaded, now).await;
    loaded
}

/// After this, what was accepted and has not been sent is looked at again though it waited for no time of its own.
const STALE: Duration = Duration::from_secs(60);

/// Has those looked at again that waited, and notes what is against sending them.
async fn look_again(context: &SenderContext, loaded: &mut [Ready], now: Timestamp) {
    let waited = |ready: &&mut Ready| {
        let accepted_at = ready.payload.as_ref().map_or(now, |payload| payload.plan.accepted_at);
        ready.scheduled || now.since(accepted_at) > STALE
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
                SecondLook::Wait(until) => Some(AnswerKind::Held { until }),
                SecondLook::Expire => Some(AnswerKind::Expired),
            };
        }
    }
}

/// Whether the task is not where its handle says. After a crash, others may not know what happened in between.
fn has_moved_on(ready: &Ready, state: Option<TaskState>, now: Timestamp) -> bool {
    match state {
        Some(TaskState::Pending { attempt }) => attempt != ready.attempt,
        Some(TaskState::Scheduled { attempt, due }) => attempt != ready.attempt || due > now,
        _ => true,
    }
}

fn timer(ready: &Ready, attempt: u8, due: Timestamp) -> TimerRow {
    let key = TimerKey { due, offset: ready.task.position.offset, ordinal: ready.task.ordinal, attempt };
    TimerRow { key, channel: ready.channel, endpoint: ready.endpoint }
}
