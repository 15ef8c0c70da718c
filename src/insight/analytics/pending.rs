//! Which blocks are to be computed, and when: soon after they were first written, the later the older they are, and surely once after
//! all writers are done with the minute in which they were. Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::domain::{ShardId, Timestamp};
use crate::store::MINUTE_MILLIS;

/// Between two computations of a block, and from a write until the next.
pub(super) const DELAY_MIN: Duration = Duration::from_secs(5);
pub(super) const DELAY_MAX: Duration = Duration::from_secs(600);
/// Of a block's age, the part (one in so many) that it may wait: so in all its life it is computed some fifty times.
const DELAY_PART: u32 = 8;
/// So long after its end no mark comes into a minute any more: slower writes are marked again, and clocks of nodes are closer.
pub(super) const CLOSES_AFTER: Duration = Duration::from_secs(90);

/// A block of a shard.
pub(super) type BlockId = (ShardId, u64);

/// The minute of a time, since 1970.
pub(super) fn minute_of(at: Timestamp) -> u64 {
    at.millis() / MINUTE_MILLIS
}

/// When all marks of a minute are there.
pub(super) fn closes_at(minute: u64) -> Timestamp {
    Timestamp((minute + 1).saturating_mul(MINUTE_MILLIS)) + CLOSES_AFTER
}

/// The blocks of a source that were marked.
#[derive(Debug, Default)]
pub(super) struct Pending {
    blocks: BTreeMap<BlockId, Waiting>,
    /// Of each minute, how many blocks it still waits for.
    open: BTreeMap<u64, usize>,
    /// All marks of the minutes below were read.
    pub(super) closed: u64,
}

#[derive(Debug)]
struct Waiting {
    /// In which it was marked, and was not computed since they closed.
    minutes: BTreeSet<u64>,
    /// The latest time of its marks.
    marked: Timestamp,
    /// The earliest mark that it was not computed after, and when that was seen.
    unseen: Option<(Timestamp, Timestamp)>,
    /// When its first notification was accepted, if that is known.
    since: Option<Timestamp>,
}

impl Waiting {
    fn due(&self) -> Timestamp {
        match (self.unseen, self.minutes.last()) {
            (Some((_, seen)), _) => seen + delay(self.since, seen),
            (None, Some(last)) => closes_at(*last),
            (None, None) => Timestamp(0),
        }
    }
}

fn delay(since: Option<Timestamp>, now: Timestamp) -> Duration {
    since.map_or(DELAY_MIN, |since| (now.since(since) / DELAY_PART).clamp(DELAY_MIN, DELAY_MAX))
}

impl Pending {
    /// With nothing to do, from this minute on.
    pub(super) fn from(closed: u64) -> Self {
        Self { closed, ..Self::default() }
    }

    pub(super) fn len(&self) -> usize {
        self.blocks.len()
    }

    /// A mark was read.
    pub(super) fn mark(&mut self, now: Timestamp, minute: u64, block: BlockId, marked: Timestamp) {
        let waiting = self.blocks.entry(block).or_insert_with(|| Waiting {
            minutes: BTreeSet::new(),
            marked: Timestamp(0),
            unseen: None,
            since: None,
        });
        let is_new = waiting.minutes.insert(minute);
        if is_new {
            *self.open.entry(minute).or_default() += 1;
        }
        if marked > waiting.marked || is_new {
            waiting.marked = waiting.marked.max(marked);
            waiting.unseen.get_or_insert((marked, now));
        }
    }

    /// Those that are due, the longest first, with whether it is known how old they are.
    pub(super) fn due(&self, now: Timestamp, limit: usize) -> Vec<(BlockId, bool)> {
        let due = self.blocks.iter().map(|(block, waiting)| (waiting.due(), *block, waiting.since.is_some()));
        let mut due: Vec<_> = due.filter(|(due, ..)| *due <= now).collect();
        if due.len() > limit {
            due.select_nth_unstable(limit);
            due.truncate(limit);
        }
        due.sort_unstable();
        due.into_iter().map(|(_, block, is_known)| (block, is_known)).collect()
    }

    /// It is known now how old a block is; whether it is due all the same.
    pub(super) fn know(&mut self, block: BlockId, since: Timestamp, now: Timestamp) -> bool {
        let Some(waiting) = self.blocks.get_mut(&block) else { return false };
        waiting.since = Some(since);
        waiting.due() <= now
    }

