//! One owned shard.

mod cancel;
mod groups;
mod timers;
mod untold;

use std::collections::BTreeMap;
use std::collections::hash_map::Entry;
use std::sync::{Mutex, MutexGuard, PoisonError};

use rustc_hash::FxHashMap;
use tokio::sync::Notify;

use crate::domain::{BLOCK_OFFSETS, Position, ShardId, TaskId};
use crate::store::{Cursors, TimerRow};

pub use cancel::{Mark, Stage};
pub use timers::Expected;
pub use untold::{Barrier, Ticket};

/// What is known of one owned shard. Written by its partition actor (planning), the senders (begin, put back), the
/// settler (release), its timers and cancellations; every method is short and never waits.
#[derive(Debug)]
pub struct Shard {
    id: ShardId,
    state: Mutex<State>,
    /// Told whenever a task leaves a sender's hands: a cancellation may be waiting for that.
    let_go: Notify,
    /// Told when a batch is planned and handed on, for the same reason; and when the shard is closed.
    was_planned: Notify,
    untold: untold::Untold,
    groups: groups::Groups,
}

/// Whether a send may start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Begin {
    /// Yes; the caller holds the task until it is released or put back.
    Yes,
    /// Nobody in this process works on it: it has ended, or this handle came twice.
    NotTracked,
    /// Another sender holds it.
    InHand,
    /// It is being cancelled; the one who cancels releases it, or hands it on again.
    Cancelled,
    /// The node does not own the shard.
    NotOurs,
}

#[derive(Debug, Default)]
struct State {
    /// Blocks with tracked or cancelled tasks.
    blocks: BTreeMap<u64, Block>,
    tracked: usize,
    /// Those among them that senders hold.
    held: usize,
    /// Rows that are being written for callers who are told what became of them.
    writing: usize,
    /// The shard is being let go: no send starts any more.
    is_closed: bool,
    /// Those among them that the books show as waiting for a time.
    scheduled: usize,
    /// All plans below this offset are durable, and their tasks were handed on.
    planned: u64,
    /// Plans below this offset are made or being made.
    begun: u64,
    /// Timers of these buckets that fired and whose tasks have not been settled yet.
    fired: BTreeMap<u64, usize>,
    /// No timer below this bucket is still to fire.
    timer_floor: u64,
    /// Buckets of timers that are being written.
    expected: BTreeMap<u64, usize>,
    /// Timers that are durable, on their way to the wheel.
    arriving: Vec<TimerRow>,
    cursors: Cursors,
}

#[derive(Debug, Default)]
struct Block {
    /// By offset within the block and ordinal.
    tasks: FxHashMap<u16, Hold>,
    /// By offset within the block: notifications that are being cancelled, with those of their tasks whose handles came
    /// meanwhile and were given up.
    cancelled: FxHashMap<u16, FxHashMap<u16, Given>>,
}

/// What is to be known of a handle that was given up, to track its task again: as in [`Hold`].
#[derive(Debug, Clone, Copy)]
struct Given {
    bucket: Option<u64>,
    scheduled: bool,
}

#[derive(Debug, Clone, Copy)]
struct Hold {
    in_hand: bool,
    /// The bucket of the timer that it is found by after a crash; `None`: it came straight from planning.
    bucket: Option<u32>,
    /// Its row says that it waits for a time, and so do the books until it is settled.
    scheduled: bool,
}

/// Ten bits of offset within the block and six of ordinal.
fn slot(task: TaskId) -> u16 {
    notification_slot(task.position.offset) << 6 | u16::from(task.ordinal)
}

fn notification_slot(offset: u64) -> u16 {
    (offset % BLOCK_OFFSETS) as u16
}

impl Shard {
    /// A shard taken over. What was planned below `planned` is handed on already, or waits for a timer; what was planned
    /// above it is found by scanning, which moves it.
    pub fn new(id: ShardId, planned: u64, cursors: Cursors) -> Self {
        let state = State { planned, begun: planned, cursors, timer_floor: cursors.timer_bucket, ..State::default() };
        Self {
            id,
            state: Mutex::new(state),
            let_go: Notify::new(),
            was_planned: Notify::new(),
            untold: Default::default(),
            groups: groups::Groups::of(id),
        }
    }

