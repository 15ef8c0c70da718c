//! Looks for tasks that a brake held and that are free, or were recalled: after each change of the brakes, and once for every shard
//! that is taken over.
//!
//! One for critical traffic and one for the rest, started and watched by the supervisor of the timers: what waits for room in the
//! backlog keeps no critical task. It keeps only which shards it looked through; a restart looks through all of them again.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use ractor::{Actor, ActorProcessingErr, ActorRef};
use tokio::sync::watch;

use crate::brakes::Brakes;
use crate::clock::SharedClock;
use crate::dispatch::{Class, DispatchHandle, Ready};
use crate::domain::{BrakeSet, BrakeVerdict, Position, ShardId, Story, TaskId, TaskState};
use crate::ownership::{Ownership, Shard};
use crate::store::{SharedStore, StoreError, TimerKey, TimerRow};
use crate::telemetry::{Counter, CounterMetric};

/// Growth after a brake was taken off is what it held.
const FREED: CounterMetric<0> =
    CounterMetric::new("fanfare_brakes_freed_total", "Tasks that a brake held or recalled and that went on.", []);

#[derive(Debug, Default)]
pub struct HeldActor;

#[derive(Clone)]
pub struct HeldArguments {
    pub class: Class,
    pub brakes: Arc<Brakes>,
    pub clock: SharedClock,
    pub store: SharedStore,
    pub ownership: Arc<Ownership>,
    pub dispatch: Arc<DispatchHandle>,
}

#[derive(Debug)]
pub enum HeldMessage {
    Look,
}

pub struct HeldState {
    arguments: HeldArguments,
    told: watch::Receiver<()>,
    /// The shards that were looked through, and the number of the brakes that they were looked through with.
    done: HashMap<ShardId, (Arc<Shard>, u64)>,
    freed: Counter,
}

/// How often it is looked whether shards were taken over.
const INTERVAL: Duration = Duration::from_secs(1);
/// Rows read at a time.
const PAGE: usize = 1024;
/// For so long after a recall all timers are looked at, and not only those of held tasks.
const RECALL_LOOK: Duration = Duration::from_secs(3600);
/// How far ahead timers are looked for: `deliver_at` may be 365 days ahead, and a hold ends 30 days after it at the latest.
const AHEAD: Duration = Duration::from_secs(400 * 86_400);

impl Actor for HeldActor {
    type Msg = HeldMessage;
    type State = HeldState;
    type Arguments = HeldArguments;

    async fn pre_start(
        &self,
        myself: ActorRef<HeldMessage>,
        arguments: HeldArguments,
    ) -> Result<HeldState, ActorProcessingErr> {
        let told = arguments.brakes.told();
        myself.cast(HeldMessage::Look)?;
        Ok(HeldState { arguments, told, done: HashMap::new(), freed: FREED.with([]) })
    }

    async fn handle(
        &self,
        myself: ActorRef<HeldMessage>,
        _: HeldMessage,
        state: &mut HeldState,
    ) -> Result<(), ActorProcessingErr> {
        // Before anything is looked at: what changes meanwhile is a reason to look again.
        state.told.mark_unchanged();
        state.look().await;
        let (mut told, sleep) = (state.told.clone(), state.arguments.clock.sleep(INTERVAL));
        tokio::spawn(async move {
            tokio::select! {
                // It is told for as long as the node runs.
                _ = told.changed() => {}
                () = sleep => {}
            }
            let _ = myself.cast(HeldMessage::Look);
        });
        Ok(())
    }
}

