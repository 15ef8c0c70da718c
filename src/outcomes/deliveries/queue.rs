//! What is to be told. Bounded: what does not fit is kept as the number of its block.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, VecDeque};
use std::ops::Bound::{Excluded, Unbounded};
use std::sync::Arc;

use crate::domain::{ShardId, Story};
use crate::log::Told;
use crate::ownership::{Shard, Ticket};

/// Events that wait: at 20,000 a second that is one of them.
pub(super) const EVENTS_MAX: usize = 20_000;
/// Their bytes.
const BYTES_MAX: usize = 16 << 20;
/// Events told together, and their bytes.
const CHUNK_EVENTS: usize = 2_048;
const CHUNK_BYTES: usize = 1 << 20;

/// A ticket and whose it is; `None`: the shard is another node's by now, whose cursors wait for nobody here.
type Debt = Option<(Arc<Shard>, Ticket)>;

fn debt(shard: Option<&Arc<Shard>>) -> Debt {
    shard.map(|shard| (shard.clone(), shard.take_ticket()))
}

fn settle(debts: impl IntoIterator<Item = Debt>) {
    for (shard, ticket) in debts.into_iter().flatten() {
        shard.give_back(ticket);
    }
}

/// Events of one block, ready to be told.
#[derive(Default)]
pub(super) struct Batch {
    told: Vec<Told>,
    bytes: usize,
    debt: Debt,
}

impl Batch {
    pub(super) fn push(&mut self, told: Told) {
        self.bytes += told.body.len() + told.key.len();
        self.told.push(told);
    }
}

type BlockId = (ShardId, u64);

#[derive(Default)]
pub(super) struct Queue {
    waiting: VecDeque<Batch>,
    /// In `waiting` and `work`.
    events: usize,
    bytes: usize,
    /// Blocks that hold events that are kept nowhere else, or that may not have been told before a crash.
    owed: BTreeMap<BlockId, Debt>,
    work: Option<Work>,
    /// The block that could not be read last: those behind it have their turn, and so has what waits.
    unread: Option<BlockId>,
    waits_first: bool,
}

/// What is being told. It stays here until it is, so that a crash of the actor loses nothing.
#[derive(Default)]
struct Work {
    chunk: Arc<Vec<Told>>,
    bytes: usize,
    /// A block to be read, and then its notifications that are still to be told of.
    block: Option<BlockId>,
    stories: VecDeque<Story>,
    debts: Vec<Debt>,
}

/// What the actor is to do next.
pub(super) enum Step {
    /// Read the block, and come back with [`Queue::was_read`].
    Read(ShardId, u64),
    /// Tell these, and come back with [`Queue::was_told`].
    Tell(Arc<Vec<Told>>),
    Nothing,
}

impl Queue {
    pub(super) fn has_room(&self) -> bool {
        self.events < EVENTS_MAX && self.bytes < BYTES_MAX
    }

    /// Takes a batch in, or keeps its block in mind if that is owed already: of one task the order is kept where it can be.
    pub(super) fn take(&mut self, shard: ShardId, block: u64, owned: Option<&Arc<Shard>>, mut batch: Batch) {
        if !self.has_room() || self.owed.contains_key(&(shard, block)) {
            return self.owe(shard, block, owned);
        }
        batch.debt = debt(owned);
        self.events += batch.told.len();
        self.bytes += batch.bytes;
        self.waiting.push_back(batch);
    }

    /// The whole block is to be told.
    pub(super) fn owe(&mut self, shard: ShardId, block: u64, owned: Option<&Arc<Shard>>) {
        match self.owed.entry((shard, block)) {
            // The ticket that is out is from before these events as well.
            Entry::Occupied(mut entry) if entry.get().is_none() => drop(entry.insert(debt(owned))),
            Entry::Occupied(_) => {}
            Entry::Vacant(entry) => drop(entry.insert(debt(owned))),
        }
    }

    pub(super) fn events(&self) -> usize {
        self.events
    }

