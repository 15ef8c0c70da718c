//! Which of a shard's rows its books have: every row has the number of its write, and the books say up to which number they
//! have counted, and which writes below it they have not. Pure.

use std::collections::BTreeMap;

use super::numbers::Numbers;
use crate::store::{Counted, Uncounted};

/// Writes that failed and that are remembered; above, the first are taken for counted: whoever writes again wrote the same.
const FAILED_MAX: usize = 64;

/// The writes of one shard since this process has it.
#[derive(Debug, Default)]
pub(super) struct Writes {
    /// The highest number that was given.
    last: i64,
    /// The highest that was counted.
    last_counted: i64,
    /// Those not counted, by their first number.
    open: BTreeMap<i64, Open>,
}

#[derive(Debug, Clone)]
struct Open {
    last: i64,
    /// Those of its blocks that the cursors do not lead to.
    blocks: Vec<u64>,
    /// Whether the books are to name the blocks: where nothing else leads to them should the process die, and where it failed.
    names_blocks: bool,
    has_failed: bool,
}

impl Writes {
    /// Everything that was written before is counted, or not to be looked for any more.
    pub(super) fn starting_at(number: i64) -> Self {
        Self { last: number, last_counted: number, open: BTreeMap::new() }
    }

    /// Gives numbers to the rows of a write; returns the first, which names the write. `blocks` are those of its blocks that are
    /// behind the cursors.
    pub(super) fn begin(&mut self, numbers: &Numbers, rows: usize, blocks: Vec<u64>, names_blocks: bool) -> i64 {
        let first = numbers.take(rows.max(1));
        self.last = first + rows.max(1) as i64 - 1;
        self.open.insert(first, Open { last: self.last, blocks, names_blocks, has_failed: false });
        first
    }

    /// The books have it from now on. Returns what to give back if they cannot be written.
    pub(super) fn count(&mut self, first: i64) -> Option<Taken> {
        let open = self.open.remove(&first)?;
        self.last_counted = self.last_counted.max(open.last);
        Some(Taken { first, open })
    }

    /// They have it no more.
    pub(super) fn take_back(&mut self, taken: Taken) {
        self.open.insert(taken.first, taken.open);
        self.fail(taken.first);
    }

    /// Nobody knows what of it was written. During an outage each try is one more of these, with nothing counted between.
    pub(super) fn fail(&mut self, first: i64) {
        let Some(mut failed) = self.open.remove(&first) else { return };
        let before = self.open.range(..first).next_back();
        let before = before.filter(|(start, open)| open.has_failed && self.last_counted < **start);
        let start = before.map_or(first, |(start, _)| *start);
        if let Some(before) = self.open.remove(&start) {
            failed.blocks.extend(before.blocks);
            failed.blocks.sort_unstable();
            failed.blocks.dedup();
        }
        (failed.has_failed, failed.names_blocks) = (true, true);
        self.open.insert(start, failed);
        let mut all = self.open.iter().filter(|(_, open)| open.has_failed).map(|(start, _)| *start);
        if let Some(oldest) = all.next()
            && all.count() >= FAILED_MAX
        {
            self.open.remove(&oldest);
        }
    }

    /// What the books are to say.
    pub(super) fn counted(&self, process: u32) -> Counted {
        let but = self.open.iter();
        let but = but.map(|(first, open)| {
            let blocks = if open.names_blocks { open.blocks.clone() } else { Vec::new() };
            Uncounted { first: *first, last: open.last, blocks }
        });
        Counted { up_to: self.last, process, but: but.collect() }
    }
}

/// A write that the books have, until they are written.
#[derive(Debug)]
pub(super) struct Taken {
    first: i64,
    open: Open,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::ManualClock;
    use crate::domain::Timestamp;

    const ME: u32 = 7;

    fn numbers() -> std::sync::Arc<Numbers> {
        Numbers::new(ManualClock::starting_at(Timestamp(1))).expect("random")
    }

    #[test]
    fn what_is_under_way_or_failed_is_not_counted_and_the_rest_is() {
        let (numbers, mut writes) = (numbers(), Writes::starting_at(10));
        let [done, failed, under_way] = [0, 1, 2].map(|_| writes.begin(&numbers, 3, Vec::new(), false));
        writes.fail(failed);
        writes.count(done);
        let counted = writes.counted(ME);
        let has = |first: i64| (first..first + 3).map(|number| counted.has(number, ME)).collect::<Vec<_>>();
        assert_eq!(has(done), [true; 3]);
        assert_eq!(has(failed), [false; 3]);
        assert_eq!(has(under_way), [false; 3]);
        assert!(counted.has(failed, ME + 1), "the exceptions are of one process");
        assert!(!counted.has(under_way + 3, ME), "what began after the books were written");
    }

    #[test]
    fn tries_of_an_outage_are_one_and_nothing_that_was_counted_is_among_them() {
        let (numbers, mut writes) = (numbers(), Writes::starting_at(0));
        let failing = |writes: &mut Writes, block| {
            let first = writes.begin(&numbers, 1, vec![block], false);
            writes.fail(first);
            first
        };
        let first = failing(&mut writes, 1);
        failing(&mut writes, 2);
        let last = failing(&mut writes, 1);
        assert_eq!(writes.counted(ME).but, [Uncounted { first, last, blocks: vec![1, 2] }]);
        let under_way = writes.begin(&numbers, 1, Vec::new(), false);
        failing(&mut writes, 3);
        writes.count(under_way);
        failing(&mut writes, 3);
        let counted = writes.counted(ME);
        assert!(counted.has(under_way, ME));
        assert_eq!(counted.but.len(), 2, "those before it and those after it");
    }

    #[test]
    fn books_that_could_not_be_written_have_it_no_more() {
        let (numbers, mut writes) = (numbers(), Writes::starting_at(0));
        let first = writes.begin(&numbers, 1, vec![4], false);
        let taken = writes.count(first).expect("it was open");
        assert!(writes.counted(ME).has(first, ME));
        let under_way = [writes.begin(&numbers, 1, vec![5], false), writes.begin(&numbers, 1, vec![6], true)];
        let blocks: Vec<_> = writes.counted(ME).but.into_iter().map(|but| but.blocks).collect();
        assert_eq!(blocks, [vec![], vec![6]], "who has a timer or a block at the cursor is found without");
        for first in under_way {
            writes.count(first);
        }
        writes.take_back(taken);
        assert!(!writes.counted(ME).has(first, ME));
        assert_eq!(writes.counted(ME).but[0].blocks, [4]);
    }

    #[test]
    fn no_more_failures_are_remembered_than_there_is_room_for() {
        let (numbers, mut writes) = (numbers(), Writes::starting_at(0));
        for _ in 0..FAILED_MAX * 2 {
            let failed = writes.begin(&numbers, 1, Vec::new(), false);
            writes.fail(failed);
            let counted = writes.begin(&numbers, 1, Vec::new(), false);
            writes.count(counted);
        }
        assert_eq!(writes.counted(ME).but.len(), FAILED_MAX);
    }
}
