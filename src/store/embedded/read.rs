//! Reads.

use std::collections::BTreeMap;

use async_trait::async_trait;
use fjall::Slice;

use super::{EmbeddedStore, keys, packed};
use crate::codec::{self, CodecError};
use crate::domain::{BLOCK_OFFSETS, Channel, ClaimKey, Event, Position, ShardId, Story, TASKS_MAX};
use crate::store::{
    Books, ClaimRow, ClaimRows, Cursors, DeadLetter, DeadLetterKey, DeadLetters, History, HistoryEntry, StoreError,
    TaskLog, TimerKey, TimerRow, Timers, WriteBatch,
};

impl From<CodecError> for StoreError {
    fn from(error: CodecError) -> Self {
        StoreError::Unreadable(error.to_string())
    }
}

impl EmbeddedStore {
    /// The plans of a block in the order of their offsets; only those that `wanted` says yes to are decoded.
    fn plans(
        &self,
        shard: ShardId,
        block: u64,
        wanted: impl Fn(u64) -> bool,
    ) -> Result<BTreeMap<u64, Story>, StoreError> {
        let mut stories = BTreeMap::new();
        let start = block * BLOCK_OFFSETS;
        let range = keys::offset(shard, start)..keys::offset(shard, start + BLOCK_OFFSETS);
        for row in self.disk.keyspaces.plans.range(range) {
            let value = row.value().map_err(|cause| self.disk.read_error(&cause))?;
            for (within, bytes) in packed::unpack(&value) {
                let offset = start + within;
                if wanted(offset) {
                    let plan = codec::decode_plan(Position::new(shard, offset), bytes)?;
                    stories.insert(offset, Story { plan, events: Vec::new() });
                }
            }
        }
        Ok(stories)
    }

    /// The events of a block; only those that `wanted` says yes to are decoded.
    fn events(&self, shard: ShardId, block: u64, wanted: impl Fn(u64) -> bool) -> Result<Vec<Event>, StoreError> {
        let mut events = Vec::new();
        let range = keys::event(shard, block, 0)..=keys::event(shard, block, u64::MAX);
        for row in self.disk.keyspaces.events.range(range) {
            let value = row.value().map_err(|cause| self.disk.read_error(&cause))?;
            for (within, bytes) in packed::unpack(&value) {
                let offset = block * BLOCK_OFFSETS + within;
                if wanted(offset) {
                    events.push(codec::decode_event(Position::new(shard, offset), bytes)?);
                }
            }
        }
        Ok(events)
    }

    fn block_stories(
        &self,
        shard: ShardId,
        block: u64,
        wanted: impl Fn(u64) -> bool,
    ) -> Result<BTreeMap<u64, Story>, StoreError> {
        // Events first: one that is written meanwhile belongs to a plan that is found, and is merely missed.
        let events = self.events(shard, block, &wanted)?;
        let mut stories = self.plans(shard, block, &wanted)?;
        for event in events {
            if let Some(story) = stories.get_mut(&event.task.position.offset) {
                story.events.push(event);
            }
        }
        for story in stories.values_mut() {
            story.events.retain(|event| usize::from(event.task.ordinal) < TASKS_MAX);
            story.events.sort_by_key(|event| (event.task.ordinal, event.sequence(), event.at));
            // The same fact written twice, by a replay, is one row: the later one.
            let same = |a: &Event, b: &Event| a.task == b.task && a.sequence() == b.sequence();
            story.events.dedup_by(|later, earlier| {
                let repeated = same(later, earlier);
                if repeated {
                    std::mem::swap(later, earlier);
                }
                repeated
            });
        }
        Ok(stories)
    }
}

#[async_trait]
impl TaskLog for EmbeddedStore {
    async fn write(&self, shard: ShardId, batch: WriteBatch) -> Result<(), StoreError> {
        self.write_batch(shard, batch).await
    }

    async fn stories(&self, positions: &[Position]) -> Result<Vec<Option<Story>>, StoreError> {
        let mut by_block: BTreeMap<(ShardId, u64), Vec<usize>> = BTreeMap::new();
        for (index, position) in positions.iter().enumerate() {
            by_block.entry((position.shard, position.block())).or_default().push(index);
        }
        let mut found = vec![None; positions.len()];
        for ((shard, block), indexes) in by_block {
            let mut offsets: Vec<u64> = indexes.iter().map(|index| positions[*index].offset).collect();
            offsets.sort_unstable();
            let stories = self.block_stories(shard, block, |offset| offsets.binary_search(&offset).is_ok())?;
            for index in indexes {
                found[index] = stories.get(&positions[index].offset).cloned();
            }
            // Many blocks may be asked for: others have their turn in between.
            tokio::task::yield_now().await;
        }
        Ok(found)
    }

    async fn block(&self, shard: ShardId, block: u64) -> Result<Vec<Story>, StoreError> {
        Ok(self.block_stories(shard, block, |_| true)?.into_values().collect())
    }

    async fn loose_events(&self, position: Position) -> Result<Vec<Event>, StoreError> {
        let events = self.events(position.shard, position.block(), |offset| offset == position.offset)?;
        Ok(events.into_iter().filter(|event| usize::from(event.task.ordinal) >= TASKS_MAX).collect())
    }

