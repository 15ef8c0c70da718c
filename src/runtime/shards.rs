//! The shards of this node as they come and go: takes them over, and lets them go, without losing or doubling a task.
//!
//! The log says who reads a partition, a lease says who works it. A shard that is assigned is worked once its lease is ours.
//! One that is to go stops planning first, so that the log may give it to another at once; then its sends in flight end and are
//! written down, then its cursors, and last its lease is let go, for which the next owner waits.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::{OptionFuture, select};
use ractor::{Actor, ActorRef};
use tokio::runtime::Handle;
use tokio::sync::{Mutex, Semaphore, oneshot, watch};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::engine::EngineParts;
use super::supervisor::{Child, Fatal, Start, SupervisorMessage};
use crate::dispatch::{Class, DispatchHandle};
use crate::domain::{BLOCK_OFFSETS, ShardId};
use crate::intake::{PartitionActor, PartitionArguments, Reading, remember_unplanned};
use crate::log::{Membership, OwnershipChange, PartitionReader, ReadLimit};
use crate::outcomes::Deliveries;
use crate::ownership::{LeaseKeeper, Ownership, Shard, WRITE_WAIT_MAX};
use crate::store::{StoreError, WriteBatch};
use crate::timers::{TimerActor, TimerArguments, TimersHandle};

/// Shards that are taken over at once; those of the critical class do not wait for others.
const TAKE_OVERS: usize = 8;
/// The pause before a take-over that failed is tried again.
const RETRY_PAUSE: Duration = Duration::from_secs(5);

/// A reader as it outlives the actors that read by it.
type SharedReader = Arc<Mutex<Box<dyn PartitionReader>>>;

/// What the shards of this node are made of.
pub(super) struct Shards {
    pub(super) parts: EngineParts,
    pub(super) ownership: Arc<Ownership>,
    pub(super) dispatch: Arc<DispatchHandle>,
    pub(super) timers: Arc<TimersHandle>,
    pub(super) reading: Arc<Reading>,
    /// `None`: nobody else reads the log.
    pub(super) deliveries: Option<Arc<Deliveries>>,
    /// `None`: nobody else could have them.
    pub(super) keeper: Option<Arc<LeaseKeeper>>,
    pub(super) fatal: Arc<Fatal>,
    pub(super) stop: CancellationToken,
    pub(super) partitions: ActorRef<SupervisorMessage>,
    pub(super) timer_actors: ActorRef<SupervisorMessage>,
    pub(super) taking_over: Semaphore,
    /// How many shards were taken over so far.
    pub(super) taken: watch::Sender<usize>,
    /// Those that cannot be taken over, and why.
    pub(super) stuck: watch::Sender<BTreeMap<ShardId, String>>,
}

/// A shard that was assigned, until it is let go.
struct Life {
    /// Set when the log wants it back.
    revoked: CancellationToken,
    /// Told when another node took the lease.
    lost: Arc<tokio::sync::Notify>,
    ended: JoinHandle<()>,
}

impl Shards {
    pub(super) fn take_overs() -> Semaphore {
        Semaphore::new(TAKE_OVERS)
    }

    /// Follows the log's changes until the node stops; gives the membership back, which ends when it is dropped.
    pub(super) async fn follow(self: Arc<Self>, mut membership: Box<dyn Membership>) -> Box<dyn Membership> {
        let mut lives: BTreeMap<ShardId, Life> = BTreeMap::new();
        loop {
            let lost = OptionFuture::from(self.keeper.as_ref().map(|keeper| keeper.next_lost()));
            let change = tokio::select! {
                biased;
                () = self.stop.cancelled() => break,
                Some(shard) = lost => {
                    if let Some(life) = lives.get(&shard) {
                        life.lost.notify_one();
                    }
                    continue;
                }
                change = membership.next() => change,
            };
            match change {
                Some(OwnershipChange::Assigned(reader)) => {
                    let id = reader.shard();
                    let before = lives.remove(&id);
                    lives.insert(id, self.clone().begin(reader, before));
                }
                Some(OwnershipChange::Revoked(id) | OwnershipChange::Lost(id)) => {
                    if let Some(life) = lives.get(&id) {
                        life.revoked.cancel();
                    }
                }
                None => {
                    self.fatal.declare("the log was closed".into());
                    break;
                }
            }
            lives.retain(|_, life| !life.ended.is_finished());
        }
        for life in lives.into_values() {
            // It ends by the same token; what it could not finish is found again by the next owner.
            let _ = life.ended.await;
        }
        membership
    }

    fn begin(self: Arc<Self>, reader: Box<dyn PartitionReader>, before: Option<Life>) -> Life {
        let (revoked, lost) = (self.stop.child_token(), Arc::new(tokio::sync::Notify::new()));
        let fatal = self.fatal.clone();
        let (token, told) = (revoked.clone(), lost.clone());
        let ended = tokio::spawn(async move {
            if let Some(before) = before {
                before.revoked.cancel();
                let _ = before.ended.await;
            }
            let id = reader.shard();
            let living = tokio::spawn(self.live(Arc::new(Mutex::new(reader)), token, told));
            if living.await.is_err() {
                fatal.declare(format!("the task that looks after the shard {id} failed"));
            }
        });
        Life { revoked, lost, ended }
    }

