//! The partition actor: owns one partition of the log, and moves its records into the store.
//!
//! Started and watched by the partitions' supervisor, when the log assigns the partition. What it has in memory may be lost:
//! the [`Shard`] registry says up to where plans were handed on, and what lies above is found in the store or in the log.
//!
//! The order of writes is the guarantee: plans are durable before anything is handed on, and handed on before the offset is
//! committed.

mod replayed;

use std::collections::HashSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::select;
use ractor::{Actor, ActorProcessingErr, ActorRef};
use tokio::sync::Mutex;
use tokio_util::sync::CancellationToken;

use self::replayed::leave_to_who_cancels;
use super::AcceptedKeys;
use super::batch::{self, Decoded};
use super::foreign::Reading;
use super::merged::{self, Doubtful};
use super::metrics::PartitionMetrics;
use super::rejects;
use super::seals::Seals;
use crate::brakes::Brakes;
use crate::clock::SharedClock;
use crate::coordination::SharedCoordination;
use crate::dispatch::{DispatchHandle, Ready};
use crate::domain::{BLOCK_OFFSETS, Plan, Position, Routing, TaskId, Timestamp};
use crate::log::{LogError, PartitionReader, ReadLimit, Record, SharedLog};
use crate::outcomes::Deliveries;
use crate::ownership::{Ownership, Shard, WRITE_WAIT_MAX};
use crate::planning::{self, Budgets, Experiments, People, Policy, ShardGroups, Shelves, Sources};
use crate::store::{SharedStore, StoreError, TimerRow, WriteBatch};
use crate::timers::TimersHandle;

/// How long a batch waits for memory before its tasks go on without their contents: where a provider takes nothing, the
/// others' tasks behind it must still come.
const MEMORY_WAIT: Duration = Duration::from_secs(2);

/// The pause after the log or the store failed; it doubles up to the other.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const PAUSE_MAX: Duration = Duration::from_secs(5);

#[derive(Debug, Default)]
pub struct PartitionActor;

#[derive(Clone)]
pub struct PartitionArguments {
    /// Shared with the incarnations that may follow.
    pub reader: Arc<Mutex<Box<dyn PartitionReader>>>,
    pub shard: Arc<Shard>,
    pub ownership: Arc<Ownership>,
    pub limit: ReadLimit,
    /// How records of other programs are judged.
    pub reading: Arc<Reading>,
    /// How our own are opened.
    pub seals: Seals,
    pub log: SharedLog,
    pub policy: Arc<Policy>,
    pub people: Arc<People>,
    pub experiments: Arc<dyn Experiments>,
    pub brakes: Arc<Brakes>,
    pub budgets: Arc<Budgets>,
    pub clock: SharedClock,
    pub store: SharedStore,
    pub coordination: SharedCoordination,
    pub dispatch: Arc<DispatchHandle>,
    pub timers: Arc<TimersHandle>,
    pub accepted_keys: Arc<AcceptedKeys>,
    /// Whom others are told through, if there are any.
    pub deliveries: Option<Arc<Deliveries>>,
    /// Told when the node stops or lets the partition go: the batch in hand is finished, and no other begun.
    pub stop: CancellationToken,
}

#[derive(Debug)]
pub enum PartitionMessage {
    /// Learn how far the log goes.
    Begin,
    /// Take up what was planned before, block by block.
    TakeUp { block: u64 },
    /// Read and plan the next batch.
    Next,
}

pub struct PartitionState {
    arguments: PartitionArguments,
    metrics: PartitionMetrics,
    /// What was planned below this was committed, and is found in the store alone.
    committed: u64,
    /// Records below this were in the log when this incarnation began: any of them may have been planned before, here or
    /// on another node, or cancelled.
    replayed_below: u64,
    doubtful: Doubtful,
    /// Before a log or a store that failed is asked again.
    pause: Duration,
}

/// What a batch that was written leaves to do once it counts as planned.
struct Written {
    /// The offsets that were planned as cancelled.
    cancelled: HashSet<u64>,
    /// If something of it waits for a time: the number of the brakes that it was judged by.
    held: Option<u64>,
}

/// The plans of a batch were not written.
#[derive(Debug, thiserror::Error)]
#[error("another node took the partition over before its plans were written")]
struct NotOurs;

impl Actor for PartitionActor {
    type Msg = PartitionMessage;
    type State = PartitionState;
    type Arguments = PartitionArguments;

