//! The work of analytics: each of the four sources at one home, which reads the marks of what was written and counts those blocks again.
//!
//! What it has in memory is which blocks are to be computed: whoever takes the home over reads their marks again, from the minute that the
//! state row says. It works a fifth of the time at most, so that the sends have the rest: what is answered becomes older then, and not wrong.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use super::pending::{BlockId, Pending, closes_at, minute_of};
use super::step::NotOurs;
use super::{Analytics, metrics, rows};
use crate::clock::Moment;
use crate::domain::{RollupState, RollupStep, Timestamp, add_entry};
use crate::homes::{Tenure, Turns, Wake, Work, home_of};
use crate::store::{SOURCES, StoreError, read_touched, touched_part};

/// How often it is looked whether something was written.
const LOOK: Duration = Duration::from_secs(2);
/// At homes without a source.
const IDLE: Duration = Duration::from_secs(600);
/// Pauses are so many times as long as the turn before, and no longer than the other.
const PAUSE_TIMES: u32 = 4;
const PAUSE_MAX: Duration = Duration::from_secs(5);
/// Who is the first to follow marks begins so long ago: whoever wrote meanwhile had no follower.
const FIRST_MINUTES: u64 = 24 * 60;
/// Minutes whose marks are read in a turn.
const TURN_MINUTES: u64 = 240;
/// Marks that are read at once.
const MARKS_MAX: usize = 1000;
/// Blocks that are waited for; above, no more marks are read. Each takes some 200 bytes.
const PENDING_MAX: usize = 50_000;
/// Blocks of a step, and entries of all their summaries: some hundred kilobytes, and a fraction of a second.
const STEP_BLOCKS: usize = 32;
const STEP_ENTRIES: usize = 8_000;
/// How often it is written down how far it is, where nothing else is written.
const STATE_INTERVAL: Duration = Duration::from_secs(10);

/// Keeps the roll-ups, each source at its home.
pub struct AnalyticsWork {
    analytics: Arc<Analytics>,
    wake: Wake,
}

impl AnalyticsWork {
    pub fn new(analytics: Arc<Analytics>) -> Self {
        Self { analytics, wake: Wake::default() }
    }
}

#[async_trait]
impl Work for AnalyticsWork {
    fn kind(&self) -> &'static str {
        "analytics"
    }

    async fn begin(&self, tenure: Tenure) -> Result<Box<dyn Turns>, StoreError> {
        let own = (0..SOURCES).filter(|source| home_of(format!("analytics/{source}").as_bytes()) == tenure.home);
        let mut sources = Vec::new();
        for number in own {
            sources.push(Source::take_up(self.analytics.clone(), number, &tenure).await?);
        }
        Ok(Box::new(HomeAnalytics { analytics: self.analytics.clone(), tenure, sources }))
    }

    fn wake(&self) -> &Wake {
        &self.wake
    }
}

struct HomeAnalytics {
    analytics: Arc<Analytics>,
    tenure: Tenure,
    sources: Vec<Source>,
}

#[async_trait]
impl Turns for HomeAnalytics {
    async fn turn(&mut self) -> Result<Duration, StoreError> {
        if self.sources.is_empty() {
            return Ok(IDLE);
        }
        if !self.tenure.holds() {
            return Ok(LOOK);
        }
        let clock = self.analytics.parts.clock.clone();
        let began = clock.moment();
        let mut has_more = false;
        for source in &mut self.sources {
            has_more |= source.turn(&self.tenure).await?;
        }
        let pause = clock.moment().since(began) * PAUSE_TIMES;
        Ok(if has_more { pause.min(PAUSE_MAX) } else { pause.clamp(LOOK, PAUSE_MAX) })
    }
}

impl Drop for HomeAnalytics {
    fn drop(&mut self) {
        // Another node tells from now on.
        self.sources.iter().for_each(|source| metrics::lag(source.number, 0.0));
    }
}

/// The shards that are one source's.
struct Source {
    analytics: Arc<Analytics>,
    number: u8,
    state: RollupState,
    pending: Pending,
    looked_at: Option<Moment>,
    saved_at: Option<Moment>,
}

impl Source {
    async fn take_up(analytics: Arc<Analytics>, number: u8, tenure: &Tenure) -> Result<Self, StoreError> {
        let first = minute_of(analytics.parts.clock.now()).saturating_sub(FIRST_MINUTES);
        let state = analytics.state(number).await?;
        let mut state = state.unwrap_or(RollupState { sequence: 0, minute: first });
        if let Some(step) = analytics.unfinished(number, &state).await? {
            let done = RollupState { sequence: step.sequence, ..state };
            not_ours(analytics.finish(number, &step, &done, tenure).await?)?;
            state = done;
        }
        let pending = Pending::from(state.minute);
        Ok(Self { analytics, number, state, pending, looked_at: None, saved_at: None })
    }

