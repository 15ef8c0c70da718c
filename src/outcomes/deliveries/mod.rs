//! Telling others of every event of every task, on a log that others read.
//!
//! In: events that are durable, from whoever wrote them. Out: CloudEvents at [`crate::log::Outlet::Deliveries`]. Promise: every event is told at
//! least once, and nothing waits for that but the cursors: where the log takes nothing for minutes, sends go on, and what
//! does not fit into the queue is remembered by its block, to be read from the store again. What was in memory at a crash
//! lies above the cursors, and is told again by whoever finds it there (docs/decisions/0014).

mod actor;
mod cloud_event;
mod queue;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arc_swap::ArcSwapOption;
use ractor::ActorRef;
use tokio::sync::Notify;

pub use actor::{DeliveriesActor, DeliveriesArguments, TellOthers};
pub(super) use cloud_event::told;

use self::queue::{Batch, Queue};
use crate::domain::{Event, Plan, ShardId, Story};
use crate::ownership::Ownership;
use crate::telemetry::{Gauge, GaugeMetric};

/// Events in the queue and under way. Worry when it stays up: the log takes none.
const UNTOLD: GaugeMetric<0> =
    GaugeMetric::new("fanfare_deliveries_untold", "Events of tasks that wait to be told to others.", []);
/// Blocks to be read again. Worry when it grows: the log takes nothing, or too little.
const UNTOLD_BLOCKS: GaugeMetric<0> = GaugeMetric::new(
    "fanfare_deliveries_untold_blocks",
    "Blocks of notifications whose events are to be read again and told to others.",
    [],
);

/// The door. There is one per node, and none where nobody reads the log.
pub struct Deliveries {
    ownership: Arc<Ownership>,
    queue: Mutex<Queue>,
    /// Whether the actor has been told and has not looked yet.
    told: AtomicBool,
    actor: ArcSwapOption<ActorRef<TellOthers>>,
    /// Told when there is nothing left to tell.
    is_done: Notify,
    untold: Gauge,
    untold_blocks: Gauge,
}

impl Deliveries {
    pub fn new(ownership: Arc<Ownership>) -> Arc<Self> {
        Arc::new(Self {
            ownership,
            queue: Mutex::default(),
            told: AtomicBool::new(false),
            actor: ArcSwapOption::empty(),
            is_done: Notify::new(),
            untold: UNTOLD.with([]),
            untold_blocks: UNTOLD_BLOCKS.with([]),
        })
    }

    /// Tells of events of one shard. They are durable already, and their tasks are not let go yet: no cursor passes them
    /// from now on until they were told.
    pub fn tell<'a>(&self, shard: ShardId, events: impl IntoIterator<Item = (&'a Plan, &'a Event)>) {
        let has_room = self.queue().has_room();
        let mut batches: BTreeMap<u64, Batch> = BTreeMap::new();
        for (plan, event) in events {
            let batch = batches.entry(plan.position.block()).or_default();
            // Without room the block is all that is kept.
            if has_room {
                batch.push(cloud_event::told(plan, event));
            }
        }
        if batches.is_empty() {
            return;
        }
        let owned = self.ownership.shard(shard);
        let mut queue = self.queue();
        for (block, batch) in batches {
            match has_room {
                true => queue.take(shard, block, owned.as_ref(), batch),
                false => queue.owe(shard, block, owned.as_ref()),
            }
        }
        self.show(&queue);
        drop(queue);
        self.wake();
    }

    /// Tells of what planning did.
    pub fn tell_plans(&self, shard: ShardId, plans: &[Arc<Plan>]) {
        let first: Vec<(&Plan, Vec<Event>)> = plans.iter().map(|plan| (&**plan, plan.first_events())).collect();
        self.tell(shard, first.iter().flat_map(|(plan, events)| events.iter().map(|event| (*plan, event))));
    }

    /// Tells of everything that happened to a notification, again.
    pub fn tell_story(&self, story: &Story) {
        let events = story.histories();
        self.tell(story.plan.position.shard, events.iter().map(|event| (&story.plan, event)));
    }

    /// Tells of everything in the blocks of these notifications, again.
    pub fn tell_blocks(&self, shard: ShardId, stories: &[Story]) {
        let owned = self.ownership.shard(shard);
        let mut queue = self.queue();
        for stories in stories.chunk_by(|a, b| a.plan.position.block() == b.plan.position.block()) {
            queue.owe(shard, stories[0].plan.position.block(), owned.as_ref());
        }
        self.show(&queue);
        drop(queue);
        self.wake();
    }

    /// Waits until there is nothing left to tell.
    pub async fn done(&self) {
        loop {
            let is_done = self.is_done.notified();
            if self.queue().is_empty() {
                return;
            }
            is_done.await;
        }
    }

    fn wake(&self) {
        if !self.told.swap(true, Ordering::AcqRel)
            && let Some(actor) = self.actor.load_full()
        {
            // A closed mailbox means a restart, and the next incarnation looks by itself.
            let _ = actor.cast(TellOthers);
        }
    }

    fn show(&self, queue: &Queue) {
        self.untold.set(queue.events() as f64);
        self.untold_blocks.set(queue.blocks() as f64);
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        // Every section leaves the queue whole.
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
