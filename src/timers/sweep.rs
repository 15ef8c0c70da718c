//! The audit: reads blocks again and takes up what is open and in nobody's hands. It should never find anything; what it
//! finds is counted, and was lost from memory by a fault that this mends.
//!
//! It looks in three places: at the first open blocks, at those that the cursor passed lately, and, going round and round from
//! the newest block to the oldest that may hold an open task, at all of them. What was lost before a restart, or waits for
//! a time that has not come, is seen by the third alone.
//!
//! Started and watched by the root. It keeps no state that matters.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use ractor::{Actor, ActorProcessingErr, ActorRef};

use crate::clock::SharedClock;
use crate::dispatch::{DispatchHandle, Ready};
use crate::domain::{BLOCK_OFFSETS, Position, ShardId, TaskId, TaskState, Timestamp};
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
    audits: HashMap<ShardId, Audit>,
    found: Counter,
    oldest: Gauge,
}

/// Where the audit of one shard is.
#[derive(Debug, Clone, Copy)]
struct Audit {
    /// The block to read next of those that the cursor passes.
    behind: u64,
    /// The round reads the block below this next.
    round: u64,
}

/// What was seen of one block.
#[derive(Debug, Default)]
struct Seen {
    /// Of the tasks that wait for no timer and are open.
    oldest_open: Duration,
    /// When the youngest of its notifications was accepted; `None`: it holds none.
    youngest: Option<Timestamp>,
}

/// Blocks read per shard and look, of the open ones and of those that the cursor passed.
const BLOCKS_MAX: u64 = 16;
/// Blocks read per shard and look on the way round: with the default interval 11 million notifications a day and
/// shard, the newest first.
const ROUND_BLOCKS: u64 = 8;
/// Blocks read on the way round at most, if others hold nothing: what was archived, or has expired.
const ROUND_BLOCKS_MAX: u64 = 256;
/// No task is open for longer: it is delivered 365 days after it was accepted at the latest, and expires some days later.
const TASK_LIFE_MAX: Duration = Duration::from_secs(400 * 86_400);

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
        Ok(SweepState { arguments, audits: HashMap::new(), found: FOUND.with([]), oldest: OLDEST.with([]) })
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
    /// Reads some blocks in each place; returns the age of the oldest open task seen among the first open blocks.
    async fn sweep(&mut self, shard: &Shard) -> Result<Duration, StoreError> {
        let cursor = shard.cursors().task_block;
        let end = shard.planned() / BLOCK_OFFSETS + 1;
        let mut oldest = Duration::ZERO;
        for block in cursor..end.min(cursor + BLOCKS_MAX) {
            oldest = oldest.max(self.sweep_block(shard, block).await?.oldest_open);
        }
        let start = Audit { behind: cursor, round: cursor };
        let mut audit = self.audits.get(&shard.id()).copied().unwrap_or(start);
        for block in audit.behind..cursor.min(audit.behind + BLOCKS_MAX) {
            self.sweep_block(shard, block).await?;
            audit.behind = block + 1;
        }
        audit.round = self.go_round(shard, audit.round, end).await?;
        self.audits.insert(shard.id(), audit);
        Ok(oldest)
    }

    /// Reads the blocks below `from`, down to the oldest that may hold an open task, and then goes on from `end`. Returns
    /// where to go on the next time.
    async fn go_round(&self, shard: &Shard, from: u64, end: u64) -> Result<u64, StoreError> {
        let now = self.arguments.clock.now();
        let mut held = 0;
        for block in (from.saturating_sub(ROUND_BLOCKS_MAX)..from).rev() {
            let youngest = self.sweep_block(shard, block).await?.youngest;
            if youngest.is_some_and(|accepted_at| now.since(accepted_at) > TASK_LIFE_MAX) {
                return Ok(end);
            }
            held += u64::from(youngest.is_some());
            if held == ROUND_BLOCKS {
                return Ok(if block > 0 { block } else { end });
            }
        }
        Ok(if from > ROUND_BLOCKS_MAX { from - ROUND_BLOCKS_MAX } else { end })
    }

    async fn sweep_block(&self, shard: &Shard, block: u64) -> Result<Seen, StoreError> {
        // Read before the rows: what is planned later is not looked at.
        let planned = shard.planned();
        let fired_below = shard.timer_floor();
        let now = self.arguments.clock.now();
        let stories = self.arguments.store.bare_block(shard.id(), block).await?;
        let mut seen = Seen::default();
        let mut suspects = Vec::new();
        for story in stories.iter().filter(|story| story.plan.position.offset < planned) {
            seen.youngest = seen.youngest.max(Some(story.plan.accepted_at));
            for (ordinal, state) in story.booked_states().into_iter().enumerate() {
                if lost(state, fired_below).is_none() {
                    continue;
                }
                seen.oldest_open = seen.oldest_open.max(now.since(story.plan.accepted_at));
                let task = story.plan.task_id(ordinal);
                if !shard.is_tracked(task) {
                    suspects.push((task, state));
                }
            }
        }
        self.take_up(shard, fired_below, &suspects).await?;
        Ok(seen)
    }

    /// Takes up those of the tasks that are lost indeed. Their rows are read again: a task that was settled between the first
    /// reading and the look at who has it in hand is not lost, but has moved on.
    async fn take_up(
        &self,
        shard: &Shard,
        fired_below: u64,
        suspects: &[(TaskId, TaskState)],
    ) -> Result<(), StoreError> {
        if suspects.is_empty() {
            return Ok(());
        }
        let positions: Vec<Position> = suspects.iter().map(|(task, _)| task.position).collect();
        let stories = self.arguments.store.bare_stories(&positions).await?;
        let now = self.arguments.clock.now();
        let room = &self.arguments.dispatch.room;
        let mut ready = Vec::new();
        for ((task, before), story) in suspects.iter().zip(stories) {
            let ordinal = usize::from(task.ordinal);
            let Some(story) = story.filter(|story| story.booked(ordinal) == Some(*before)) else { continue };
            let Some((attempt, bucket)) = lost(*before, fired_below) else { continue };
            let Some(spec) = story.plan.tasks().get(ordinal) else { continue };
            if shard.track([*task].into_iter(), bucket) == [true] {
                ready.push(Ready::bare(*task, attempt, spec.channel, spec.endpoint, now, room));
            }
        }
        if !ready.is_empty() {
            self.found.increment(ready.len() as u64);
            tracing::error!(count = ready.len(), shard = %shard.id(), "found tasks that nobody was working on");
        }
        self.arguments.dispatch.hand_over(ready);
        Ok(())
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
