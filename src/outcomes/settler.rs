//! The settler: writes answers in batches, and only then lets the tasks go on.
//!
//! One for critical traffic and one for the rest, each started and watched by the outcomes' supervisor. Answers stand in a
//! queue outside the actor until they are durable, so a crash of the actor loses none: the next incarnation goes on.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use futures_util::future::join_all;
use ractor::{Actor, ActorProcessingErr, ActorRef};
use tokio::sync::{Semaphore, watch};

use super::answer::{Answer, AnswerKind};
use super::dead_addresses::DeadAddresses;
use super::deliveries::Deliveries;
use super::metrics::SettleMetrics;
use super::retry::RetryPolicy;
use super::settle::settle;
use crate::brakes::Brakes;
use crate::clock::SharedClock;
use crate::dispatch::{DispatchHandle, Ready, Room};
use crate::domain::{Categories, Channel, Event, EventKind, Plan, ShardId, SkipReason, TaskId, Timestamp};
use crate::ownership::{Ownership, Shard, WRITE_WAIT_MAX};
use crate::store::{SharedStore, TimerRow, WriteBatch};
use crate::telemetry::Mailboxes;
use crate::timers::TimersHandle;

/// Answers that may wait to be written; senders wait beyond. At 20,000 sends a second that is half a second of them.
const WAITING_MAX: usize = 10_000;
/// Answers written together.
const BATCH_MAX: usize = 2_048;

/// The door to a settler.
#[derive(Clone)]
pub struct SettlerHandle(Arc<Queue>);

struct Queue {
    waiting: Mutex<VecDeque<Answer>>,
    /// Those being written now; whoever finds some here after a crash writes them again, which changes nothing.
    writing: Mutex<Option<Arc<Vec<Answer>>>>,
    room: Semaphore,
    submitted: AtomicU64,
    settled: watch::Sender<u64>,
    /// Whether the last write failed.
    failing: watch::Sender<bool>,
    /// Whether the actor has been told and has not looked yet.
    told: AtomicBool,
    actor: ArcSwapOption<ActorRef<Settle>>,
    depth: Mailboxes,
}

/// There are answers.
pub struct Settle;

impl SettlerHandle {
    #[expect(clippy::new_without_default, reason = "a queue is a thing of its own, not a default value")]
    pub fn new() -> Self {
        Self(Arc::new(Queue {
            waiting: Mutex::default(),
            writing: Mutex::default(),
            room: Semaphore::new(WAITING_MAX),
            submitted: AtomicU64::new(0),
            settled: watch::channel(0).0,
            failing: watch::channel(false).0,
            told: AtomicBool::new(false),
            actor: ArcSwapOption::empty(),
            depth: Mailboxes::of("settler"),
        }))
    }

    /// Hands answers over if nothing is to be waited for, and gives them back otherwise.
    pub fn try_submit(&self, answers: Vec<Answer>) -> Result<(), Vec<Answer>> {
        let count = answers.len().min(WAITING_MAX) as u32;
        if *self.0.failing.borrow() {
            return Err(answers);
        }
        match self.0.room.try_acquire_many(count) {
            Ok(permits) => permits.forget(),
            Err(_) => return Err(answers),
        }
        self.0.take(answers, count);
        Ok(())
    }

    /// Hands answers over; waits while too many are not written yet, and while none can be written: what is sent then and not
    /// settled before a crash is sent again.
    pub async fn submit(&self, answers: Vec<Answer>) {
        let count = answers.len().min(WAITING_MAX) as u32;
        // The semaphore is never closed.
        if let Ok(permits) = self.0.room.acquire_many(count).await {
            permits.forget();
        }
        self.0.take(answers, count);
        if *self.0.failing.borrow() {
            // The sender lives as long as this handle.
            let _ = self.0.failing.subscribe().wait_for(|failing| !failing).await;
        }
    }

    /// Waits until everything submitted before is durable.
    pub async fn flush(&self) {
        let target = self.0.submitted.load(Ordering::Acquire);
        // The sender lives as long as this handle.
        let _ = self.0.settled.subscribe().wait_for(|settled| *settled >= target).await;
    }
}

impl Queue {
    fn take(&self, answers: Vec<Answer>, count: u32) {
        self.depth.queued(answers.len());
        self.waiting().extend(answers);
        self.submitted.fetch_add(u64::from(count), Ordering::AcqRel);
        self.tell();
    }

    fn waiting(&self) -> MutexGuard<'_, VecDeque<Answer>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The next answers to write, in order.
    fn next_batch(&self) -> Arc<Vec<Answer>> {
        let mut writing = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        writing
            .get_or_insert_with(|| {
                let mut waiting = self.waiting();
                let count = waiting.len().min(BATCH_MAX);
                Arc::new(waiting.drain(..count).collect())
            })
            .clone()
    }

    fn written(&self, count: usize) {
        *self.writing.lock().unwrap_or_else(PoisonError::into_inner) = None;
        self.room.add_permits(count);
        self.depth.done(count);
        self.settled.send_modify(|settled| *settled += count as u64);
    }

