//! What an earlier owner planned, and perhaps did not hand on: it is taken as it is, and never planned twice.

use std::collections::HashSet;

use super::PartitionState;
use crate::dispatch::Ready;
use crate::domain::{BLOCK_OFFSETS, EventKind, Position, Story, TaskState};
use crate::store::{StoreError, TimerKey, TimerRow};

impl PartitionState {
    /// Hands on what is open and not waiting for a timer, of what was planned before.
    pub(super) fn adopt(&self, stories: &[Story]) {
        let arguments = &self.arguments;
        // Who planned them may not have told others of them.
        if let Some(deliveries) = &arguments.deliveries {
            deliveries.tell_blocks(arguments.shard.id(), stories);
        }
        let now = arguments.clock.now();
        let mut open = Vec::new();
        for story in stories {
            for (ordinal, state) in story.booked_states().into_iter().enumerate() {
                let (TaskState::Pending { attempt }, Some(spec)) = (state, story.plan.tasks().get(ordinal)) else {
                    continue;
                };
                let task = story.plan.task_id(ordinal);
                open.push(Ready::bare(task, attempt, spec.channel, spec.endpoint, now, &arguments.dispatch.room));
            }
        }
        let new = arguments.shard.track(open.iter().map(|ready| ready.task), None);
        let ready = open.into_iter().zip(new).filter_map(|(ready, new)| new.then_some(ready)).collect();
        arguments.dispatch.hand_over(ready);
    }

    /// The same of what is replayed, and tells the timers of what waits: who planned it may have been told that nothing was written,
    /// and have let the timers go past it.
    pub(super) fn adopt_replayed(&self, stories: &[Story]) {
        self.adopt(stories);
        let arguments = &self.arguments;
        arguments.shard.add_timers(waiting(stories));
        arguments.timers.add(arguments.shard.id(), Vec::new());
    }

    /// What an earlier owner planned of the offsets from `first` to `next`: a plan is never made twice, since what it was made
    /// from may have changed. Marks those as well that were cancelled before they were planned.
    pub(super) async fn planned_before(&self, first: u64, next: u64) -> Result<Vec<Story>, StoreError> {
        let mut planned = Vec::new();
        let (store, shard) = (&self.arguments.store, &self.arguments.shard);
        let replayed = first..next.min(self.replayed_below);
        if replayed.is_empty() {
            return Ok(planned);
        }
        for block in replayed.start / BLOCK_OFFSETS..=(replayed.end - 1) / BLOCK_OFFSETS {
            let is_replayed = |position: Position| replayed.contains(&position.offset);
            let stories = store.block(shard.id(), block).await?;
            planned.extend(stories.into_iter().filter(|story| is_replayed(story.plan.position)));
            for event in store.loose_events(shard.id(), block).await? {
                if event.kind == EventKind::Cancelled && is_replayed(event.task.position) {
                    shard.begin_cancel(event.task.position.offset);
                }
            }
        }
        Ok(planned)
    }
}

/// The timers of what waits for its time.
fn waiting(planned: &[Story]) -> Vec<TimerRow> {
    let of = |story: &Story| {
        let row = |(ordinal, state): (usize, TaskState)| {
            let (TaskState::Scheduled { attempt, due }, Some(spec)) = (state, story.plan.tasks().get(ordinal)) else {
                return None;
            };
            let offset = story.plan.position.offset;
            let key = TimerKey { due, offset, ordinal: ordinal as u8, attempt };
            Some(TimerRow { key, channel: spec.channel, endpoint: spec.endpoint })
        };
        story.booked_states().into_iter().enumerate().filter_map(row).collect::<Vec<_>>()
    };
    planned.iter().flat_map(of).collect()
}

/// Takes out of the marks those of notifications whose tasks exist: who cancels them ends the mark.
pub(super) fn leave_to_who_cancels(marks: &mut HashSet<u64>, planned: &[Story]) {
    for story in planned.iter().filter(|story| !story.plan.tasks().is_empty()) {
        marks.remove(&story.plan.position.offset);
    }
}
