//! The audit: reads blocks again and takes up what is open and in nobody's hands. It should never find anything; what it
//! finds is counted, and was lost from memory by a fault that this mends.
//!
//! Started and watched by the root. It keeps no state that matters.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use ractor::{Actor, ActorProcessingErr, ActorRef};

use crate::clock::SharedClock;
use crate::dispatch::{DispatchHandle, Ready};
use crate::domain::{BLOCK_OFFSETS, ShardId, TaskState};
use crate::ownership::{Ownership, Shard};
use crate::store::{SharedStore, StoreError, timer_bucket};
use crate::telemetry::{Counter, CounterMetric, Gauge, GaugeMetric};

/// Worry about any: each was lost from memory by a fault.
const FOUND: CounterMetric<0> = CounterMetric::new(
    "fanfare_sweep_found_total",
    "Open tasks that nobody was working on, taken up by the audit.",
    [],
);
/// Worry when it exceeds what the lowest lane is promised.
const OLDEST: GaugeMetric<0> =
    GaugeMetric::new("fanfare_oldest_pending_seconds", "Age of the oldest open task that waits for no timer.", []);

#[derive(Debug, Default)]
pub struct SweepActor;

#[derive(Clone)]
pub struct SweepArguments {
    pub interval: Duration,
    pub clock: SharedClock,
    pub store: SharedStore,
    pub ownership: Arc<Ownership>,
    pub dispatch: Arc<DispatchHandle>,
}

#[derive(Debug)]
pub enum SweepMessage {
    Sweep,
}

pub struct SweepState {
    arguments: SweepArguments,
    /// Per shard: the block to read next of the trailing audit.
    audited: HashMap<ShardId, u64>,
    found: Counter,
    oldest: Gauge,
}

/// Blocks read per shard and round, of the open ones and of the trailing audit each.
const BLOCKS_MAX: u64 = 16;

impl Actor for SweepActor {
    type Msg = SweepMessage;
    type State = SweepState;
    type Arguments = SweepArguments;

    async fn pre_start(
        &self,
        myself: ActorRef<SweepMessage>,
        arguments: SweepArguments,
    ) -> Result<SweepState, ActorProcessingErr> {
        arrange(&myself, &arguments);
        Ok(SweepState { arguments, audited: HashMap::new(), found: FOUND.with([]), oldest: OLDEST.with([]) })
    }

    async fn handle(
        &self,
        myself: ActorRef<SweepMessage>,
        _: SweepMessage,
        state: &mut SweepState,
    ) -> Result<(), ActorProcessingErr> {
        let mut oldest = Duration::ZERO;
        for shard in state.arguments.ownership.shards() {
            match state.sweep(&shard).await {
                Ok(age) => oldest = oldest.max(age),
                Err(error) => tracing::warn!(%error, shard = %shard.id(), "cannot sweep: trying again next time"),
            }
        }
        state.oldest.set(oldest.as_secs_f64());
        arrange(&myself, &state.arguments);
        Ok(())
    }
}

fn arrange(myself: &ActorRef<SweepMessage>, arguments: &SweepArguments) {
    let sleep = arguments.clock.sleep(arguments.interval);
    let myself = myself.clone();
    tokio::spawn(async move {
        sleep.await;
        let _ = myself.cast(SweepMessage::Sweep);
    });
}

impl SweepState {
    /// Reads the first open blocks, and some below the cursor; returns the age of the oldest open task seen.
    async fn sweep(&mut self, shard: &Shard) -> Result<Duration, StoreError> {
        let cursor = shard.cursors().task_block;
        let end = shard.planned() / BLOCK_OFFSETS;
        let mut oldest = Duration::ZERO;
        for block in cursor..=end.min(cursor + BLOCKS_MAX) {
            oldest = oldest.max(self.sweep_block(shard, block).await?);
        }
        let audited = self.audited.entry(shard.id()).or_insert(cursor);
        let from = *audited;
        *audited = (from + BLOCKS_MAX).min(cursor);
        for block in from..cursor.min(from + BLOCKS_MAX) {
            self.sweep_block(shard, block).await?;
        }
        Ok(oldest)
    }

    async fn sweep_block(&self, shard: &Shard, block: u64) -> Result<Duration, StoreError> {
        // Read before the rows: what is planned later is not looked at.
        let planned = shard.planned();
        let fired_below = shard.timer_floor();
        let now = self.arguments.clock.now();
        let stories = self.arguments.store.block(shard.id(), block).await?;
        let mut oldest = Duration::ZERO;
        let mut ready = Vec::new();
        for story in stories.iter().filter(|story| story.plan.position.offset < planned) {
            for (ordinal, state) in story.states().into_iter().enumerate() {
                let Some((attempt, bucket)) = lost(state, fired_below) else { continue };
                oldest = oldest.max(now.since(story.plan.accepted_at));
                let task = story.plan.task_id(ordinal);
                if shard.is_tracked(task) || shard.track([task].into_iter(), bucket) != [true] {
                    continue;
                }
                let Some(spec) = story.plan.tasks().get(ordinal) else { continue };
                let room = &self.arguments.dispatch.room;
                ready.push(Ready::bare(task, attempt, spec.channel, spec.endpoint, now, room));
            }
        }
        if !ready.is_empty() {
            self.found.increment(ready.len() as u64);
            tracing::error!(count = ready.len(), shard = %shard.id(), block, "found tasks that nobody was working on");
        }
        self.arguments.dispatch.hand_over(ready);
        Ok(oldest)
    }
}

/// The attempt of a task in this state that somebody should have in hand, with the bucket of its timer. A timer that is
/// still to fire is not lost, however late it is: the backlog may be full.
fn lost(state: TaskState, fired_below: u64) -> Option<(u8, Option<u64>)> {
    match state {
        TaskState::Pending { attempt } => Some((attempt, None)),
        TaskState::Scheduled { attempt, due } => {
            let bucket = timer_bucket(due);
            (bucket < fired_below).then_some((attempt, Some(bucket)))
        }
        _ => None,
    }
}