    /// Whether there is more to do at once.
    async fn turn(&mut self, tenure: &Tenure) -> Result<bool, StoreError> {
        let (analytics, moment) = (self.analytics.clone(), self.analytics.parts.clock.moment());
        let mut is_behind = false;
        if self.looked_at.is_none_or(|at| moment.since(at) >= LOOK) {
            is_behind = self.look().await?;
            self.looked_at = Some(moment).filter(|_| !is_behind);
        }
        let now = analytics.parts.clock.now();
        let due = self.pending.due(now, STEP_BLOCKS);
        let is_full = due.len() == STEP_BLOCKS;
        let (step, computed) = self.gather(&due, now).await?;
        let has_left = computed.len() < due.len() && step.delta.len() >= STEP_ENTRIES;
        if !step.summaries.is_empty() {
            let state = RollupState { sequence: step.sequence, minute: self.state.minute };
            not_ours(analytics.carry_out(self.number, &step, &state, tenure).await?)?;
            self.state = state;
        }
        computed.into_iter().for_each(|block| self.pending.computed(block, now));
        self.save(moment, tenure).await?;
        metrics::lag(self.number, self.pending.lag(now).as_secs_f64());
        Ok(is_behind || is_full || has_left)
    }

    /// Reads marks; whether there are more.
    async fn look(&mut self) -> Result<bool, StoreError> {
        let now = self.analytics.parts.clock.now();
        // Clocks of writers may be ahead.
        let last = minute_of(now) + 1;
        let first = self.pending.closed;
        for minute in (first..=last).take(TURN_MINUTES as usize) {
            if self.pending.len() > PENDING_MAX {
                return Ok(false);
            }
            self.read(minute, now).await?;
            if closes_at(minute) <= now && self.pending.closed == minute {
                self.pending.closed = minute + 1;
            }
        }
        Ok(first + TURN_MINUTES <= last)
    }

    async fn read(&mut self, minute: u64, now: Timestamp) -> Result<(), StoreError> {
        let part = touched_part(self.number, minute);
        let mut after: Option<Box<[u8]>> = None;
        loop {
            let store = &self.analytics.parts.rows;
            let marks = store.keyed_between(&part, after.as_deref(), None, MARKS_MAX).await?;
            for (shard, block, at) in marks.iter().filter_map(read_touched) {
                self.pending.mark(now, minute, (shard, block), at);
            }
            if marks.len() < MARKS_MAX {
                return Ok(());
            }
            after = marks.into_iter().next_back().map(|(name, _)| name);
        }
    }

    /// Computes blocks that are due; what changes by them, and those that need not be looked at again for now.
    async fn gather(
        &mut self,
        due: &[(BlockId, bool)],
        now: Timestamp,
    ) -> Result<(RollupStep, Vec<BlockId>), StoreError> {
        let mut step = RollupStep { sequence: self.state.sequence + 1, ..RollupStep::default() };
        let mut computed = Vec::new();
        let blocks: Vec<BlockId> = due.iter().map(|(block, _)| *block).collect();
        let olds = self.analytics.summaries(&blocks).await?;
        let mut size = 0;
        for ((block, is_known), old) in due.iter().zip(olds) {
            if size >= STEP_ENTRIES {
                break;
            }
            if let Some(old) = old.as_ref().filter(|_| !is_known)
                && !self.pending.know(*block, old.since, now)
            {
                continue;
            }
            let new = match self.analytics.compute(*block, old).await {
                // One row must not stop all others: what was counted of its block stays.
                Err(StoreError::Unreadable(reason)) => {
                    tracing::error!(shard = %block.0, block = block.1, reason, "a block cannot be counted: please report this");
                    None
                }
                new => new?,
            };
            computed.push(*block);
            metrics::computed();
            let Some(new) = new else {
                tracing::warn!(shard = %block.0, block = block.1, "a block stays as it was counted: rows of it are gone");
                metrics::gone();
                continue;
            };
            if new.is_changed {
                size += new.new.entries.len() + new.delta.len();
                step.summaries.push((block.0, block.1, new.new));
                new.delta.into_iter().for_each(|(cell, counts)| add_entry(&mut step.delta, cell, &counts));
            }
        }
        Ok((step, computed))
    }

    /// Writes down how far it is, now and then.
    async fn save(&mut self, moment: Moment, tenure: &Tenure) -> Result<(), StoreError> {
        let minute = self.pending.minute();
        let is_early = self.saved_at.is_some_and(|at| moment.since(at) < STATE_INTERVAL);
        if minute <= self.state.minute || is_early || !tenure.holds() {
            return Ok(());
        }
        let state = RollupState { minute, ..self.state };
        self.analytics.parts.rows.put_keyed(vec![rows::state_row(self.number, &state)]).await?;
        (self.state, self.saved_at) = (state, Some(moment));
        Ok(())
    }
}

/// The home is another's: whoever has it begins from the rows.
fn not_ours(carried_out: Result<(), NotOurs>) -> Result<(), StoreError> {
    carried_out.map_err(|NotOurs| StoreError::Failed("the home is another node's".to_owned()))
}
