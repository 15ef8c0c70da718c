//! The timers of one shard: reads rows ahead from the cursor, and hands tasks to dispatch when they are due.
//!
//! Started and watched by the timers' supervisor. A crash loses only what can be read again from the cursor; a timer that
//! fired before the crash is tracked, or its task has moved on, so it does not fire again.

use std::sync::Arc;
use std::time::Duration;

use ractor::{Actor, ActorProcessingErr, ActorRef};

use super::TimersHandle;
use super::wheel::Wheel;
use crate::clock::{Moment, SharedClock};
use crate::dispatch::{DispatchHandle, Ready};
use crate::domain::{Position, TaskId, Timestamp};
use crate::ownership::{Barrier, Ownership, Shard, WRITE_WAIT_MAX};
use crate::store::{Cursors, SharedStore, StoreError, TIMER_BUCKET, TimerKey, TimerRow, WriteBatch, timer_bucket};
use crate::telemetry::InMailbox;

#[derive(Debug, Default)]
pub struct TimerActor;

#[derive(Clone)]
pub struct TimerArguments {
    pub shard: Arc<Shard>,
    pub ownership: Arc<Ownership>,
    pub clock: SharedClock,
    pub store: SharedStore,
    pub dispatch: Arc<DispatchHandle>,
    pub timers: Arc<TimersHandle>,
}

#[derive(Debug)]
pub enum TimerMessage {
    /// Rows arrived: [`Shard::take_arriving`] has them.
    Added(InMailbox),
    /// The time has come to look: for what is due, and for what to read ahead.
    Look(Moment),
    /// A notification whose timer is due already was planned.
    Planned,
}

pub struct TimerState {
    arguments: TimerArguments,
    wheel: Wheel,
    /// Due, and their notifications are not planned yet: an owner before was stopped between the two writes, or its plan is found
    /// when the record is read again. Were they fired now, nothing would be found to send, and they would be given up.
    early: Vec<TimerRow>,
    /// Whether somebody waits for their plans.
    awaits_plans: bool,
    /// The earliest look that is arranged.
    look_at: Option<Moment>,
    cursors_at: Moment,
    /// Cursors that may be written once others were told of everything from before that moment.
    pending: Option<(Cursors, Barrier)>,
    /// Rows could not be read ahead.
    is_behind: bool,
}

/// How far ahead rows are read; half of it later, more are read.
const HORIZON: Duration = Duration::from_secs(600);
/// Tasks handed on at a time, so that other messages have their turn.
const FIRE_MAX: usize = 1024;
/// Rows read at a time.
const PAGE: usize = 4096;
/// How often cursors are written; a crash re-reads as much.
const CURSOR_INTERVAL: Duration = Duration::from_secs(5);
/// The pause before rows that could not be read are read again; what is due fires this late at most meanwhile.
const RETRY_PAUSE: Duration = Duration::from_secs(1);

impl Actor for TimerActor {
    type Msg = TimerMessage;
    type State = TimerState;
    type Arguments = TimerArguments;

    async fn pre_start(
        &self,
        myself: ActorRef<TimerMessage>,
        arguments: TimerArguments,
    ) -> Result<TimerState, ActorProcessingErr> {
        arguments.timers.install(&arguments.shard, myself.clone());
        let bucket = arguments.shard.cursors().timer_bucket;
        let from = TimerKey { due: Timestamp(bucket * TIMER_BUCKET.as_millis() as u64), ..TimerKey::default() };
        let now = arguments.clock.moment();
        myself.cast(TimerMessage::Look(now))?;
        Ok(TimerState {
            wheel: Wheel::starting_at(from),
            early: Vec::new(),
            awaits_plans: false,
            look_at: None,
            cursors_at: now,
            pending: None,
            is_behind: false,
            arguments,
        })
    }

    async fn handle(
        &self,
        myself: ActorRef<TimerMessage>,
        message: TimerMessage,
        state: &mut TimerState,
    ) -> Result<(), ActorProcessingErr> {
        match message {
            TimerMessage::Added(_) => {}
            TimerMessage::Planned => state.awaits_plans = false,
            TimerMessage::Look(at) => {
                if state.look_at.is_some_and(|look_at| look_at <= at) {
                    state.look_at = None;
                }
                state.is_behind = match state.read_ahead().await {
                    Ok(()) => false,
                    Err(error) => {
                        // What is in the wheel still fires; an outage is no reason to restart.
                        tracing::error!(%error, shard = %state.arguments.shard.id(), "cannot read timers: trying again");
                        true
                    }
                };
            }
        }
        state.arguments.shard.take_arriving().into_iter().for_each(|row| state.wheel.add(row));
        std::mem::take(&mut state.early).into_iter().for_each(|row| state.wheel.add(row));
        state.fire().await;
        state.move_cursors().await;
        state.await_plans(&myself);
        state.arrange(&myself);
        Ok(())
    }
}

