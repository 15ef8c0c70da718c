//! Reads of the task log, timers and claims.

use std::collections::BTreeMap;

use async_trait::async_trait;
use futures_util::{StreamExt, TryStreamExt, stream};
use scylla::value::CqlValue;

use super::CqlStore;
use super::rows::{EVENTS, PLANS, window};
use super::runner::{Body, big, blob, shard_key};
use crate::codec;
use crate::domain::{BLOCK_OFFSETS, ClaimKey, Event, Plan, Position, ShardId, Story, Timestamp};
use crate::store::assemble::{Offsets, add_events, is_loose};
use crate::store::{
    Books, ClaimRow, ClaimRows, Cursors, StoreError, TaskLog, TimerKey, TimerRow, Timers, WriteBatch, packed,
};

/// Partitions that one call reads at once.
const ABREAST: usize = 16;

#[async_trait]
impl TaskLog for CqlStore {
    async fn write(&self, shard: ShardId, batch: WriteBatch) -> Result<(), StoreError> {
        self.write_batch(shard, batch).await
    }

    async fn take_over(&self, shard: ShardId, end: u64) -> Result<(), StoreError> {
        self.read_and_recount(shard, end).await
    }

    async fn stories(&self, positions: &[Position]) -> Result<Vec<Option<Story>>, StoreError> {
        let mut by_block: BTreeMap<(ShardId, u64), Vec<usize>> = BTreeMap::new();
        for (index, position) in positions.iter().enumerate() {
            by_block.entry((position.shard, position.block())).or_default().push(index);
        }
        let mut found = vec![None; positions.len()];
        let mut blocks = stream::iter(by_block)
            .map(|((shard, block), indexes)| async move {
                let mut offsets: Vec<u64> = indexes.iter().map(|index| positions[*index].offset).collect();
                offsets.sort_unstable();
                let stories = self.block_stories(shard, block, &Offsets::These(offsets)).await?;
                Ok::<_, StoreError>((indexes, stories))
            })
            .buffer_unordered(ABREAST);
        while let Some((indexes, stories)) = blocks.try_next().await? {
            for index in indexes {
                found[index] = stories.get(&positions[index].offset).cloned();
            }
        }
        Ok(found)
    }

    async fn plans_at(&self, positions: &[Position]) -> Result<Vec<Option<Plan>>, StoreError> {
        let mut by_block: BTreeMap<(ShardId, u64), Vec<u64>> = BTreeMap::new();
        for position in positions {
            by_block.entry((position.shard, position.block())).or_default().push(position.offset);
        }
        let mut found: BTreeMap<Position, Plan> = BTreeMap::new();
        let mut blocks = stream::iter(by_block)
            .map(|((shard, block), mut offsets)| async move {
                offsets.sort_unstable();
                self.plans(shard, block, &Offsets::These(offsets)).await
            })
            .buffer_unordered(ABREAST);
        while let Some(stories) = blocks.try_next().await? {
            found.extend(stories.into_values().map(|story| (story.plan.position, story.plan)));
        }
        Ok(positions.iter().map(|position| found.get(position).cloned()).collect())
    }

    async fn block(&self, shard: ShardId, block: u64) -> Result<Vec<Story>, StoreError> {
        Ok(self.block_stories(shard, block, &Offsets::All).await?.into_values().collect())
    }

    async fn loose_events(&self, shard: ShardId, block: u64) -> Result<Vec<Event>, StoreError> {
        let events = self.events(shard, block, &Offsets::All).await?;
        Ok(events.into_iter().filter(is_loose).collect())
    }

    async fn cursors(&self, shard: ShardId) -> Result<Cursors, StoreError> {
        self.cursors_row(shard).await
    }

    /// The row, not what this process holds: another may have the shard.
    async fn books(&self, shard: ShardId) -> Result<Books, StoreError> {
        self.books_row(shard).await
    }
}

impl CqlStore {
    async fn block_stories(
        &self,
        shard: ShardId,
        block: u64,
        wanted: &Offsets,
    ) -> Result<BTreeMap<u64, Story>, StoreError> {
        let (events, mut stories) =
            tokio::try_join!(self.events(shard, block, wanted), self.plans(shard, block, wanted))?;
        add_events(&mut stories, events);
        Ok(stories)
    }

    /// The plans of a block in the order of their offsets; only the windows with a wanted one are read.
    async fn plans(&self, shard: ShardId, block: u64, wanted: &Offsets) -> Result<BTreeMap<u64, Story>, StoreError> {
        let partition = [shard_key(shard), big(block), CqlValue::TinyInt(PLANS)];
        let rows: Vec<Body> = match wanted {
            Offsets::All => self.runner.rows("read plans", &self.statements.kind, &partition).await?,
            Offsets::These(offsets) => {
                let mut windows: Vec<i16> = offsets.iter().map(|offset| window(*offset)).collect();
                windows.dedup();
                stream::iter(windows)
                    .map(|window| {
                        let mut values = partition.to_vec();
                        values.push(CqlValue::SmallInt(window));
                        async move { self.runner.rows("read plans", &self.statements.window, &values).await }
                    })
                    .buffered(ABREAST)
                    .try_concat()
                    .await?
            }
        };
        let mut stories = BTreeMap::new();
        for (body,) in rows {
            for (within, bytes) in packed::unpack(&body) {
                let offset = block * BLOCK_OFFSETS + within;
                if wanted.contains(offset) {
                    let plan = codec::decode_plan(Position::new(shard, offset), bytes)?;
                    stories.insert(offset, Story { plan, events: Vec::new() });
                }
            }
        }
        Ok(stories)
    }

    /// The events of a block, in the order they were written.
    async fn events(&self, shard: ShardId, block: u64, wanted: &Offsets) -> Result<Vec<Event>, StoreError> {
        let partition = [shard_key(shard), big(block), CqlValue::TinyInt(EVENTS)];
        let rows = self.runner.rows::<Body>("read events", &self.statements.kind, &partition).await?;
        let mut events = Vec::new();
        for (body,) in rows {
            for (within, bytes) in packed::unpack(&body) {
                let offset = block * BLOCK_OFFSETS + within;
                if wanted.contains(offset) {
                    events.push(codec::decode_event(Position::new(shard, offset), bytes)?);
                }
            }
        }
        Ok(events)
    }
}

#[async_trait]
impl Timers for CqlStore {
    async fn timers(
        &self,
        shard: ShardId,
        after: TimerKey,
        until: Timestamp,
        limit: usize,
    ) -> Result<Vec<TimerRow>, StoreError> {
        self.read_timers(shard, after, until, limit).await
    }
}

#[async_trait]
impl ClaimRows for CqlStore {
    async fn claims(&self, keys: &[ClaimKey]) -> Result<Vec<Option<ClaimRow>>, StoreError> {
        stream::iter(keys.to_vec())
            .map(|key| async move {
                let values = [blob(key.0.to_be_bytes())];
                let row = self.runner.rows::<Body>("read claims", &self.statements.claim, &values).await?.pop();
                Ok(row.map(|(body,)| codec::decode_claim(key, &body)).transpose()?)
            })
            .buffered(CLAIMS_ABREAST)
            .try_collect()
            .await
    }

    async fn hold(&self, rows: &[ClaimRow]) -> Result<(), StoreError> {
        self.hold_claims(rows).await
    }
}

/// More than of other reads: each is of one tiny row, and a batch of plans waits for hundreds.
const CLAIMS_ABREAST: usize = 64;