    /// Takes the shard over, and lets it go when it is revoked; over and over if another node takes its lease.
    async fn live(self: Arc<Self>, reader: SharedReader, revoked: CancellationToken, lost: Arc<tokio::sync::Notify>) {
        let mut reader = Some(reader);
        while let Some(read_by) = reader.clone().filter(|_| !revoked.is_cancelled()) {
            let tenure = revoked.child_token();
            let Some(shard) = self.take_over(read_by, &tenure).await else { return };
            self.taken.send_modify(|taken| *taken += 1);
            let is_lost = loop {
                tokio::select! {
                    () = revoked.cancelled() => break false,
                    () = lost.notified() => {}
                }
                // What was told during the take-over is over: it took the lease anew.
                if self.ownership.standing().is_lost(shard.id()) {
                    break true;
                }
            };
            if self.stop.is_cancelled() {
                // The whole node ends, in the order of the data.
                return;
            }
            shard.close();
            tenure.cancel();
            self.remove(&self.partitions, shard.id()).await;
            if !is_lost {
                // From here on the log may give the partition to another node.
                reader = None;
            }
            self.let_go(&shard, is_lost).await;
        }
    }

    /// `None`: it was revoked before, or the node ends.
    async fn take_over(&self, reader: SharedReader, tenure: &CancellationToken) -> Option<Arc<Shard>> {
        let id = reader.lock().await.shard();
        let mut is_ours = false;
        loop {
            tokio::select! {
                biased;
                () = tenure.cancelled() => {
                    self.stuck.send_modify(|stuck| drop(stuck.remove(&id)));
                    self.release(id).await;
                    return None;
                }
                () = self.until_ours(id, is_ours) => is_ours = true,
            }
            match self.start_in_turn(&reader, tenure).await {
                Some(Ok(shard)) => {
                    self.stuck.send_modify(|stuck| drop(stuck.remove(&id)));
                    return Some(shard);
                }
                Some(Err(error)) if !self.parts.log.is_shared() => {
                    self.fatal.declare(format!("cannot take the shard {id} over: {error:#}"));
                    return None;
                }
                None => {
                    self.stuck.send_modify(|stuck| drop(stuck.remove(&id)));
                    continue;
                }
                Some(Err(error)) => {
                    let reason = format!("{error:#}");
                    tracing::error!(reason, shard = %id, "cannot take a shard over: trying again");
                    self.stuck.send_modify(|stuck| drop(stuck.insert(id, reason)));
                }
            }
            tokio::select! {
                () = tenure.cancelled() => {}
                () = self.parts.clock.sleep(RETRY_PAUSE) => {}
            }
        }
    }

    /// Tries once, when it is its turn: one that fails must not keep the others waiting. `None`: it was revoked before, or is
    /// another node's by now, whose books must be left alone.
    async fn start_in_turn(
        &self,
        reader: &SharedReader,
        tenure: &CancellationToken,
    ) -> Option<anyhow::Result<Arc<Shard>>> {
        let id = reader.lock().await.shard();
        let is_bulk = Class::of(id.lane) == Class::Bulk;
        let turn = OptionFuture::from(is_bulk.then(|| self.taking_over.acquire()));
        let _one_of_some = tokio::select! {
            () = tenure.cancelled() => return None,
            turn = turn => turn,
        };
        if !self.ownership.standing().holds_for(id, &*self.parts.clock, WRITE_WAIT_MAX) {
            return None;
        }
        // Reading all that is to be counted may take long; nothing is this node's before the last wait in it.
        tokio::select! {
            started = self.start(reader, tenure) => Some(started),
            () = tenure.cancelled() => None,
        }
    }

    /// Waits until the lease is ours, and for some time. `was`: it was taken before, and may have been lost since.
    async fn until_ours(&self, id: ShardId, was: bool) {
        let Some(keeper) = &self.keeper else { return };
        let standing = self.ownership.standing();
        if was {
            standing.until_holds(&*self.parts.clock, WRITE_WAIT_MAX).await;
        }
        if !was || standing.is_lost(id) {
            keeper.acquire(id).await;
        }
    }

    async fn release(&self, id: ShardId) {
        if let Some(keeper) = &self.keeper {
            keeper.release(id).await;
        }
    }

