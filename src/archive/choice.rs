//! Which notifications of a block may go. Pure.

use super::AGE_MIN;
use crate::domain::{BLOCK_OFFSETS, Position, ShardId, Story, Timestamp};
use crate::store::{Cursors, timer_bucket};

/// What an order asks of a notification, and what its shard does.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rule {
    /// Those accepted before this are old enough.
    pub(super) before: Timestamp,
    pub(super) now: Timestamp,
    /// How far the shard is.
    pub(super) cursors: Cursors,
    /// No reader of the log ever comes to a record below.
    pub(super) committed: u64,
}

/// What becomes of a notification.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    /// Those after it are no older.
    Young,
    /// It is not over, or was not for long enough.
    Left,
    /// It may go, unless somebody else still needs it.
    Goes,
}

impl Rule {
    /// The last block in which something may go.
    pub(super) fn last_block(&self) -> u64 {
        self.cursors.task_block.max(self.committed / BLOCK_OFFSETS)
    }

    /// Whether the log will not be read at this offset any more: who did would plan and send anew what is missing there. Readers begin at
    /// the cursor's block at the earliest, whatever was committed.
    fn is_passed(&self, position: Position) -> bool {
        position.block() < self.cursors.task_block || position.offset < self.committed
    }

    pub(super) fn fate(&self, story: &Story) -> Fate {
        if story.plan.accepted_at >= self.before {
            return Fate::Young;
        }
        if story.booked_states().iter().chain(&story.states()).any(|state| state.is_open()) {
            return Fate::Left;
        }
        let dues = story.plan.group.iter().map(|group| group.until);
        let last = story.events.iter().map(|event| event.at).chain(dues).fold(story.plan.accepted_at, Timestamp::max);
        // Behind the cursor of timers as well: whoever had the shard worked on after the last thing that happened, so that the books have
        // it, also if nobody has the shard now.
        let is_settled = last + AGE_MIN <= self.now && timer_bucket(last) < self.cursors.timer_bucket;
        if is_settled && self.is_passed(story.plan.position) { Fate::Goes } else { Fate::Left }
    }
}

/// Shards whose records are notifications.
pub(super) fn has_notifications(shard: ShardId) -> bool {
    !shard.is_home() && !shard.is_events()
}