impl TimerState {
    /// Reads rows up to the horizon, or until memory holds enough.
    async fn read_ahead(&mut self) -> Result<(), StoreError> {
        let now = self.arguments.clock.now();
        let horizon = now + HORIZON;
        let beyond = horizon + Duration::from_millis(1);
        if self.wheel.read_to().due > now + HORIZON / 2 {
            return Ok(());
        }
        while self.wheel.read_to().due < horizon && self.wheel.has_room() {
            let after = self.wheel.read_to();
            let rows = self.arguments.store.timers(self.arguments.shard.id(), after, beyond, PAGE).await?;
            let more = rows.len() == PAGE;
            self.wheel.page(rows, horizon, more);
        }
        Ok(())
    }

    /// Hands on what is due, as far as the backlog has room.
    async fn fire(&mut self) {
        let arguments = &self.arguments;
        arguments.dispatch.room.backlog.room(arguments.shard.id().lane).await;
        let now = arguments.clock.now();
        let planned = arguments.shard.planned();
        let (rows, early): (Vec<_>, Vec<_>) =
            self.wheel.due(now, FIRE_MAX).into_iter().partition(|row| row.key.offset < planned);
        self.early.extend(early);
        if rows.is_empty() {
            return;
        }
        let id = arguments.shard.id();
        let task = |row: &TimerRow| TaskId { position: Position::new(id, row.key.offset), ordinal: row.key.ordinal };
        let new = arguments.shard.fire(&rows);
        let new = rows.iter().zip(new).filter(|(_, new)| *new);
        let ready = new
            .map(|(row, _)| {
                Ready::bare(task(row), row.key.attempt, row.channel, row.endpoint, now, &arguments.dispatch.room)
            })
            .collect();
        arguments.dispatch.hand_over(ready);
    }

    fn await_plans(&mut self, myself: &ActorRef<TimerMessage>) {
        let shard = self.arguments.shard.clone();
        let Some(first) = self.early.iter().map(|row| row.key.offset).min() else { return };
        if self.awaits_plans || shard.is_closed() {
            return;
        }
        self.awaits_plans = true;
        let myself = myself.clone();
        tokio::spawn(async move {
            shard.until_planned(first).await;
            // A closed mailbox means a restart, and the next incarnation looks by itself.
            let _ = myself.cast(TimerMessage::Planned);
        });
    }

    async fn move_cursors(&mut self) {
        let now = self.arguments.clock.now();
        let unfired = self.wheel.next_due().unwrap_or(self.wheel.read_to().due).min(now);
        let unfired = self.early.iter().map(|row| row.key.due).fold(unfired, Timestamp::min);
        self.arguments.shard.set_timer_floor(timer_bucket(unfired));
        let moment = self.arguments.clock.moment();
        let shard = &self.arguments.shard;
        if self.pending.is_none() && moment.since(self.cursors_at) >= CURSOR_INTERVAL {
            self.cursors_at = moment;
            self.pending = shard.advance().map(|cursors| (cursors, shard.barrier()));
        }
        // A cursor is true under one owner only.
        let (standing, id) = (self.arguments.ownership.standing(), self.arguments.shard.id());
        if !standing.holds_for(id, &*self.arguments.clock, WRITE_WAIT_MAX) {
            return;
        }
        let Some((cursors, _)) = self.pending.take_if(|(_, barrier)| shard.is_told(*barrier)) else { return };
        let batch = WriteBatch { cursors: Some(cursors), ..WriteBatch::default() };
        if let Err(error) = self.arguments.store.write(self.arguments.shard.id(), batch).await {
            // The next one will do: a cursor that lags costs a scan after a crash, no more.
            tracing::warn!(%error, shard = %self.arguments.shard.id(), "cannot write cursors");
        }
    }

    /// Arranges the next look: when the wheel asks for it, and when cursors are to be written. The wall clock may be set while
    /// this waits, so it never waits long.
    fn arrange(&mut self, myself: &ActorRef<TimerMessage>) {
        // What is due is not fired any more, and would be looked at again at once, over and over.
        if self.arguments.shard.is_closed() {
            return;
        }
        let clock = &self.arguments.clock;
        let now = clock.now();
        let wait = match self.is_behind {
            true => RETRY_PAUSE,
            false => self.wheel.look_at(HORIZON / 2).since(now).min(CURSOR_INTERVAL),
        };
        let at = clock.moment() + wait;
        if self.look_at.is_some_and(|look_at| look_at <= at) {
            return;
        }
        self.look_at = Some(at);
        let sleep = clock.sleep(wait);
        let myself = myself.clone();
        tokio::spawn(async move {
            sleep.await;
            let _ = myself.cast(TimerMessage::Look(at));
        });
    }
}