    pub fn id(&self) -> ShardId {
        self.id
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Every section leaves the state whole, so one that panicked elsewhere does not spoil it.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tracks the tasks that become ready, and says of each whether it is new: not tracked before, and not being
    /// cancelled. `bucket` is that of the timer that made them ready.
    pub fn track(&self, tasks: impl Iterator<Item = TaskId>, bucket: Option<u64>) -> Vec<bool> {
        let mut state = self.state();
        tasks.map(|task| state.track(task, bucket, bucket.is_some())).collect()
    }

    /// Asks whether the send of a task may start; if so the caller holds it.
    pub fn begin(&self, task: TaskId) -> Begin {
        self.state().begin(task)
    }

    /// The task is ready again, its send did not take place.
    pub fn put_back(&self, task: TaskId) {
        self.state().put_back(task);
        self.let_go.notify_waiters();
    }

    /// Nobody works on the task any more.
    pub fn release(&self, task: TaskId) {
        self.state().release(task);
        self.let_go.notify_waiters();
    }

    /// The same for many, with one lock.
    pub fn release_all(&self, tasks: impl Iterator<Item = TaskId>) {
        let mut state = self.state();
        for task in tasks {
            state.release(task);
        }
        drop(state);
        self.let_go.notify_waiters();
    }

    pub fn is_in_hand(&self, task: TaskId) -> bool {
        let state = self.state();
        let block = state.blocks.get(&task.position.block());
        block.and_then(|block| block.tasks.get(&slot(task))).is_some_and(|hold| hold.in_hand)
    }

    /// Whether somebody in this process works on the task.
    pub fn is_tracked(&self, task: TaskId) -> bool {
        let state = self.state();
        state.blocks.get(&task.position.block()).is_some_and(|block| block.tasks.contains_key(&slot(task)))
    }

    /// From now on no send starts; what senders hold ends as it would.
    pub fn close(&self) {
        self.state().is_closed = true;
        self.was_planned.notify_waiters();
    }

    pub fn is_closed(&self) -> bool {
        self.state().is_closed
    }

    /// Waits until the shard is being let go.
    pub async fn until_closed(&self) {
        loop {
            let mut told = std::pin::pin!(self.was_planned.notified());
            told.as_mut().enable();
            if self.is_closed() {
                return;
            }
            told.await;
        }
    }

    /// Rows of the shard are about to be written, by whom the answer depends on that no other node has it meanwhile: it is not let
    /// go before this is dropped. `None`: it is being let go.
    pub fn writing(&self) -> Option<Writing<'_>> {
        let mut state = self.state();
        if state.is_closed {
            return None;
        }
        state.writing += 1;
        Some(Writing(self))
    }

    /// Waits until no sender holds any task of the shard, so that what they sent is settled, and no caller's rows are written.
    pub async fn until_idle(&self) {
        loop {
            let mut let_go = std::pin::pin!(self.let_go.notified());
            let_go.as_mut().enable();
            let is_idle = {
                let state = self.state();
                state.held == 0 && state.writing == 0
            };
            if is_idle {
                return;
            }
            let_go.await;
        }
    }

    /// How many tasks are tracked.
    pub fn tracked(&self) -> usize {
        self.state().tracked
    }

    /// How many tracked tasks the books show as open and not as waiting for a time.
    pub fn in_hand(&self) -> usize {
        let state = self.state();
        state.tracked - state.scheduled
    }

    /// The positions of all tracked tasks, in order: what a stage that lost its memory takes up again.
    pub fn tracked_tasks(&self) -> Vec<TaskId> {
        let state = self.state();
        let mut tasks = Vec::with_capacity(state.tracked);
        for (block, content) in &state.blocks {
            for slot in content.tasks.keys() {
                let offset = block * BLOCK_OFFSETS + u64::from(slot >> 6);
                tasks.push(TaskId { position: Position::new(self.id, offset), ordinal: (slot & 63) as u8 });
            }
        }
        tasks.sort();
        tasks
    }

    /// The offset below which everything is planned and handed on.
    pub fn planned(&self) -> u64 {
        self.state().planned
    }

    pub fn set_planned(&self, next: u64) {
        let mut state = self.state();
        state.planned = state.planned.max(next);
        state.begun = state.begun.max(next);
        drop(state);
        self.was_planned.notify_waiters();
    }

    pub fn cursors(&self) -> Cursors {
        self.state().cursors
    }