impl HeldState {
    async fn look(&mut self) {
        let shards = self.arguments.ownership.shards();
        self.done.retain(|id, (done, _)| shards.iter().any(|shard| shard.id() == *id && Arc::ptr_eq(shard, done)));
        for shard in shards.into_iter().filter(|shard| Class::of(shard.id().lane) == self.arguments.class) {
            let brakes = self.arguments.brakes.set();
            let is_asked_for = self.arguments.brakes.take_look_at(shard.id());
            let is_done = self.done.get(&shard.id()).is_some_and(|(_, number)| *number == brakes.number());
            // Where none was ever put on nothing was ever held.
            if (is_done && !is_asked_for) || brakes.brakes().is_empty() {
                continue;
            }
            match self.look_through(&shard, &brakes).await {
                Ok(true) => drop(self.done.insert(shard.id(), (shard, brakes.number()))),
                Ok(false) => drop(self.done.remove(&shard.id())),
                Err(error) => {
                    self.done.remove(&shard.id());
                    tracing::error!(%error, shard = %shard.id(), "cannot look for held tasks: trying again in a second");
                }
            }
        }
    }

    /// Hands on what is free and what was recalled. `false`: some of it could not be judged yet.
    async fn look_through(&self, shard: &Shard, brakes: &BrakeSet) -> Result<bool, StoreError> {
        let now = self.arguments.clock.now();
        // What an older recall names and nobody found is cancelled when its time comes.
        let is_any_recalled = brakes.is_any_recalled_since(now - RECALL_LOOK);
        let mut after = TimerKey { due: now, ..TimerKey::default() };
        let mut is_whole = true;
        loop {
            let rows = self.arguments.store.timers(shard.id(), after, now + AHEAD, PAGE).await?;
            let Some(last) = rows.last().map(|row| row.key) else { return Ok(is_whole) };
            let has_more = rows.len() == PAGE;
            let planned = shard.planned();
            let mut asked: Vec<TimerRow> =
                rows.into_iter().filter(|row| row.key.is_held() || is_any_recalled).collect();
            let count = asked.len();
            // Its plan may not be written yet.
            asked.retain(|row| row.key.offset < planned);
            is_whole &= asked.len() == count;
            if !asked.is_empty() && !self.free(shard, brakes, asked).await? {
                return Ok(false);
            }
            if !has_more {
                return Ok(is_whole);
            }
            after = last;
        }
    }

    /// `false`: the shard is being let go.
    async fn free(&self, shard: &Shard, brakes: &BrakeSet, rows: Vec<TimerRow>) -> Result<bool, StoreError> {
        let positions: Vec<Position> = rows.iter().map(|row| Position::new(shard.id(), row.key.offset)).collect();
        let stories = self.arguments.store.stories(&positions).await?;
        let judged = rows.into_iter().zip(stories);
        let free: Vec<TimerRow> = judged
            .filter(|(row, story)| story.as_ref().is_some_and(|story| is_free(story, row, brakes)))
            .map(|(row, _)| row)
            .collect();
        if free.is_empty() {
            return Ok(true);
        }
        let room = &self.arguments.dispatch.room;
        tokio::select! {
            () = room.backlog.room(shard.id().lane) => {}
            () = shard.until_closed() => return Ok(false),
        }
        let new = shard.fire(&free);
        let now = self.arguments.clock.now();
        let new = free.iter().zip(new).filter(|(_, new)| *new);
        let ready: Vec<Ready> = new
            .map(|(row, _)| {
                let position = Position::new(shard.id(), row.key.offset);
                let task = TaskId { position, ordinal: row.key.ordinal };
                Ready::bare(task, row.key.attempt, row.channel, row.endpoint, now, room)
            })
            .collect();
        self.freed.increment(ready.len() as u64);
        self.arguments.dispatch.hand_over(ready);
        Ok(true)
    }
}

/// Whether a task is to have its turn now, though its timer is not due.
fn is_free(story: &Story, row: &TimerRow, brakes: &BrakeSet) -> bool {
    let ordinal = usize::from(row.key.ordinal);
    if !matches!(story.state(ordinal), Some(TaskState::Scheduled { .. })) {
        return false;
    }
    match brakes.judge(&story.plan, row.channel, None) {
        BrakeVerdict::Recalled => true,
        BrakeVerdict::Held(_) => false,
        BrakeVerdict::Go => story.is_held(ordinal),
    }
}