    fn tell(&self) {
        if !self.told.swap(true, Ordering::AcqRel)
            && let Some(actor) = self.actor.load_full()
        {
            // A closed mailbox means a restart, and the next incarnation looks by itself.
            let _ = actor.cast(Settle);
        }
    }
}

#[derive(Debug, Default)]
pub struct SettlerActor;

#[derive(Clone)]
pub struct SettlerArguments {
    pub handle: SettlerHandle,
    pub policy: Arc<RetryPolicy>,
    pub categories: Arc<Categories>,
    /// What each provider takes for a message, in millionths.
    pub costs: Arc<HashMap<Box<str>, u64>>,
    pub store: SharedStore,
    pub clock: SharedClock,
    pub ownership: Arc<Ownership>,
    pub dispatch: Arc<DispatchHandle>,
    pub timers: Arc<TimersHandle>,
    pub brakes: Arc<Brakes>,
    /// Who notes the addresses that are gone.
    pub dead_addresses: Arc<DeadAddresses>,
    /// Whom others are told through, if there are any.
    pub deliveries: Option<Arc<Deliveries>>,
}

pub struct SettlerState {
    arguments: SettlerArguments,
    metrics: SettleMetrics,
}

impl Actor for SettlerActor {
    type Msg = Settle;
    type State = SettlerState;
    type Arguments = SettlerArguments;

    async fn pre_start(
        &self,
        myself: ActorRef<Settle>,
        arguments: SettlerArguments,
    ) -> Result<SettlerState, ActorProcessingErr> {
        arguments.handle.0.actor.store(Some(Arc::new(myself.clone())));
        myself.cast(Settle)?;
        Ok(SettlerState { arguments, metrics: SettleMetrics::default() })
    }

    async fn handle(
        &self,
        myself: ActorRef<Settle>,
        _: Settle,
        state: &mut SettlerState,
    ) -> Result<(), ActorProcessingErr> {
        let queue = state.arguments.handle.0.clone();
        queue.told.store(false, Ordering::Release);
        let answers = queue.next_batch();
        state.settle_all(&answers).await;
        queue.failing.send_if_modified(std::mem::take);
        queue.written(answers.len());
        if !queue.waiting().is_empty() && !queue.told.swap(true, Ordering::AcqRel) {
            myself.cast(Settle)?;
        }
        Ok(())
    }
}

/// A task of a fallback whose turn it is.
struct Turn {
    plan: Arc<Plan>,
    row: TimerRow,
    /// The channel before it was skipped or recalled: what was planned of this one may be as old, and is to be looked at again.
    is_doubtful: bool,
}

impl Turn {
    /// Its handle. One without content is looked at again when that is read.
    fn ready(&self, now: Timestamp, room: &Room) -> Option<Ready> {
        let ordinal = usize::from(self.row.key.ordinal);
        if !self.is_doubtful {
            return Ready::planned(&self.plan, ordinal, now, room);
        }
        Some(Ready::bare(self.plan.task_id(ordinal), 1, self.row.channel, self.row.endpoint, now, room))
    }
}

/// What one shard gets of a round.
#[derive(Default)]
struct Group {
    batch: WriteBatch,
    timers: Vec<TimerRow>,
    /// The tasks of fallbacks whose turn it is.
    next: Vec<Turn>,
    settled: Vec<TaskId>,
    /// If a brake holds some of the tasks: the lowest of the numbers that the brakes had when that was decided.
    held: Option<u64>,
    /// The plan of each of the events, where others are told of them.
    told_of: Vec<Arc<Plan>>,
}

impl SettlerState {
    async fn settle_all(&mut self, answers: &[Answer]) {
        // In the order of the shards, so that a run can be repeated.
        let mut groups: BTreeMap<ShardId, Group> = BTreeMap::new();
        for answer in answers {
            self.arguments.dead_addresses.learn(answer);
            let group = groups.entry(answer.task.position.shard).or_default();
            let mut settlement =
                settle(answer, &self.arguments.policy, &self.arguments.categories, &mut group.batch.books);
            for sent in settlement.events.iter_mut().filter(|event| event.kind == EventKind::Sent) {
                sent.cost = self.arguments.costs.get(&*answer.provider).copied().unwrap_or(0);
            }
            if self.arguments.deliveries.is_some() {
                group.told_of.extend(settlement.events.iter().map(|_| answer.plan.clone()));
            }
            if let AnswerKind::Held { seen, .. } = answer.kind {
                group.held = Some(group.held.map_or(seen, |held| held.min(seen)));
            }
            group.batch.events.extend(settlement.events);
            group.batch.timers.extend(settlement.timer);
            match settlement.timer {
                Some(row) if row.key.is_turn() => {
                    let is_doubtful = matches!(answer.kind, AnswerKind::Skipped(_) | AnswerKind::Recalled { .. });
                    group.next.push(Turn { plan: answer.plan.clone(), row, is_doubtful });
                }
                row => group.timers.extend(row),
            }
            let spec = answer.plan.tasks().get(usize::from(answer.task.ordinal));
            let channel = spec.map_or(Channel::Email, |spec| spec.channel);
            if settlement.dead_letter.is_some() {
                self.metrics.count_dead_letter(channel);
            }
            group.batch.dead_letters.extend(settlement.dead_letter);
            group.settled.push(answer.task);
            self.metrics.count_without_turn(&settlement.without_turn);
            if let Some(outcome) = settlement.counted {
                self.metrics.count(channel, &answer.provider, outcome);
            }
        }
        join_all(groups.into_iter().map(|(shard, group)| self.write(shard, group))).await;
    }

