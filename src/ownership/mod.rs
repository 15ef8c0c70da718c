//! What this node has in hand: which shards are its own, and until when; per shard, which tasks somebody in this process works
//! on, and up to where all work is known to be done.
//!
//! In: tasks that become ready, begin to be sent, and end. Out: the answer to "may this send start?", and cursors. Promise:
//! a send starts only for a task that is tracked, that nobody holds and that nobody cancelled; so however often a task is
//! found again (by a timer, a takeover, the sweep), it is sent by one sender at a time and not after its end.

mod beats;
mod leases;
mod shard;
mod standing;

use std::sync::Arc;

use arc_swap::ArcSwap;
use rustc_hash::FxHashMap;

pub use beats::{BeatActor, BeatArguments, BeatMessage};
pub use leases::{LeaseKeeper, WRITE_WAIT_MAX};
pub use shard::{Barrier, Begin, Expected, Mark, Shard, Stage, Ticket, Writing};
pub use standing::Standing;

use crate::clock::Clock;
use crate::domain::{ShardId, TaskId};
use crate::store::TimerRow;

/// The shards this node owns.
#[derive(Debug)]
pub struct Ownership {
    shards: ArcSwap<FxHashMap<ShardId, Arc<Shard>>>,
    standing: Arc<Standing>,
}

impl Ownership {
    /// `standing`: until when the shards are certainly this node's.
    pub fn new(standing: Arc<Standing>) -> Self {
        Self { shards: ArcSwap::default(), standing }
    }

    pub fn standing(&self) -> &Standing {
        &self.standing
    }

    /// The shard, if this node owns it.
    pub fn shard(&self, id: ShardId) -> Option<Arc<Shard>> {
        self.shards.load().get(&id).cloned()
    }

    /// Whether the shard has been this node's ever since it was found here: one that was lost and taken over again is another one.
    pub fn is_still(&self, shard: &Arc<Shard>) -> bool {
        let now = self.shards.load().get(&shard.id()).cloned();
        !self.standing.is_lost(shard.id()) && now.is_some_and(|now| Arc::ptr_eq(&now, shard))
    }

    /// The same, and for as long as a write about it may take: until what is returned is dropped.
    pub fn may_write<'a>(&self, shard: &'a Arc<Shard>, clock: &dyn Clock) -> Option<Writing<'a>> {
        let writing = shard.writing()?;
        (self.standing.holds(clock, WRITE_WAIT_MAX) && self.is_still(shard)).then_some(writing)
    }

    /// Every owned shard, in order.
    pub fn shards(&self) -> Vec<Arc<Shard>> {
        let mut shards: Vec<_> = self.shards.load().values().cloned().collect();
        shards.sort_by_key(|shard| shard.id());
        shards
    }

    /// Takes a shard over.
    pub fn insert(&self, shard: Arc<Shard>) {
        self.shards.rcu(|shards| {
            let mut shards = FxHashMap::clone(shards);
            shards.insert(shard.id(), shard.clone());
            shards
        });
    }

    /// Lets a shard go.
    pub fn remove(&self, id: ShardId) {
        self.shards.rcu(|shards| {
            let mut shards = FxHashMap::clone(shards);
            shards.remove(&id);
            shards
        });
    }

    /// Asks whether the send of a task may start now; see [`Shard::begin`].
    pub fn begin(&self, task: TaskId) -> Begin {
        if self.standing.is_lost(task.position.shard) {
            return Begin::NotOurs;
        }
        match self.shards.load().get(&task.position.shard) {
            Some(shard) => shard.begin(task),
            None => Begin::NotOurs,
        }
    }

    /// The task goes back into a lane: its send did not take place.
    pub fn put_back(&self, task: TaskId) {
        if let Some(shard) = self.shards.load().get(&task.position.shard) {
            shard.put_back(task);
        }
    }

    /// Nobody works on the task any more: it ended, or waits for a timer, and that is durable.
    pub fn release(&self, task: TaskId) {
        if let Some(shard) = self.shards.load().get(&task.position.shard) {
            shard.release(task);
        }
    }

    /// The task turned out to wait for a time; see [`Shard::return_to_timer`].
    pub fn return_to_timer(&self, shard: ShardId, row: TimerRow) {
        if let Some(shard) = self.shards.load().get(&shard) {
            shard.return_to_timer(row);
        }
    }

    /// Whether a sender has the task in its hands.
    pub fn is_sending(&self, task: TaskId) -> bool {
        self.shards.load().get(&task.position.shard).is_some_and(|shard| shard.is_in_hand(task))
    }
}
