//! Timers: the one door for everything that waits for a time, and the sweep that finds what memory lost.
//!
//! In: rows that are durable already. Out: tasks, handed to dispatch when they are due and not before. Promise: a timer is
//! found again from its row after any crash; memory holds only the next minutes of them; firing twice does no harm.

mod wheel;
mod shard;
mod sweep;

use std::collections::HashMap;

use arc_swap::ArcSwap;
use ractor::ActorRef;

pub use shard::{TimerActor, TimerArguments, TimerMessage};
pub use sweep::{SweepActor, SweepArguments, SweepMessage};

use crate::domain::ShardId;
use crate::store::TimerRow;
use crate::telemetry::Mailboxes;

/// The way to the timers of each owned shard.
#[derive(Debug)]
pub struct TimersHandle {
    shards: ArcSwap<HashMap<ShardId, ActorRef<TimerMessage>>>,
    mailboxes: Mailboxes,
}

impl Default for TimersHandle {
    fn default() -> Self {
        Self { shards: ArcSwap::default(), mailboxes: Mailboxes::of("timer") }
    }
}

impl TimersHandle {
    /// Tells of rows that were just written. An actor that is being restarted finds them by itself.
    pub fn add(&self, shard: ShardId, rows: Vec<TimerRow>) {
        if let Some(actor) = self.shards.load().get(&shard) {
            let _ = actor.cast(TimerMessage::Added(rows, self.mailboxes.enter()));
        }
    }

    fn install(&self, shard: ShardId, actor: ActorRef<TimerMessage>) {
        self.shards.rcu(|shards| {
            let mut shards = HashMap::clone(shards);
            shards.insert(shard, actor.clone());
            shards
        });
    }
}