    /// Makes a partition this node's: its registry, its timers, and the actor that reads it.
    async fn start(&self, reader: &SharedReader, tenure: &CancellationToken) -> anyhow::Result<Arc<Shard>> {
        let parts = &self.parts;
        let mut reading = reader.lock().await;
        let id = reading.shard();
        reading.take_up().await?;
        let end = reading.latest_end().await?;
        parts.store.take_over(id, end).await?;
        let cursors = parts.store.cursors(id).await?;
        let done = cursors.task_block * BLOCK_OFFSETS;
        anyhow::ensure!(
            done <= end,
            "the log of {id} ends at {end}, and {done} records of it are done with: was the topic made anew? Then raise \
             `log.kafka.generation` by one on all nodes, or ids that exist would come again"
        );
        if !parts.log.is_shared() {
            remember_unplanned(&mut **reading, &parts.accepted_keys).await?;
        }
        drop(reading);
        let shard = Arc::new(Shard::new(id, cursors.task_block * BLOCK_OFFSETS, cursors));
        self.ownership.insert(shard.clone());
        let runtime = self.runtime(id);
        let child = |kind, start| Child {
            kind,
            name: id.to_string(),
            start,
            runtime: runtime.clone(),
            stop: tenure.child_token(),
        };
        let timer = TimerArguments {
            shard: shard.clone(),
            ownership: self.ownership.clone(),
            clock: parts.clock.clone(),
            store: parts.store.clone(),
            dispatch: self.dispatch.clone(),
            timers: self.timers.clone(),
        };
        let timer = child("timer", start_with::<TimerActor>(move |_| timer.clone()));
        self.timer_actors.cast(SupervisorMessage::Add(timer))?;
        let partition = PartitionArguments {
            reader: reader.clone(),
            shard: shard.clone(),
            ownership: self.ownership.clone(),
            limit: ReadLimit {
                records: parts.config.intake.batch_records,
                bytes: parts.config.intake.batch_bytes.as_usize(),
            },
            reading: self.reading.clone(),
            seals: parts.seals.clone(),
            log: parts.log.clone(),
            policy: parts.policy.clone(),
            people: parts.people.clone(),
            experiments: parts.renderer.clone(),
            brakes: parts.brakes.clone(),
            budgets: parts.budgets.clone(),
            clock: parts.clock.clone(),
            store: parts.store.clone(),
            coordination: parts.coordination.clone(),
            dispatch: self.dispatch.clone(),
            timers: self.timers.clone(),
            accepted_keys: parts.accepted_keys.clone(),
            deliveries: self.deliveries.clone(),
            stop: tenure.clone(),
        };
        let partition = child("partition", start_with::<PartitionActor>(move |_| partition.clone()));
        self.partitions.cast(SupervisorMessage::Add(partition))?;
        Ok(shard)
    }

    fn runtime(&self, id: ShardId) -> Handle {
        match Class::of(id.lane) {
            Class::Critical => self.parts.critical.clone(),
            Class::Bulk => Handle::current(),
        }
    }

    /// Ends what is in flight, writes the cursors and lets the lease go. A lease that is another's already is left alone, and so
    /// are the cursors, which are true under one owner only.
    async fn let_go(&self, shard: &Arc<Shard>, is_lost: bool) {
        let id = shard.id();
        // What is in flight ends within its provider's limit, and is written; longer than that nobody waits.
        let patience = self.parts.config.cluster.lease;
        select(std::pin::pin!(shard.until_idle()), self.parts.clock.sleep(patience)).await;
        self.remove(&self.timer_actors, id).await;
        self.timers.remove(id);
        self.ownership.remove(id);
        if is_lost {
            return;
        }
        if let Err(error) = self.write_cursors(shard).await {
            tracing::warn!(%error, shard = %id, "cannot write cursors: the next owner scans more");
        }
        self.release(id).await;
    }

    async fn write_cursors(&self, shard: &Shard) -> Result<(), StoreError> {
        if !self.ownership.standing().holds_for(shard.id(), &*self.parts.clock, WRITE_WAIT_MAX) {
            return Ok(());
        }
        let moved = shard.advance();
        // They may have moved before they could be written, for what others were to be told.
        let cursors = match self.deliveries {
            None => moved,
            Some(_) => shard.is_told(shard.barrier()).then(|| shard.cursors()),
        };
        let Some(cursors) = cursors else { return Ok(()) };
        let batch = WriteBatch { cursors: Some(cursors), ..WriteBatch::default() };
        self.parts.store.write(shard.id(), batch).await
    }

    /// Lets everything go that the node still has, when all of it has ended.
    pub(super) async fn release_all(&self) {
        for shard in self.ownership.shards() {
            if let Err(error) = self.write_cursors(&shard).await {
                tracing::warn!(%error, shard = %shard.id(), "cannot write cursors: the next start scans more");
            }
            self.release(shard.id()).await;
        }
    }

    /// Waits until the children of a shard are gone.
    async fn remove(&self, supervisor: &ActorRef<SupervisorMessage>, id: ShardId) {
        let (removed, gone) = oneshot::channel();
        if supervisor.cast(SupervisorMessage::Remove(id.to_string(), removed)).is_ok() {
            // It is dropped, not sent.
            let _ = gone.await;
        }
    }
}

/// How to start an actor of a kind, again and again, with arguments that may depend on whether it is the first time.
pub(super) fn start_with<A>(arguments: impl Fn(bool) -> A::Arguments + Send + Sync + 'static) -> Start
where
    A: Actor + Default,
{
    let arguments = Arc::new(arguments);
    Arc::new(move |supervisor, reborn| {
        let arguments = arguments(reborn);
        Box::pin(async move {
            let (actor, _) = Actor::spawn_linked(None, A::default(), arguments, supervisor).await?;
            Ok(actor.get_cell())
        })
    })
}