    /// The cursors as they could stand now, if that is further than before. Only facts that are durable already count:
    /// a task is released after its event was written.
    pub fn advance(&self) -> Option<Cursors> {
        let mut state = self.state();
        let first_open = state.blocks.iter().find(|(_, block)| !block.is_empty()).map(|(number, _)| *number);
        let task_block =
            first_open.unwrap_or(u64::MAX).min(state.planned / BLOCK_OFFSETS).max(state.cursors.task_block);
        let first_fired = state.fired.keys().next().copied().unwrap_or(u64::MAX);
        let timer_bucket = first_fired.min(state.first_given_up()).min(state.unfired()).max(state.cursors.timer_bucket);
        let next = Cursors { task_block, timer_bucket };
        if next == state.cursors {
            return None;
        }
        state.cursors = next;
        Some(next)
    }
}

/// Lets the shard go on with being let go, if it waits for that.
#[derive(Debug)]
pub struct Writing<'a>(&'a Shard);

impl Drop for Writing<'_> {
    fn drop(&mut self) {
        self.0.state().writing -= 1;
        self.0.let_go.notify_waiters();
    }
}

impl Block {
    fn is_empty(&self) -> bool {
        self.tasks.is_empty() && self.cancelled.is_empty()
    }
}

impl State {
    fn track(&mut self, task: TaskId, bucket: Option<u64>, scheduled: bool) -> bool {
        let block = self.blocks.entry(task.position.block()).or_default();
        let Entry::Vacant(entry) = block.tasks.entry(slot(task)) else { return false };
        if let Some(given_up) = block.cancelled.get_mut(&notification_slot(task.position.offset)) {
            given_up.insert(slot(task), Given { bucket, scheduled });
            return false;
        }
        let bucket = bucket.and_then(|bucket| u32::try_from(bucket).ok());
        entry.insert(Hold { in_hand: false, bucket, scheduled });
        self.tracked += 1;
        self.scheduled += usize::from(scheduled);
        if let Some(bucket) = bucket {
            *self.fired.entry(u64::from(bucket)).or_default() += 1;
        }
        true
    }

    fn begin(&mut self, task: TaskId) -> Begin {
        let Some(block) = self.blocks.get_mut(&task.position.block()) else { return Begin::NotTracked };
        let hold = block.tasks.get_mut(&slot(task));
        if let Some(given_up) = block.cancelled.get_mut(&notification_slot(task.position.offset)) {
            if let Some(hold) = hold.filter(|hold| !hold.in_hand) {
                let given = Given { bucket: hold.bucket.map(u64::from), scheduled: hold.scheduled };
                given_up.insert(slot(task), given);
            }
            return Begin::Cancelled;
        }
        match hold {
            None => Begin::NotTracked,
            Some(hold) if hold.in_hand => Begin::InHand,
            Some(_) if self.is_closed => Begin::NotOurs,
            Some(hold) => {
                hold.in_hand = true;
                self.held += 1;
                Begin::Yes
            }
        }
    }

    fn put_back(&mut self, task: TaskId) {
        let block = self.blocks.get_mut(&task.position.block());
        if let Some(hold) = block.and_then(|block| block.tasks.get_mut(&slot(task))) {
            self.held -= usize::from(hold.in_hand);
            hold.in_hand = false;
        }
    }

    /// The first bucket of a timer that fired for a task that is being cancelled.
    fn first_given_up(&self) -> u64 {
        let given_up = self.blocks.values().flat_map(|block| block.cancelled.values()).flat_map(FxHashMap::values);
        given_up.filter_map(|given| given.bucket).min().unwrap_or(u64::MAX)
    }

    fn release(&mut self, task: TaskId) {
        let number = task.position.block();
        let Some(block) = self.blocks.get_mut(&number) else { return };
        if let Some(given_up) = block.cancelled.get_mut(&notification_slot(task.position.offset)) {
            given_up.remove(&slot(task));
        }
        let Some(hold) = block.tasks.remove(&slot(task)) else { return };
        if block.is_empty() {
            self.blocks.remove(&number);
        }
        self.tracked -= 1;
        self.held -= usize::from(hold.in_hand);
        self.scheduled -= usize::from(hold.scheduled);
        let Some(bucket) = hold.bucket.map(u64::from) else { return };
        if let Some(count) = self.fired.get_mut(&bucket) {
            *count -= 1;
            if *count == 0 {
                self.fired.remove(&bucket);
            }
        }
    }
}

#[cfg(test)]
mod tests;
