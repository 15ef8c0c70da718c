//! Looks for tasks that a brake held and that are free, or were recalled: after each change of the brakes, and once for every shard
//! that is taken over.
//!
//! One for each lane, started and watched by the supervisor of the timers: what waits for room in a lane's backlog keeps no other
//! lane's tasks. It keeps only which shards it looked through; a restart looks through all of them again.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use ractor::{Actor, ActorProcessingErr, ActorRef};
use tokio::sync::watch;

use crate::brakes::Brakes;
use crate::clock::SharedClock;
use crate::dispatch::{DispatchHandle, Ready};
use crate::domain::{BrakeSet, BrakeVerdict, Position, Priority, Routing, ShardId, Story, TaskId, TaskState};
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
    pub lane: Priority,
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
    /// The shards that were looked through.
    done: HashMap<ShardId, Done>,
    freed: Counter,
}

/// A shard that was looked through.
struct Done {
    shard: Arc<Shard>,
    /// That of the brakes then.
    number: u64,
    left: Left,
}

/// What was met before its plan was there: timers are written before plans. It is judged once the plan is there.
#[derive(Debug, Default)]
struct Left {
    rows: Vec<TimerRow>,
    /// If there was more than is remembered: the shard is looked through once more when it is planned up to here.
    whole_from: Option<u64>,
}

/// How often it is looked whether shards were taken over.
const INTERVAL: Duration = Duration::from_secs(1);
/// Rows read at a time.
const PAGE: usize = 1024;
/// Rows of one shard that are remembered until their plans are there: those of a batch, and of what a crash left.
const LEFT_MAX: usize = 16 * 1024;
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
        self.done.retain(|id, done| shards.iter().any(|shard| shard.id() == *id && Arc::ptr_eq(shard, &done.shard)));
        for shard in shards.into_iter().filter(|shard| shard.id().lane == self.arguments.lane) {
            let brakes = self.arguments.brakes.set();
            let is_asked_for = self.arguments.brakes.take_look_at(shard.id());
            // Where none was ever put on nothing was ever held.
            if brakes.brakes().is_empty() {
                continue;
            }
            let done = self.done.remove(&shard.id()).filter(|done| done.number == brakes.number() && !is_asked_for);
            let looked = match done {
                Some(done) => self.look_at_left(&shard, &brakes, done.left).await,
                None => self.look_through(&shard, &brakes).await,
            };
            match looked {
                Ok(Some(left)) => {
                    drop(self.done.insert(shard.id(), Done { shard, number: brakes.number(), left }));
                }
                Ok(None) => {}
                Err(error) => {
                    tracing::error!(%error, shard = %shard.id(), "cannot look for held tasks: trying again in a second");
                }
            }
        }
    }

    /// Hands on what is free and what was recalled; returns what could not be judged yet. `None`: the shard is being let go.
    async fn look_through(&self, shard: &Shard, brakes: &BrakeSet) -> Result<Option<Left>, StoreError> {
        let now = self.arguments.clock.now();
        // What an older recall names and nobody found is cancelled when its time comes.
        let is_any_recalled = brakes.is_any_recalled_since(now - RECALL_LOOK);
        let mut after = TimerKey { due: now, ..TimerKey::default() };
        let mut left = Left::default();
        loop {
            let rows = self.arguments.store.timers(shard.id(), after, now + AHEAD, PAGE).await?;
            let Some(last) = rows.last().map(|row| row.key) else { return Ok(Some(left)) };
            let has_more = rows.len() == PAGE;
            let asked = rows.into_iter().filter(|row| row.key.is_held() || is_any_recalled).collect();
            let asked = left.take_out(asked, shard.planned());
            if !asked.is_empty() && !self.free(shard, brakes, asked).await? {
                return Ok(None);
            }
            if !has_more {
                return Ok(Some(left));
            }
            after = last;
        }
    }

    /// As [`Self::look_through`], of what was left then.
    async fn look_at_left(&self, shard: &Shard, brakes: &BrakeSet, left: Left) -> Result<Option<Left>, StoreError> {
        let planned = shard.planned();
        if left.whole_from.is_some_and(|offset| offset <= planned) {
            return self.look_through(shard, brakes).await;
        }
        let mut still_left = Left { rows: Vec::new(), whole_from: left.whole_from };
        let asked = still_left.take_out(left.rows, planned);
        for rows in asked.chunks(PAGE) {
            if !self.free(shard, brakes, rows.to_vec()).await? {
                return Ok(None);
            }
        }
        Ok(Some(still_left))
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

impl Left {
    /// Keeps those whose plans are not there yet, and returns the others.
    fn take_out(&mut self, rows: Vec<TimerRow>, planned: u64) -> Vec<TimerRow> {
        let (there, early): (Vec<_>, Vec<_>) = rows.into_iter().partition(|row| row.key.offset < planned);
        for row in early {
            if self.rows.len() < LEFT_MAX {
                self.rows.push(row);
            } else {
                self.whole_from = self.whole_from.max(Some(row.key.offset + 1));
            }
        }
        there
    }
}

/// Whether a task is to have its turn now, though its timer is not due.
fn is_free(story: &Story, row: &TimerRow, brakes: &BrakeSet) -> bool {
    let ordinal = usize::from(row.key.ordinal);
    if !matches!(story.booked(ordinal), Some(TaskState::Scheduled { .. })) {
        return false;
    }
    match brakes.judge(&story.plan, row.channel, None) {
        // The next channel's turn comes at once then, and what this one waits for, the time that was asked for or a
        // confirmation, holds for that one too.
        BrakeVerdict::Recalled(by) if by.is_way() && has_next(story, ordinal) => story.is_held(ordinal),
        BrakeVerdict::Recalled(_) => true,
        BrakeVerdict::Held(_) => false,
        BrakeVerdict::Go => story.is_held(ordinal),
    }
}

/// Whether another channel has its turn when the task ends unsent.
fn has_next(story: &Story, ordinal: usize) -> bool {
    story.plan.routing == Routing::Fallback && ordinal + 1 < story.plan.tasks().len()
}

#[cfg(test)]
mod tests;
