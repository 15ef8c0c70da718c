//! Timers: the one door for everything that waits for a time, and the sweep that finds what memory lost.
//!
//! In: rows that are durable already. Out: tasks, handed to dispatch when they are due and not before. Promise: a timer is
//! found again from its row after any crash; memory holds only the next minutes of them; firing twice does no harm.

mod wheel;
mod shard;
mod held;
mod sweep;

use std::collections::HashMap;
use std::sync::Arc;

use arc_swap::ArcSwap;
use ractor::ActorRef;

pub use held::{HeldActor, HeldArguments, HeldMessage};
pub use shard::{TimerActor, TimerArguments, TimerMessage};
pub use sweep::{SweepActor, SweepArguments, SweepMessage};

use crate::domain::ShardId;
use crate::ownership::{Expected, Shard};
use crate::store::TimerRow;
use crate::telemetry::Mailboxes;

/// The way to the timers of each owned shard.
#[derive(Debug)]
pub struct TimersHandle {
    shards: ArcSwap<HashMap<ShardId, Timed>>,
    mailboxes: Mailboxes,
}

/// A shard whose timers run.
#[derive(Debug, Clone)]
struct Timed {
    shard: Arc<Shard>,
    actor: ActorRef<TimerMessage>,
}

impl Default for TimersHandle {
    fn default() -> Self {
        Self { shards: ArcSwap::default(), mailboxes: Mailboxes::of("timer") }
    }
}

impl TimersHandle {
    /// To be called before rows are written; see [`Shard::expect_timers`].
    pub fn expect(&self, shard: ShardId, rows: &mut [TimerRow]) -> Option<Expected> {
        self.shards.load().get(&shard).and_then(|timed| timed.shard.expect_timers(rows))
    }

    /// Tells of rows that were just written. A shard whose timers were not started yet finds them by itself.
    pub fn add(&self, shard: ShardId, rows: Vec<TimerRow>) {
        if let Some(timed) = self.shards.load().get(&shard) {
            timed.shard.add_timers(rows);
            // A closed mailbox means a restart, and the next incarnation looks by itself.
            let _ = timed.actor.cast(TimerMessage::Added(self.mailboxes.enter()));
        }
    }

    /// The shard's timers are another node's, or nobody's.
    pub fn remove(&self, shard: ShardId) {
        self.shards.rcu(|shards| {
            let mut shards = HashMap::clone(shards);
            shards.remove(&shard);
            shards
        });
    }

    fn install(&self, shard: &Arc<Shard>, actor: ActorRef<TimerMessage>) {
        self.shards.rcu(|shards| {
            let mut shards = HashMap::clone(shards);
            shards.insert(shard.id(), Timed { shard: shard.clone(), actor: actor.clone() });
            shards
        });
    }
}