    async fn pre_start(
        &self,
        myself: ActorRef<PartitionMessage>,
        arguments: PartitionArguments,
    ) -> Result<PartitionState, ActorProcessingErr> {
        let id = arguments.shard.id();
        let topic = match id.is_spill() {
            true => format!("spill.{}", id.lane),
            false => arguments.log.topic(id.lane),
        };
        let committed = arguments.reader.lock().await.committed();
        myself.cast(PartitionMessage::Begin)?;
        Ok(PartitionState {
            metrics: PartitionMetrics::new(id, &topic),
            committed,
            replayed_below: u64::MAX,
            doubtful: Doubtful::from(committed),
            pause: FIRST_PAUSE,
            arguments,
        })
    }

    async fn handle(
        &self,
        myself: ActorRef<PartitionMessage>,
        message: PartitionMessage,
        state: &mut PartitionState,
    ) -> Result<(), ActorProcessingErr> {
        if state.arguments.stop.is_cancelled() {
            myself.stop(None);
            return Ok(());
        }
        match message {
            PartitionMessage::Begin => {
                let begun = state.learn_end().await;
                let block = state.arguments.shard.planned() / BLOCK_OFFSETS;
                let is_known = state.outlast(begun).await?;
                myself.cast(if is_known { PartitionMessage::TakeUp { block } } else { PartitionMessage::Begin })?;
            }
            PartitionMessage::TakeUp { block } if block * BLOCK_OFFSETS < state.committed => {
                let taken_up = state.take_up(block).await;
                let next = if state.outlast(taken_up).await? { block + 1 } else { block };
                myself.cast(PartitionMessage::TakeUp { block: next })?;
            }
            PartitionMessage::TakeUp { .. } => myself.cast(PartitionMessage::Next)?,
            PartitionMessage::Next => {
                let done = state.next_batch().await;
                state.outlast(done).await?;
                myself.cast(PartitionMessage::Next)?;
            }
        }
        Ok(())
    }
}

impl PartitionState {
    /// Waits where a store or a log that nodes share failed: the log keeps what comes, and an outage is no reason to restart, of
    /// which all partitions together have a few. So it is where the partition is another's already: whoever looks after the
    /// shard is about to stop this. Returns whether it was done; other failures are passed on.
    async fn outlast(&mut self, outcome: Result<(), ActorProcessingErr>) -> Result<bool, ActorProcessingErr> {
        let Err(error) = outcome else {
            self.pause = FIRST_PAUSE;
            return Ok(true);
        };
        if !self.arguments.log.is_shared() {
            return Err(error);
        }
        let shard = self.arguments.shard.id();
        match (error.downcast_ref::<StoreError>(), error.downcast_ref::<LogError>(), error.downcast_ref::<NotOurs>()) {
            (Some(StoreError::Failed(reason)), ..) => {
                tracing::error!(reason, %shard, "cannot read the store: the partition waits");
            }
            (_, Some(error @ (LogError::Failed(_) | LogError::Busy)), _) => {
                tracing::error!(%error, %shard, "cannot read the log: the partition waits");
            }
            (_, Some(LogError::Lost(_)), _) | (.., Some(NotOurs)) => {
                tracing::info!(%shard, "another node has the partition: it waits to be let go");
            }
            _ => return Err(error),
        }
        tokio::select! {
            () = self.arguments.clock.sleep(self.pause) => {}
            () = self.arguments.stop.cancelled() => {}
        }
        self.pause = (self.pause * 2).min(PAUSE_MAX);
        Ok(false)
    }

    /// What was in the log by now may have been planned before.
    async fn learn_end(&mut self) -> Result<(), ActorProcessingErr> {
        self.replayed_below = self.arguments.reader.lock().await.latest_end().await?;
        Ok(())
    }

    /// Waits for room in the backlog, unless the node stops meanwhile; and a moment for memory, so that contents need not be
    /// read again while the providers keep up.
    async fn room(&self) -> bool {
        let lane = self.arguments.shard.id().lane;
        let room = &self.arguments.dispatch.room;
        let both = async {
            room.backlog.room(lane).await;
            let memory = std::pin::pin!(room.payloads.room(lane));
            select(memory, self.arguments.clock.sleep(MEMORY_WAIT)).await;
        };
        tokio::select! {
            () = both => true,
            () = self.arguments.stop.cancelled() => false,
        }
    }

    /// Hands on what a block holds that is open and not waiting for a timer.
    async fn take_up(&mut self, block: u64) -> Result<(), ActorProcessingErr> {
        if !self.room().await {
            return Ok(());
        }
        let arguments = &self.arguments;
        let shard = &arguments.shard;
        let from = shard.planned();
        let end = ((block + 1) * BLOCK_OFFSETS).min(self.committed);
        let mut stories = arguments.store.block(shard.id(), block).await?;
        stories.retain(|story| (from..end).contains(&story.plan.position.offset));
        self.adopt(&stories);
        shard.set_planned(end);
        // What was planned as cancelled, or could not be planned; where there are tasks, who cancels them ends the mark.
        let mut marks = shard.cancelled_between(from, end);
        leave_to_who_cancels(&mut marks, &stories);
        for offset in marks {
            shard.end_cancel(offset);
        }
        Ok(())
    }

