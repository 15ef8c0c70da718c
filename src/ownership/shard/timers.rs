//! What a shard knows of its timers: which of them still hold the cursor.
//!
//! From before it is written until its task is settled a timer is in one of these places, each of which holds the cursor:
//! expected, arriving, in the wheel (the floor), fired. So a crash at any moment finds it again.

use std::sync::Arc;

use super::{Begin, Shard, State};
use crate::domain::{Position, ShardId, TaskId, Timestamp};
use crate::store::{TIMER_BUCKET, TimerRow, timer_bucket};

/// Timers that are being written: while it lives no cursor passes them. Keep it until they were added or tracked.
#[derive(Debug)]
pub struct Expected {
    shard: Arc<Shard>,
    bucket: u64,
}

impl Drop for Expected {
    fn drop(&mut self) {
        let mut state = self.shard.state();
        if let Some(count) = state.expected.get_mut(&self.bucket) {
            *count -= 1;
            if *count == 0 {
                state.expected.remove(&self.bucket);
            }
        }
    }
}

impl Shard {
    /// To be called before timers are written. Those due below the cursor are moved up to it: they would not be read
    /// again, and might be dropped (a write that took long, or a wall clock that was set back).
    pub fn expect_timers(self: &Arc<Self>, rows: &mut [TimerRow]) -> Option<Expected> {
        let first = rows.iter().map(|row| row.key.due).min()?;
        let mut state = self.state();
        let cursor = state.cursors.timer_bucket;
        let bucket = timer_bucket(first).max(cursor);
        *state.expected.entry(bucket).or_default() += 1;
        drop(state);
        let start = Timestamp(cursor.saturating_mul(TIMER_BUCKET.as_millis() as u64));
        for row in rows {
            row.key.due = row.key.due.max(start);
        }
        Some(Expected { shard: self.clone(), bucket })
    }

    /// Timers that are durable and are to fire when they are due. They hold the cursor until they are taken.
    pub fn add_timers(&self, rows: Vec<TimerRow>) {
        self.state().arriving.extend(rows);
    }

    /// The task turned out to wait for a time: nobody works on it any more, and its timer fires again. One step, so that
    /// no timer comes between the two and finds the task in hand. A task that a sender holds, or that is being cancelled,
    /// is left to them.
    pub fn return_to_timer(&self, row: TimerRow) {
        let task = task(self.id, &row);
        let mut state = self.state();
        if state.begin(task) == Begin::Yes {
            state.release(task);
            state.arriving.push(row);
        }
    }

    /// Takes the timers that arrived. Whoever takes them sees to the floor before cursors move again.
    pub fn take_arriving(&self) -> Vec<TimerRow> {
        std::mem::take(&mut self.state().arriving)
    }

    /// Tracks the tasks of timers that fire, and says of each whether it is new, as [`Shard::track`] does.
    pub fn fire(&self, rows: &[TimerRow]) -> Vec<bool> {
        let mut state = self.state();
        let fire =
            |row: &TimerRow| state.track(task(self.id, row), Some(timer_bucket(row.key.due)), !row.key.is_turn());
        rows.iter().map(fire).collect()
    }

    /// No timer in the wheel is below `bucket`. It goes back when one arrives late.
    pub fn set_timer_floor(&self, bucket: u64) {
        self.state().timer_floor = bucket;
    }

    /// No timer below this bucket is still to fire.
    pub fn timer_floor(&self) -> u64 {
        self.state().unfired()
    }
}

impl State {
    /// The first bucket of a timer that is still to fire.
    pub(super) fn unfired(&self) -> u64 {
        let expected = self.expected.keys().next().copied();
        let arriving = self.arriving.iter().map(|row| timer_bucket(row.key.due)).min();
        expected.into_iter().chain(arriving).fold(self.timer_floor, u64::min)
    }
}

fn task(shard: ShardId, row: &TimerRow) -> TaskId {
    TaskId { position: Position::new(shard, row.key.offset), ordinal: row.key.ordinal }
}