    pub(super) fn blocks(&self) -> usize {
        let read = self.work.as_ref().is_some_and(|work| work.block.is_some() || !work.stories.is_empty());
        self.owed.len() + usize::from(read)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty() && self.owed.is_empty() && self.work.is_none()
    }

    /// Asked again without an answer to the last step, it says the same step.
    pub(super) fn step(&mut self, render: impl Fn(&Story) -> Vec<Told>) -> Step {
        let Some(mut work) = self.work.take().or_else(|| self.next_work()) else { return Step::Nothing };
        let step = match work.block {
            Some((shard, block)) => Step::Read(shard, block),
            None => {
                if work.chunk.is_empty() {
                    self.fill(&mut work, render);
                }
                Step::Tell(work.chunk.clone())
            }
        };
        self.work = Some(work);
        step
    }

    /// What waits goes first, unless it is little: blocks must have their turn under load as well.
    fn next_work(&mut self) -> Option<Work> {
        let is_little = self.events < EVENTS_MAX / 2;
        let waits_first = std::mem::take(&mut self.waits_first) && !self.waiting.is_empty();
        if let Some((id, debt)) = (is_little && !waits_first).then(|| self.next_owed()).flatten() {
            return Some(Work { block: Some(id), debts: vec![debt], ..Work::default() });
        }
        let mut work = Work::default();
        let mut chunk = Vec::new();
        while chunk.len() < CHUNK_EVENTS
            && work.bytes < CHUNK_BYTES
            && let Some(batch) = self.waiting.pop_front()
        {
            work.bytes += batch.bytes;
            chunk.extend(batch.told);
            work.debts.push(batch.debt);
        }
        work.chunk = Arc::new(chunk);
        (!work.chunk.is_empty()).then_some(work)
    }

    fn next_owed(&mut self) -> Option<(BlockId, Debt)> {
        let behind = self.unread.and_then(|unread| self.owed.range((Excluded(unread), Unbounded)).next());
        let id = *behind.or_else(|| self.owed.first_key_value())?.0;
        self.owed.remove_entry(&id)
    }

    /// The next events of a block.
    fn fill(&mut self, work: &mut Work, render: impl Fn(&Story) -> Vec<Told>) {
        let mut batch = Batch::default();
        while batch.told.len() < CHUNK_EVENTS
            && batch.bytes < CHUNK_BYTES
            && let Some(story) = work.stories.pop_front()
        {
            render(&story).into_iter().for_each(|told| batch.push(told));
        }
        self.events += batch.told.len();
        self.bytes += batch.bytes;
        work.bytes = batch.bytes;
        work.chunk = Arc::new(batch.told);
    }

    /// The block of [`Step::Read`] cannot be read. It stays owed, and one bad row must not keep all others from being told.
    pub(super) fn was_not_read(&mut self) {
        let Some(mut work) = self.work.take_if(|work| work.block.is_some()) else { return };
        let (Some(id), Some(debt)) = (work.block, work.debts.pop()) else { return };
        // Owed again meanwhile: the ticket that is out is from before those events as well.
        let later = self.owed.insert(id, debt);
        let is_out = self.owed.get(&id).is_some_and(Option::is_some);
        match later {
            Some(later) if is_out => settle([later]),
            Some(later) => drop(self.owed.insert(id, later)),
            None => {}
        }
        (self.unread, self.waits_first) = (Some(id), true);
    }

    /// What the block of [`Step::Read`] holds.
    pub(super) fn was_read(&mut self, stories: Vec<Story>) {
        let Some(work) = &mut self.work else { return };
        work.block = None;
        work.stories = stories.into();
        self.end_if_done();
    }

    /// The events of [`Step::Tell`] were told; how many.
    pub(super) fn was_told(&mut self) -> usize {
        let Some(work) = &mut self.work else { return 0 };
        let count = std::mem::take(&mut work.chunk).len();
        self.events -= count;
        self.bytes -= std::mem::take(&mut work.bytes);
        self.end_if_done();
        count
    }

    fn end_if_done(&mut self) {
        if let Some(work) = self.work.take_if(|work| work.block.is_none() && work.stories.is_empty()) {
            settle(work.debts);
        }
    }
}
