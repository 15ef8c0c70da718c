//! Cancellations: marks that keep sends from starting, and who ends them.
//!
//! A mark that is there before its notification's batch is begun is planning's: it plans the notification as cancelled and
//! ends the mark. Every other mark is ended by who set it, once what it stopped is durable.

use std::collections::HashSet;
use std::collections::hash_map::Entry;

use rustc_hash::FxHashMap;

use super::{Shard, State, notification_slot};
use crate::domain::{BLOCK_OFFSETS, Position, TaskId};

/// How far the planning of a notification is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// Its batch has not been begun: a mark that is there now will be seen.
    ToCome,
    /// It is being planned, from the marks that were there before.
    UnderWay,
    /// Its plan is durable, and its tasks were handed on.
    Planned,
}

/// A mark as it was found or set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mark {
    pub stage: Stage,
    /// Nobody had set it before.
    pub is_new: bool,
}

impl Shard {
    /// From now on no send of the notification starts, until [`Shard::end_cancel`].
    pub fn begin_cancel(&self, offset: u64) -> Mark {
        let mut state = self.state();
        let marks = &mut state.blocks.entry(offset / BLOCK_OFFSETS).or_default().cancelled;
        let is_new = match marks.entry(notification_slot(offset)) {
            Entry::Occupied(_) => false,
            Entry::Vacant(entry) => {
                entry.insert(FxHashMap::default());
                true
            }
        };
        let stage = match offset {
            offset if offset < state.planned => Stage::Planned,
            offset if offset < state.begun => Stage::UnderWay,
            _ => Stage::ToCome,
        };
        Mark { stage, is_new }
    }

    /// Which tasks of the notification senders hold, as bits by ordinal.
    pub fn held(&self, offset: u64) -> u64 {
        let state = self.state();
        let Some(block) = state.blocks.get(&(offset / BLOCK_OFFSETS)) else { return 0 };
        let number = notification_slot(offset);
        let held = block.tasks.iter().filter(|(slot, hold)| *slot >> 6 == number && hold.in_hand);
        held.fold(0, |bits, (slot, _)| bits | 1 << (slot & 63))
    }

    /// Its sends may start again. Returns the tasks whose handles were given up meanwhile: they are tracked, and whoever
    /// ended the cancellation hands them on or releases them.
    pub fn end_cancel(&self, offset: u64) -> Vec<TaskId> {
        let mut state = self.state();
        let number = offset / BLOCK_OFFSETS;
        let Some(block) = state.blocks.get_mut(&number) else { return Vec::new() };
        let given_up = block.cancelled.remove(&notification_slot(offset)).unwrap_or_default();
        if block.is_empty() {
            state.blocks.remove(&number);
        }
        let position = Position::new(self.id, offset);
        let mut tasks = Vec::with_capacity(given_up.len());
        for (slot, given) in given_up {
            let task = TaskId { position, ordinal: (slot & 63) as u8 };
            state.track(task, given.bucket, given.scheduled);
            tasks.push(task);
        }
        tasks
    }

    /// Those of the offsets below `end` and from `start` on that are being cancelled.
    pub fn cancelled_between(&self, start: u64, end: u64) -> HashSet<u64> {
        self.state().cancelled_between(start, end)
    }

    /// The plans of these offsets are being made from now on. Returns those that are being cancelled: they are planned as
    /// such, and for them alone planning ends the cancellation.
    pub fn begin_planning(&self, start: u64, end: u64) -> HashSet<u64> {
        let mut state = self.state();
        state.begun = state.begun.max(end);
        state.cancelled_between(start, end)
    }

    /// Waits until the offset is planned and its tasks were handed on, or the shard is closed.
    pub async fn until_planned(&self, offset: u64) {
        loop {
            let was_planned = self.was_planned.notified();
            if offset < self.planned() || self.is_closed() {
                return;
            }
            was_planned.await;
        }
    }