    /// Writes a group, again and again until it is durable, and then lets its tasks go on. Of a shard that is another node's by now,
    /// or was meanwhile, only what was sent is written: it stays true, and what becomes of the rest is decided by who took
    /// it over, from the rows.
    async fn write(&self, shard: ShardId, group: Group) {
        let Group { mut batch, mut timers, mut next, settled, held, mut told_of } = group;
        let owned = self.arguments.ownership.shard(shard);
        let _expected = owned.as_ref().and_then(|owned| owned.expect_timers(&mut batch.timers));
        let mut pause = Duration::from_millis(100);
        loop {
            if !self.until_ours(shard, owned.as_ref(), &batch).await {
                // The next owner tells of what it reads, which was perhaps before this is written.
                let kept = told_of.iter().zip(&batch.events).filter(|(_, event)| is_true_for_all(event, &batch.events));
                told_of = kept.map(|(plan, _)| plan.clone()).collect();
                batch = sent_alone(&batch);
                timers.clear();
                next.clear();
            }
            let Err(error) = self.arguments.store.write(shard, batch.clone()).await else { break };
            tracing::error!(%error, %shard, "cannot write outcomes: senders wait until it works again");
            self.arguments.handle.0.failing.send_replace(true);
            self.arguments.clock.sleep(pause).await;
            pause = (pause * 2).min(Duration::from_secs(5));
        }
        if let Some(deliveries) = &self.arguments.deliveries {
            deliveries.tell(shard, told_of.iter().map(|plan| &**plan).zip(&batch.events));
        }
        let Some(owned) = &owned else { return };
        // The next channel is tracked before the one before is let go, so that no cursor passes between the two.
        let turns: Vec<TimerRow> = next.iter().map(|turn| turn.row).collect();
        let new = owned.fire(&turns);
        owned.release_all(settled.into_iter());
        if !timers.is_empty() {
            self.arguments.timers.add(shard, timers);
        }
        if let Some(seen) = held {
            self.arguments.brakes.was_held(shard, seen);
        }
        let now = self.arguments.clock.now();
        let room = &self.arguments.dispatch.room;
        let ready: Vec<Ready> =
            next.iter().zip(new).filter(|(_, new)| *new).filter_map(|(turn, _)| turn.ready(now, room)).collect();
        self.arguments.dispatch.hand_over(ready);
    }

    /// Waits until it is known whose the shard is; whether it is still this node's, as it was when its tasks were `owned`. What was
    /// sent is not kept waiting: the next owner is to read it.
    async fn until_ours(&self, shard: ShardId, owned: Option<&Arc<Shard>>, batch: &WriteBatch) -> bool {
        let SettlerArguments { ownership, clock, store, .. } = &self.arguments;
        if !ownership.standing().holds(&**clock, WRITE_WAIT_MAX) {
            let sent = sent_alone(batch);
            if !sent.is_empty()
                && let Err(error) = store.write(shard, sent).await
            {
                tracing::warn!(%error, %shard, "cannot write what was sent: it is tried again");
            }
            ownership.standing().until_holds(&**clock, WRITE_WAIT_MAX).await;
        }
        owned.is_some_and(|owned| ownership.is_still(owned))
    }
}

/// Whether an event of a batch is true whoever owns its shard: that something was sent, and that the later channels of a fallback
/// are not used because of it, or not before its confirmation is waited for. The next owner would send on those if it knew the
/// one without the other.
fn is_true_for_all(event: &Event, batch: &[Event]) -> bool {
    match event.kind {
        EventKind::Sent => true,
        EventKind::Skipped => event.reason.as_deref() == Some(SkipReason::DeliveredElsewhere.name()),
        EventKind::Scheduled if event.attempt == 1 => {
            let is_before = |other: &Event| {
                other.kind == EventKind::Sent
                    && other.task.position == event.task.position
                    && other.task.ordinal + 1 == event.task.ordinal
            };
            batch.iter().any(is_before)
        }
        _ => false,
    }
}

/// What of a batch is true whoever owns its shard.
fn sent_alone(batch: &WriteBatch) -> WriteBatch {
    let sent = batch.events.iter().filter(|event| is_true_for_all(event, &batch.events));
    let events: Vec<Event> = sent.cloned().collect();
    // Those of the channels that wait for a confirmation.
    let mut timers = batch.timers.clone();
    timers.retain(|row| {
        let is_its = |event: &Event| {
            event.kind == EventKind::Scheduled
                && (event.task.position.offset, event.task.ordinal) == (row.key.offset, row.key.ordinal)
        };
        events.iter().any(is_its)
    });
    WriteBatch { events, timers, ..WriteBatch::default() }
}
