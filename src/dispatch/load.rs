//! Reads the contents of handles that came without, many at a time: a read costs as much for one as for a hundred.

use std::sync::Arc;
use std::time::Duration;

use super::groups;
use super::ready::{Payload, Ready};
use super::sender::SenderContext;
use crate::domain::{Position, Story, TaskState, Timestamp};
use crate::ownership::Begin;
use crate::store::{TimerKey, TimerRow};

/// Handles that are read together.
pub(super) const LOAD_MAX: usize = 512;

/// Gives each handle its content, and the attempt that its task is at: a handle may come of an older row than the task's
/// last, and the handle of the last one was dropped because of it. Left out are those whose tasks have ended, and those that
/// wait for a time, which go back to the timers.
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
    let now = context.clock.now();
    let is_due = |story: &Story, ordinal: usize| match story.state(ordinal) {
        Some(TaskState::Scheduled { due, .. }) => due <= now,
        state => matches!(state, Some(TaskState::Pending { .. })),
    };
    let leads = handles.iter().zip(&mut stories).filter_map(|(ready, story)| {
        let story = story.as_mut().filter(|story| story.plan.is_leader())?;
        is_due(story, usize::from(ready.task.ordinal)).then_some(&mut story.plan)
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
            (Some(TaskState::Scheduled { attempt, due }), _) if due > now => {
                context.ownership.return_to_timer(ready.task.position.shard, timer(&ready, attempt, due));
            }
            (Some(TaskState::Pending { attempt } | TaskState::Scheduled { attempt, .. }), Some(story))
                if groups::is_whole(&story.plan) =>
            {
                ready.attempt = attempt;
                ready.scheduled = matches!(state, Some(TaskState::Scheduled { .. }));
                ready.payload = Some(Box::new(Payload { plan: Arc::new(story.plan), _held: None }));
                loaded.push(ready);
            }
            _ => {
                if context.ownership.begin(ready.task) == Begin::Yes {
                    context.ownership.release(ready.task);
                }
            }
        }
    }
    loaded
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