    pub fn is_cancelled(&self, offset: u64) -> bool {
        let state = self.state();
        let block = state.blocks.get(&(offset / BLOCK_OFFSETS));
        block.is_some_and(|block| block.cancelled.contains_key(&notification_slot(offset)))
    }

    /// Waits until no sender holds a task of the notification.
    pub async fn until_let_go(&self, offset: u64) {
        loop {
            let let_go = self.let_go.notified();
            if self.held(offset) == 0 {
                return;
            }
            let_go.await;
        }
    }
}

impl State {
    fn cancelled_between(&self, start: u64, end: u64) -> HashSet<u64> {
        let blocks = self.blocks.range(start / BLOCK_OFFSETS..=end / BLOCK_OFFSETS);
        let offsets = blocks.flat_map(|(number, block)| {
            block.cancelled.keys().map(move |slot| number * BLOCK_OFFSETS + u64::from(*slot))
        });
        offsets.filter(|offset| (start..end).contains(offset)).collect()
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;
    use crate::domain::{Priority, ShardId};
    use crate::ownership::Begin;
    use crate::store::Cursors;

    fn shard() -> Shard {
        Shard::new(ShardId { generation: 0, lane: Priority::Normal, partition: 0 }, 0, Cursors::default())
    }

    fn task(shard: &Shard, offset: u64, ordinal: u8) -> TaskId {
        TaskId { position: Position::new(shard.id(), offset), ordinal }
    }

    #[test]
    fn a_cancelled_notification_is_neither_begun_nor_tracked_anew() {
        let shard = shard();
        let first = task(&shard, 7, 0);
        let second = task(&shard, 7, 1);
        shard.track([first].into_iter(), None);
        shard.begin_cancel(7);
        assert_eq!(shard.begin(first), Begin::Cancelled);
        assert_eq!(shard.track([second].into_iter(), None), [false]);
        shard.release(first);
        shard.end_cancel(7);
        assert_eq!(shard.begin(second), Begin::Yes);
    }

    #[test]
    fn tasks_whose_handles_were_given_up_for_a_cancellation_are_returned_at_its_end() {
        let shard = shard();
        let [tracked, due, ended] = [0, 1, 2].map(|ordinal| task(&shard, 7, ordinal));
        shard.track([tracked, ended].into_iter(), None);
        shard.begin_cancel(7);
        assert_eq!([tracked, ended].map(|task| shard.begin(task)), [Begin::Cancelled; 2]);
        assert_eq!(shard.track([due].into_iter(), Some(90)), [false]);
        shard.release(ended);
        let mut left = shard.end_cancel(7);
        left.sort();
        assert_eq!(left, [tracked, due]);
        assert!(shard.is_tracked(due), "no cursor passes it");
        assert_eq!((shard.tracked(), shard.in_hand()), (2, 1));
        assert_eq!([left[0], left[1]].map(|task| shard.begin(task)), [Begin::Yes; 2]);
        assert!(shard.end_cancel(7).is_empty());
    }

    #[test]
    fn planning_sees_the_marks_that_were_there_before_it_and_the_others_learn_that_they_came_too_late() {
        let shard = shard();
        // A batch longer than a block.
        let end = 3 * BLOCK_OFFSETS;
        assert_eq!([3, 2 * BLOCK_OFFSETS].map(|offset| shard.begin_cancel(offset).stage), [Stage::ToCome; 2]);
        assert_eq!(shard.begin_planning(0, end), [3, 2 * BLOCK_OFFSETS].into());
        assert_eq!(shard.begin_cancel(4).stage, Stage::UnderWay);
        assert_eq!(shard.begin_cancel(end).stage, Stage::ToCome);
        assert!(shard.until_planned(4).now_or_never().is_none());
        shard.set_planned(end);
        assert!(shard.until_planned(4).now_or_never().is_some());
        assert_eq!(shard.begin_cancel(5).stage, Stage::Planned);
    }
}
