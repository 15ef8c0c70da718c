//! Counts what the owner of a shard before had no time to count. A write that the books do not have left its tasks in hand, so it is
//! about a block from the cursor on, or about the block of a timer that is due and not below the cursor, or about one that the
//! books name. Of these the numbers of the rows are read, and those whole that have a row which was not counted.
//!
//! What a task's rows say does not depend on how often and in which order they were written, so the difference between all
//! rows and those counted is exact whatever was left half written, and none where it was written again.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt, stream};

use super::CqlStore;
use super::books::StateRow;
use super::numbers::read_number;
use super::rows::PLANS;
use super::runner::{Body, big, shard_key};
use crate::codec;
use crate::domain::{BLOCK_OFFSETS, Position, ShardId, Story, Timestamp};
use crate::store::assemble::add_events;
use crate::store::{BookDelta, Counted, StoreError, TIMER_BUCKET, TimerKey, packed};

/// Blocks whose numbers are read at once; a row of them has a few bytes.
const ABREAST: usize = 32;
/// Blocks that are read whole at once.
const WHOLE_ABREAST: usize = 4;
/// Timers read at a time.
const PAGE: usize = 4096;

/// What a shard's books do not have.
#[derive(Debug, Default)]
pub(super) struct Recount {
    pub(super) delta: BookDelta,
    /// The highest number of the rows that were looked at.
    pub(super) seen: i64,
}

impl CqlStore {
    pub(super) async fn recount(&self, shard: ShardId, row: &StateRow, end: u64) -> Result<Recount, StoreError> {
        let mut recount = Recount::default();
        let Some(counted) = &row.counted else { return Ok(recount) };
        let blocks = self.blocks_in_hand(shard, row, counted, end).await?;
        let mut uncounted = Vec::new();
        let mut found = stream::iter(blocks)
            .map(|block| async move { Ok::<_, StoreError>((block, self.row_numbers(shard, block).await?)) })
            .buffered(ABREAST);
        while let Some((block, numbers)) = found.try_next().await? {
            recount.seen = numbers.iter().map(|(time, _)| *time).fold(recount.seen, i64::max);
            if numbers.iter().any(|(time, process)| !counted.has(*time, *process)) {
                uncounted.push(block);
            }
        }
        let mut deltas =
            stream::iter(uncounted).map(|block| self.recount_block(shard, block, counted)).buffered(WHOLE_ABREAST);
        while let Some(delta) = deltas.try_next().await? {
            recount.delta.merge(&delta);
        }
        Ok(recount)
    }

    /// Every block that a write may be about which the books do not have.
    async fn blocks_in_hand(
        &self,
        shard: ShardId,
        row: &StateRow,
        counted: &Counted,
        end: u64,
    ) -> Result<BTreeSet<u64>, StoreError> {
        let mut blocks: BTreeSet<u64> = (row.cursors.task_block..=end / BLOCK_OFFSETS).collect();
        blocks.extend(counted.but.iter().flat_map(|but| but.blocks.iter().copied()));
        let start = row.cursors.timer_bucket.saturating_mul(TIMER_BUCKET.as_millis() as u64);
        let mut after = TimerKey { due: Timestamp(start), ..TimerKey::default() };
        // By the clock of who fired them, which may be ahead.
        let until = self.clock.now() + TIMER_BUCKET;
        loop {
            let timers = self.read_timers(shard, after, until, PAGE).await?;
            blocks.extend(timers.iter().map(|timer| timer.key.offset / BLOCK_OFFSETS));
            match timers.last() {
                Some(last) if timers.len() == PAGE => after = last.key,
                _ => return Ok(blocks),
            }
        }
    }

    async fn row_numbers(&self, shard: ShardId, block: u64) -> Result<Vec<(i64, u32)>, StoreError> {
        let key = [shard_key(shard), big(block)];
        let rows = self.runner.rows::<Body>("read what was written", &self.statements.numbers, &key).await?;
        rows.iter().map(|(number,)| number_of(number)).collect()
    }

    /// What all rows of a block say, less what those say that were counted.
    async fn recount_block(&self, shard: ShardId, block: u64, counted: &Counted) -> Result<BookDelta, StoreError> {
        type Cells = (i8, Bytes, Bytes);
        let key = [shard_key(shard), big(block)];
        let rows = self.runner.rows::<Cells>("read what was written", &self.statements.whole, &key).await?;
        let (mut all, mut before) = (Rows::default(), Rows::default());
        for (kind, number, body) in rows {
            let (time, process) = number_of(&number)?;
            all.add(shard, block, kind, &body)?;
            if counted.has(time, process) {
                before.add(shard, block, kind, &body)?;
            }
        }
        let mut delta = before.books().negated();
        delta.merge(&all.books());
        Ok(delta)
    }
}

fn number_of(number: &[u8]) -> Result<(i64, u32), StoreError> {
    read_number(number).ok_or_else(|| StoreError::Unreadable("the number of a write".to_owned()))
}

/// Some of the rows of a block.
#[derive(Default)]
struct Rows {
    stories: BTreeMap<u64, Story>,
    events: Vec<crate::domain::Event>,
}

impl Rows {
    fn add(&mut self, shard: ShardId, block: u64, kind: i8, body: &[u8]) -> Result<(), StoreError> {
        for (within, bytes) in packed::unpack(body) {
            let position = Position::new(shard, block * BLOCK_OFFSETS + within);
            if kind == PLANS {
                let plan = codec::decode_plan(position, bytes)?;
                self.stories.insert(position.offset, Story { plan, events: Vec::new() });
            } else {
                self.events.push(codec::decode_event(position, bytes)?);
            }
        }
        Ok(())
    }

    fn books(mut self) -> BookDelta {
        add_events(&mut self.stories, self.events);
        let mut books = BookDelta::default();
        self.stories.values().for_each(|story| books.enter_story(story));
        books
    }
}