    async fn planned_end(&self, shard: ShardId) -> Result<u64, StoreError> {
        let mut rows = self.disk.keyspaces.plans.range(keys::offset(shard, 0)..=keys::offset(shard, u64::MAX));
        let Some(last) = rows.next_back() else { return Ok(0) };
        let (key, value) = last.into_inner().map_err(|cause| self.disk.read_error(&cause))?;
        let first = key.last_chunk::<8>().map_or(0, |bytes| u64::from_be_bytes(*bytes));
        let start = first / BLOCK_OFFSETS * BLOCK_OFFSETS;
        let last = packed::unpack(&value).map(|(within, _)| start + within).max();
        Ok(last.map_or(first, |last| last + 1))
    }

    async fn cursors(&self, shard: ShardId) -> Result<Cursors, StoreError> {
        Ok(self.shards.cursors(shard))
    }

    async fn books(&self, shard: ShardId) -> Result<Books, StoreError> {
        Ok(self.shards.books(shard))
    }
}

#[async_trait]
impl Timers for EmbeddedStore {
    async fn timers(&self, shard: ShardId, after: TimerKey, limit: usize) -> Result<Vec<TimerRow>, StoreError> {
        use std::ops::Bound::{Excluded, Included};
        let end = TimerKey { due: crate::domain::Timestamp(u64::MAX), offset: u64::MAX, ordinal: 255, attempt: 255 };
        let bounds = (Excluded(keys::timer(shard, after)), Included(keys::timer(shard, end)));
        let mut timers = Vec::new();
        for row in self.disk.keyspaces.timers.range::<Vec<u8>, _>(bounds).take(limit) {
            let (key, value) = row.into_inner().map_err(|cause| self.disk.read_error(&cause))?;
            timers.push(read_timer(&key, &value).ok_or_else(|| StoreError::Unreadable("a timer".into()))?);
        }
        Ok(timers)
    }
}

fn read_timer(key: &[u8], value: &[u8]) -> Option<TimerRow> {
    let (channel, endpoint) = value.split_first()?;
    let channel = Channel::from_index(usize::from(*channel))?;
    let endpoint = u32::from_be_bytes(*endpoint.first_chunk::<4>()?);
    Some(TimerRow { key: keys::read_timer(key)?, channel, endpoint })
}

#[async_trait]
impl ClaimRows for EmbeddedStore {
    async fn claims(&self, keys: &[ClaimKey]) -> Result<Vec<Option<ClaimRow>>, StoreError> {
        let read = |key: &ClaimKey| -> Result<Option<ClaimRow>, StoreError> {
            let found = self.disk.keyspaces.claims.get(key.0.to_be_bytes());
            let value = found.map_err(|cause| self.disk.read_error(&cause))?;
            // The expiry stands before the claim, for the filter.
            value.map(|value| Ok(codec::decode_claim(*key, value.get(8..).unwrap_or(&[]))?)).transpose()
        };
        keys.iter().map(read).collect()
    }
}

#[async_trait]
impl History for EmbeddedStore {
    async fn history(
        &self,
        tenant: &str,
        user_id: &str,
        before: Option<HistoryEntry>,
        limit: usize,
    ) -> Result<Vec<HistoryEntry>, StoreError> {
        let start = before.map(|entry| keys::history(tenant, user_id, entry));
        let rows = self.page(&self.disk.keyspaces.history, keys::history_of(tenant, user_id), start, limit)?;
        Ok(rows.iter().filter_map(|(key, _)| keys::read_history(key)).collect())
    }
}

#[async_trait]
impl DeadLetters for EmbeddedStore {
    async fn dead_letters(
        &self,
        tenant: &str,
        before: Option<DeadLetterKey>,
        limit: usize,
    ) -> Result<Vec<DeadLetter>, StoreError> {
        let start = before.as_ref().map(keys::dead_letter);
        let rows = self.page(&self.disk.keyspaces.dead_letters, keys::dead_letters_of(tenant), start, limit)?;
        rows.iter()
            .filter_map(|(key, value)| Some((keys::read_dead_letter(tenant, key)?, value)))
            .map(|(key, value)| Ok(codec::decode_dead_letter(key, value)?))
            .collect()
    }

    async fn dead_letter(&self, key: &DeadLetterKey) -> Result<Option<DeadLetter>, StoreError> {
        let found = self.disk.keyspaces.dead_letters.get(keys::dead_letter(key));
        let value = found.map_err(|cause| self.disk.read_error(&cause))?;
        value.map(|value| Ok(codec::decode_dead_letter(key.clone(), &value)?)).transpose()
    }
}

impl EmbeddedStore {
    /// Rows under a prefix, in order, after `start` if there is one.
    fn page(
        &self,
        keyspace: &fjall::Keyspace,
        prefix: Vec<u8>,
        start: Option<Vec<u8>>,
        limit: usize,
    ) -> Result<Vec<(Slice, Slice)>, StoreError> {
        use std::ops::Bound::{Excluded, Included};
        let mut end = prefix.clone();
        end.extend_from_slice(&[u8::MAX; 32]);
        let start = start.map_or(Included(prefix), Excluded);
        let rows = keyspace.range::<Vec<u8>, _>((start, Included(end))).take(limit);
        rows.map(|row| row.into_inner().map_err(|cause| self.disk.read_error(&cause).into())).collect()
    }
}