    /// Reads a batch, plans it, writes it, hands it on and commits it, in this order.
    async fn next_batch(&mut self) -> Result<(), ActorProcessingErr> {
        // A batch that was begun and could not be written is owed: who closes a group waits for it, and the backlog may be full of
        // them.
        if !self.arguments.shard.owes_batch() && !self.room().await {
            return Ok(());
        }
        let Some(records) = self.read().await? else { return Ok(()) };
        let Some(last) = records.last() else { return Ok(()) };
        let next = last.position.offset + 1;
        let Some(Written { cancelled, held }) = self.plan_and_write(records).await? else { return Ok(()) };
        self.arguments.shard.set_planned(next);
        if let Some(seen) = held {
            // Whoever looks for what is free passes over what is not planned.
            self.arguments.brakes.was_held(self.arguments.shard.id(), seen);
        }
        for offset in cancelled {
            self.arguments.shard.end_cancel(offset);
        }
        let reader = self.arguments.reader.lock().await;
        self.metrics.observe_lag(reader.end().saturating_sub(next));
        if let Err(error) = reader.commit(next).await {
            // The records are taken care of; a commit that is lost means that they are looked at again after a crash.
            tracing::warn!(%error, shard = %self.arguments.shard.id(), "cannot commit");
        }
        Ok(())
    }

    async fn read(&self) -> Result<Option<Vec<Record>>, ActorProcessingErr> {
        let mut reader = self.arguments.reader.lock().await;
        let from = self.arguments.shard.planned().max(reader.committed());
        tokio::select! {
            records = reader.read(from, self.arguments.limit) => Ok(Some(records?)),
            () = self.arguments.stop.cancelled() => Ok(None),
        }
    }

    /// A cancellation that comes from now on finds the tasks instead. `None`: the node stops, and nothing was written.
    async fn plan_and_write(&mut self, mut records: Vec<Record>) -> Result<Option<Written>, ActorProcessingErr> {
        let arguments = &self.arguments;
        let now = arguments.clock.now();
        let (Some(first), Some(last)) = (records.first(), records.last()) else { return Ok(None) };
        let (first, next) = (first.position.offset, last.position.offset + 1);
        let openings = arguments.seals.openings(&records).await?;
        let Decoded { mut requests, keys, mut rejected, unreadable } =
            batch::decode(&records, &arguments.reading, &openings, now);
        let planned_before = self.planned_before(first, next).await?;
        rejects::leave_known(&mut rejected, self.replayed_below, &*self.arguments.store).await?;
        let arguments = &self.arguments;
        let mut cancelled = arguments.shard.begin_planning(first, next);
        if !planned_before.is_empty() {
            leave_to_who_cancels(&mut cancelled, &planned_before);
            if !super::broken::skips_replayed() {
                self.adopt_replayed(&planned_before);
            }
            // Both are in the order of the offsets.
            let is_planned =
                |offset: u64| planned_before.binary_search_by_key(&offset, |story| story.plan.position.offset).is_ok();
            requests.retain(|(position, _)| !is_planned(position.offset));
            records.retain(|record| !is_planned(record.position.offset));
            // It could be used then.
            rejected.retain(|reject| !is_planned(reject.letter.key.task.position.offset));
        }
        let is_cancelled = |position: Position| cancelled.contains(&position.offset);
        let is_unreadable = |position: Position| unreadable.binary_search(&position.offset).is_ok();
        let brakes = arguments.brakes.set();
        // A leader among them may be in the place of what was known of its group.
        let replayed = planned_before.iter().filter_map(|story| story.plan.group.as_ref().map(|group| group.key));
        arguments.shard.forget_groups(replayed);
        self.doubtful.pass(first, next, self.replayed_below, planned_before.iter().map(|story| &story.plan));
        let store = &*arguments.store;
        let sources = Sources {
            claims: &*arguments.coordination,
            shelves: Shelves {
                rows: store,
                received: store,
                stories: store,
                groups: store,
                people: &arguments.people,
                experiments: &*arguments.experiments,
                brakes: &brakes,
            },
            budgets: &arguments.budgets,
            groups: ShardGroups {
                known: &|key| arguments.shard.group(key),
                doubtful_below: self.doubtful.below,
                doubtful: Some(&self.doubtful.leaders),
            },
            is_cancelled: &is_cancelled,
            is_unreadable: &is_unreadable,
        };
        let facts = planning::gather(&requests, &arguments.policy, &sources, now).await?;
        let planned = catch_unwind(AssertUnwindSafe(|| planning::plan_batch(requests, &facts, &arguments.policy, now)));
        let plans = planned.unwrap_or_else(|_| {
            let read = (&*arguments.reading, &openings);
            batch::plan_one_by_one(&records, &facts, read, &mut rejected, now, |one, facts| {
                planning::plan_batch(vec![one], facts, &arguments.policy, now)
            })
        });
        if !rejects::tell(&rejected, &arguments.log, &arguments.clock, &arguments.stop).await {
            arguments.coordination.release(&facts.claimed).await;
            return Ok(None);
        }
        let (mut write, mut timers) = batch::rows(&plans, &rejected, &arguments.policy);
        let merged = match merged::follow(&plans, &facts, arguments, now).await {
            Ok(merged) => merged,
            Err(error) => {
                arguments.coordination.release(&facts.claimed).await;
                return Err(error.into());
            }
        };
        merged.add_to(&mut write, &mut timers);
        let _expected = arguments.shard.expect_timers(&mut write.timers);
        self.metrics.observe(&plans, &rejected);
        self.write(write).await?;
        let arguments = &self.arguments;
        arguments.coordination.release(&facts.claimed).await;
        arguments.accepted_keys.planned(&keys);
        arguments.shard.set_groups(merged.groups.iter(), now);
        // What waits for a time of its own may have been recalled meanwhile.
        let held = (!timers.is_empty()).then(|| brakes.number());
        self.hand_on(&plans, timers, now);
        self.doubtful.add_claimed(&facts.doubtful);
        self.doubtful.add(plans.iter().map(|plan| &**plan));
        let arguments = &self.arguments;
        if let Some(deliveries) = &arguments.deliveries {
            deliveries.tell(arguments.shard.id(), merged.events.iter().map(|(plan, event)| (&**plan, event)));
        }
        Ok(Some(Written { cancelled, held }))
    }

