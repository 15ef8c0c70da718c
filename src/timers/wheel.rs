//! The timers of one shard that are in memory: the next ones, in order. Pure.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Duration;

use crate::domain::{Channel, Timestamp};
use crate::store::{TimerKey, TimerRow};

/// Rows in memory are all rows up to `read_to`; what lies beyond is on disk only.
#[derive(Debug, Default)]
pub(super) struct Wheel {
    heap: BinaryHeap<Reverse<(TimerKey, ChannelCode, u32)>>,
    read_to: TimerKey,
}

/// A channel as its number, for the order that a heap needs.
type ChannelCode = u8;

/// Rows held at most; beyond, the wheel reads page by page.
const ROWS_MAX: usize = 50_000;

impl Wheel {
    /// A wheel that has read nothing, and starts after `from`.
    pub(super) fn starting_at(from: TimerKey) -> Self {
        Self { heap: BinaryHeap::new(), read_to: from }
    }

    pub(super) fn read_to(&self) -> TimerKey {
        self.read_to
    }

    /// A row that was just written; it is left to the disk if it lies beyond what was read.
    pub(super) fn add(&mut self, row: TimerRow) {
        if row.key <= self.read_to {
            self.push(row);
        }
    }

    /// A page that was read: all rows after the last `read_to` up to `horizon`, or, if `more`, up to its own last.
    pub(super) fn page(&mut self, rows: Vec<TimerRow>, horizon: Timestamp, more: bool) {
        let end = TimerKey { due: horizon, offset: u64::MAX, ordinal: u8::MAX, attempt: u8::MAX };
        let mut last = end;
        if more && let Some(row) = rows.last() {
            last = row.key.min(end);
        }
        for row in rows.into_iter().take_while(|row| row.key <= last) {
            self.push(row);
        }
        self.read_to = self.read_to.max(last);
    }

    /// Takes all rows that are due, at most `limit`, in order.
    pub(super) fn due(&mut self, now: Timestamp, limit: usize) -> Vec<TimerRow> {
        let mut rows = Vec::new();
        while rows.len() < limit
            && let Some(Reverse((key, _, _))) = self.heap.peek()
            && key.due <= now
            && let Some(Reverse((key, channel, endpoint))) = self.heap.pop()
        {
            if let Some(channel) = Channel::from_index(usize::from(channel)) {
                rows.push(TimerRow { key, channel, endpoint });
            }
        }
        rows
    }

    /// When the next row is due, of those in memory.
    pub(super) fn next_due(&self) -> Option<Timestamp> {
        self.heap.peek().map(|Reverse((key, _, _))| key.due)
    }

    /// Whether more may be read.
    pub(super) fn has_room(&self) -> bool {
        self.heap.len() < ROWS_MAX
    }

    /// When there is something to do: the next row is due, or what was read ends in less than `ahead`. A wheel without room
    /// reads nothing before rows have fired.
    pub(super) fn look_at(&self, ahead: Duration) -> Timestamp {
        let read_at = self.read_to.due - ahead;
        match self.next_due() {
            Some(due) if self.has_room() => due.min(read_at),
            Some(due) => due,
            None => read_at,
        }
    }

    fn push(&mut self, row: TimerRow) {
        self.heap.push(Reverse((row.key, row.channel.index() as ChannelCode, row.endpoint)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn row(due: u64, offset: u64) -> TimerRow {
        let key = TimerKey { due: Timestamp(due), offset, ordinal: 0, attempt: 1 };
        TimerRow { key, channel: Channel::Email, endpoint: 0 }
    }

    #[test]
    fn nothing_fires_early_and_everything_in_order() {
        let mut wheel = Wheel::default();
        wheel.page(vec![row(10, 1), row(20, 2), row(30, 3)], Timestamp(100), false);
        wheel.add(row(15, 4));
        assert!(wheel.due(Timestamp(9), 10).is_empty());
        let due: Vec<u64> = wheel.due(Timestamp(20), 10).iter().map(|row| row.key.offset).collect();
        assert_eq!(due, [1, 4, 2]);
        assert_eq!(wheel.next_due(), Some(Timestamp(30)));
    }

    #[test]
    fn a_full_wheel_is_looked_at_when_a_row_is_due_and_not_before() {
        let (ahead, due) = (Duration::from_secs(300), Timestamp(1_000_000));
        let mut wheel = Wheel::default();
        let rows = (0..ROWS_MAX as u64).map(|offset| row(due.millis(), offset)).collect();
        wheel.page(rows, due + Duration::from_secs(60), true);
        assert!(!wheel.has_room());
        assert_eq!(wheel.look_at(ahead), due);
        wheel.due(due, 1);
        assert_eq!(wheel.look_at(ahead), due - ahead, "there is room to read more");
    }

    proptest! {
        #[test]
        fn every_row_fires_whether_it_was_read_or_added(
            rows in prop::collection::vec(1u64..1000, 1..200),
            page_rows in 1usize..20,
            added in prop::collection::vec(1u64..1000, 0..50),
        ) {
            // The disk: what was written; the wheel reads it page by page and is told of what is added meanwhile.
            let mut disk: Vec<TimerRow> = rows.iter().enumerate().map(|(offset, due)| row(*due, offset as u64)).collect();
            disk.sort_by_key(|row| row.key);
            let mut wheel = Wheel::default();
            let mut fired = std::collections::BTreeSet::new();
            let mut added = added.into_iter().enumerate().map(|(index, due)| row(due, 10_000 + index as u64));
            for now in (0..=1000).step_by(50) {
                if let Some(row) = added.next() {
                    let row = TimerRow { key: TimerKey { due: row.key.due.max(Timestamp(now)), ..row.key }, ..row };
                    disk.push(row);
                    disk.sort_by_key(|row| row.key);
                    wheel.add(row);
                }
                let horizon = Timestamp(now + 100);
                while wheel.read_to().due < horizon {
                    let page: Vec<TimerRow> =
                        disk.iter().filter(|row| row.key > wheel.read_to()).take(page_rows).copied().collect();
                    let more = page.len() == page_rows;
                    wheel.page(page, horizon, more);
                }
                for row in wheel.due(Timestamp(now), usize::MAX) {
                    prop_assert!(row.key.due <= Timestamp(now));
                    fired.insert(row.key);
                }
            }
            let expected: std::collections::BTreeSet<TimerKey> =
                disk.iter().filter(|row| row.key.due <= Timestamp(1000)).map(|row| row.key).collect();
            prop_assert_eq!(fired, expected);
        }
    }
}