    /// The block was read at this time or later, and what it comes to is written.
    pub(super) fn computed(&mut self, block: BlockId, at: Timestamp) {
        let Some(waiting) = self.blocks.get_mut(&block) else { return };
        waiting.unseen = None;
        let closed = self.closed;
        let open = &mut self.open;
        waiting.minutes.retain(|minute| {
            let stays = *minute >= closed || closes_at(*minute) > at;
            if !stays && let Some(count) = open.get_mut(minute) {
                *count -= 1;
            }
            stays
        });
        open.retain(|_, count| *count > 0);
        if waiting.minutes.is_empty() {
            self.blocks.remove(&block);
        }
    }

    /// The first minute of which something is still to be done.
    pub(super) fn minute(&self) -> u64 {
        self.open.keys().next().map_or(self.closed, |first| self.closed.min(*first))
    }

    /// How long ago the first write was that nobody has looked at.
    pub(super) fn lag(&self, now: Timestamp) -> Duration {
        let unseen = self.blocks.values().filter_map(|waiting| waiting.unseen.map(|(marked, _)| now.since(marked)));
        // Minutes that are over for long and were not read.
        let unread = now.since(closes_at(self.closed));
        unseen.max().unwrap_or_default().max(unread)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::conformance::{NOON, shard};

    const SECOND: Duration = Duration::from_secs(1);

    fn block(number: u64) -> BlockId {
        (shard(0), number)
    }

    fn due(pending: &Pending, now: Timestamp) -> Vec<u64> {
        pending.due(now, 100).into_iter().map(|((_, block), _)| block).collect()
    }

    #[test]
    fn a_young_block_is_due_soon_and_once_more_when_its_minute_is_closed() {
        let (mut pending, minute) = (Pending::from(minute_of(NOON)), minute_of(NOON));
        pending.mark(NOON, minute, block(1), NOON);
        assert!(due(&pending, NOON + SECOND).is_empty());
        assert_eq!(due(&pending, NOON + DELAY_MIN), [1]);
        pending.computed(block(1), NOON + DELAY_MIN);
        // The same mark is read again, and says nothing new.
        pending.mark(NOON + SECOND * 6, minute, block(1), NOON);
        assert!(due(&pending, NOON + SECOND * 100).is_empty());
        // A later one does.
        pending.mark(NOON + SECOND * 8, minute, block(1), NOON + SECOND * 7);
        assert_eq!(due(&pending, NOON + SECOND * 13), [1]);
        pending.computed(block(1), NOON + SECOND * 13);
        assert_eq!(pending.minute(), minute);

        // Its minute is over for so long that nobody writes into it.
        let end = closes_at(minute);
        assert_eq!(due(&pending, end), [1]);
        pending.closed = minute + 1;
        pending.computed(block(1), end);
        assert_eq!((pending.len(), pending.minute()), (0, minute + 1));
    }

    #[test]
    fn a_block_that_was_read_before_its_marks_were_all_there_is_read_again() {
        let (mut pending, minute) = (Pending::from(minute_of(NOON)), minute_of(NOON));
        pending.mark(NOON, minute, block(1), NOON);
        // Late enough, but the last marks of the minute were not read before.
        pending.computed(block(1), closes_at(minute));
        assert_eq!((pending.len(), pending.minute()), (1, minute));
        pending.closed = minute + 1;
        assert_eq!(due(&pending, closes_at(minute)), [1]);
    }

    #[test]
    fn an_old_block_waits_by_its_age() {
        let (mut pending, minute) = (Pending::from(minute_of(NOON)), minute_of(NOON));
        pending.mark(NOON, minute, block(1), NOON);
        assert!(!pending.know(block(1), NOON - SECOND * 800, NOON + DELAY_MIN), "a hundred seconds");
        assert_eq!(due(&pending, NOON + SECOND * 100), [1]);
        assert!(!pending.know(block(1), NOON - SECOND * 86_400, NOON + SECOND * 100));
        assert!(due(&pending, NOON + DELAY_MAX - SECOND).is_empty());
        assert_eq!(due(&pending, NOON + DELAY_MAX), [1]);
        assert_eq!(pending.lag(NOON + DELAY_MAX), DELAY_MAX);
        pending.closed = minute + 1;
        pending.computed(block(1), NOON + DELAY_MAX);
        assert_eq!(pending.len(), 0);
    }

    #[test]
    fn the_longest_due_come_first_and_a_minute_waits_for_all_of_its_blocks() {
        let (mut pending, minute) = (Pending::from(minute_of(NOON)), minute_of(NOON));
        for number in [3, 1, 2] {
            pending.mark(NOON + SECOND * (10 - number as u32), minute + number, block(number), NOON);
        }
        assert_eq!(pending.due(NOON + SECOND * 60, 2).len(), 2);
        assert_eq!(due(&pending, NOON + SECOND * 60), [3, 2, 1]);
        pending.closed = minute + 4;
        pending.computed(block(1), closes_at(minute + 9));
        assert_eq!(pending.minute(), minute + 2);
    }
}