    /// Writes, again and again until it is durable: the partition waits, and the log keeps what comes. Whoever is to let the
    /// partition go meanwhile leaves the batch to the next owner: it was not committed.
    async fn write(&self, batch: WriteBatch) -> Result<(), ActorProcessingErr> {
        if batch.is_empty() {
            return Ok(());
        }
        let arguments = &self.arguments;
        let mut pause = FIRST_PAUSE;
        loop {
            // A plan may be written by one owner only: the next one may plan the same record otherwise.
            let standing = arguments.ownership.standing().until_holds(&*arguments.clock, WRITE_WAIT_MAX);
            tokio::select! {
                () = standing => {}
                () = arguments.stop.cancelled() => return Err("it was to stop before its plans were written".into()),
            }
            if arguments.ownership.standing().is_lost(arguments.shard.id()) {
                return Err(NotOurs.into());
            }
            let Err(error) = arguments.store.write(arguments.shard.id(), batch.clone()).await else { return Ok(()) };
            tracing::error!(%error, shard = %arguments.shard.id(), "cannot write plans: the partition waits");
            tokio::select! {
                () = arguments.clock.sleep(pause) => {}
                () = arguments.stop.cancelled() => return Err("it was to stop before its plans were written".into()),
            }
            pause = (pause * 2).min(PAUSE_MAX);
        }
    }

    /// Everything is durable: what may go now goes to dispatch, what waits to the timers.
    fn hand_on(&self, plans: &[Arc<Plan>], timers: Vec<TimerRow>, now: Timestamp) {
        let arguments = &self.arguments;
        if let Some(deliveries) = &arguments.deliveries {
            deliveries.tell_plans(arguments.shard.id(), plans);
        }
        let mut ready = Vec::with_capacity(plans.len());
        for plan in plans {
            let first = if plan.routing == Routing::Fallback { 1 } else { plan.tasks().len() };
            for (ordinal, spec) in plan.tasks().iter().enumerate().take(first) {
                if spec.due.is_none() {
                    ready.extend(Ready::planned(plan, ordinal, now, &arguments.dispatch.room));
                }
            }
        }
        let tasks: Vec<TaskId> = ready.iter().map(|ready| ready.task).collect();
        let new = arguments.shard.track(tasks.into_iter(), None);
        let ready = ready.into_iter().zip(new).filter_map(|(ready, new)| new.then_some(ready)).collect();
        arguments.dispatch.hand_over(ready);
        if !timers.is_empty() {
            arguments.timers.add(arguments.shard.id(), timers);
        }
    }
}
