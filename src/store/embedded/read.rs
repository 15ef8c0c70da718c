//! Reads. Those that may go to the disk run beside the runtime, so that a slow disk holds nobody else up; looking for claims does
//! not: it is done for every batch, and filters in memory answer nearly all of it.

use std::collections::BTreeMap;
use std::ops::Bound::{Excluded, Included};

use async_trait::async_trait;
use fjall::Slice;

use super::{EmbeddedStore, keys};
use crate::codec;
use crate::disk::{DEAD_LETTERS_KEPT, Disk};
use crate::domain::{BLOCK_OFFSETS, ClaimKey, Event, Plan, Position, ShardId, Story, Timestamp};
use crate::store::assemble::{Offsets, add_events, is_loose};
use crate::store::{
    Books, ClaimRow, ClaimRows, Cursors, DeadLetter, DeadLetterKey, DeadLetters, History, HistoryEntry, StoreError,
    TaskLog, TimerKey, TimerRow, Timers, WriteBatch, packed,
};

impl EmbeddedStore {
    pub(super) async fn beside<T: Send + 'static>(
        &self,
        read: impl FnOnce(&Disk) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let disk = self.disk.clone();
        let done = tokio::task::spawn_blocking(move || read(&disk)).await;
        done.map_err(|error| StoreError::Failed(error.to_string()))?
    }
}

#[async_trait]
impl TaskLog for EmbeddedStore {
    async fn write(&self, shard: ShardId, batch: WriteBatch) -> Result<(), StoreError> {
        self.write_batch(shard, batch).await
    }

    async fn stories(&self, positions: &[Position]) -> Result<Vec<Option<Story>>, StoreError> {
        let positions = positions.to_vec();
        self.beside(move |disk| read_stories(disk, &positions)).await
    }

    async fn plans_at(&self, positions: &[Position]) -> Result<Vec<Option<Plan>>, StoreError> {
        let positions = positions.to_vec();
        self.beside(move |disk| positions.iter().map(|position| plan_at(disk, *position)).collect()).await
    }

    async fn block(&self, shard: ShardId, block: u64) -> Result<Vec<Story>, StoreError> {
        let stories = self.beside(move |disk| block_stories(disk, shard, block, &Offsets::All)).await?;
        Ok(stories.into_values().collect())
    }

    async fn loose_events(&self, shard: ShardId, block: u64) -> Result<Vec<Event>, StoreError> {
        let events = self.beside(move |disk| events(disk, shard, block, &Offsets::All)).await?;
        Ok(events.into_iter().filter(is_loose).collect())
    }

    async fn cursors(&self, shard: ShardId) -> Result<Cursors, StoreError> {
        Ok(self.shards.cursors(shard))
    }

    async fn books(&self, shard: ShardId) -> Result<Books, StoreError> {
        Ok(self.shards.books(shard))
    }
}

fn read_stories(disk: &Disk, positions: &[Position]) -> Result<Vec<Option<Story>>, StoreError> {
    let mut by_block: BTreeMap<(ShardId, u64), Vec<usize>> = BTreeMap::new();
    for (index, position) in positions.iter().enumerate() {
        by_block.entry((position.shard, position.block())).or_default().push(index);
    }
    let mut found = vec![None; positions.len()];
    for ((shard, block), indexes) in by_block {
        let mut offsets: Vec<u64> = indexes.iter().map(|index| positions[*index].offset).collect();
        offsets.sort_unstable();
        let stories = block_stories(disk, shard, block, &Offsets::These(offsets))?;
        for index in indexes {
            found[index] = stories.get(&positions[index].offset).cloned();
        }
    }
    Ok(found)
}

fn block_stories(
    disk: &Disk,
    shard: ShardId,
    block: u64,
    wanted: &Offsets,
) -> Result<BTreeMap<u64, Story>, StoreError> {
    // Events first: one that is written meanwhile belongs to a plan that is found, and is merely missed.
    let events = events(disk, shard, block, wanted)?;
    let mut stories = plans(disk, shard, block, wanted)?;
    add_events(&mut stories, events);
    Ok(stories)
}

/// The plans of a block in the order of their offsets. Rows without a wanted one are not even read.
fn plans(disk: &Disk, shard: ShardId, block: u64, wanted: &Offsets) -> Result<BTreeMap<u64, Story>, StoreError> {
    let read = |cause: fjall::Error| disk.read_error(&cause);
    let mut stories = BTreeMap::new();
    let start = block * BLOCK_OFFSETS;
    let range = keys::plans_from(shard, start)..keys::plans_from(shard, start + BLOCK_OFFSETS);
    for row in disk.keyspaces.plans.range(range) {
        let is_wanted = |key: &Slice| keys::read_plans(key).is_none_or(|(first, last)| wanted.touch(first, last));
        let (_, Some(value)) = row.into_inner_if(is_wanted).map_err(read)? else { continue };
        for (within, bytes) in packed::unpack(&value) {
            let offset = start + within;
            if wanted.contains(offset) {
                let plan = codec::decode_plan(Position::new(shard, offset), bytes)?;
                stories.insert(offset, Story { plan, events: Vec::new() });
            }
        }
    }
    Ok(stories)
}

/// One plan. Rows are in the order of their first offsets, and of those with one plan the last counts, so the nearest row before
/// an offset is nearly always the one: a block is not walked through.
fn plan_at(disk: &Disk, position: Position) -> Result<Option<Plan>, StoreError> {
    let read = |cause: fjall::Error| disk.read_error(&cause);
    let start = position.block() * BLOCK_OFFSETS;
    let range = keys::plans_from(position.shard, start)..keys::plans_from(position.shard, position.offset + 1);
    for row in disk.keyspaces.plans.range(range).rev() {
        let has_it = |key: &Slice| keys::read_plans(key).is_none_or(|(_, last)| position.offset <= last);
        let (_, Some(value)) = row.into_inner_if(has_it).map_err(read)? else { continue };
        let found = packed::unpack(&value).filter(|(within, _)| start + within == position.offset).last();
        if let Some((_, bytes)) = found {
            return Ok(Some(codec::decode_plan(position, bytes)?));
        }
    }
    Ok(None)
}

/// The events of a block, in the order they were written.
fn events(disk: &Disk, shard: ShardId, block: u64, wanted: &Offsets) -> Result<Vec<Event>, StoreError> {
    let mut events = Vec::new();
    for row in disk.keyspaces.events.range(events_of(shard, block)) {
        let value = row.value().map_err(|cause| disk.read_error(&cause))?;
        for (within, bytes) in packed::unpack(&value) {
            let offset = block * BLOCK_OFFSETS + within;
            if wanted.contains(offset) {
                events.push(codec::decode_event(Position::new(shard, offset), bytes)?);
            }
        }
    }
    Ok(events)
}

fn events_of(shard: ShardId, block: u64) -> std::ops::RangeInclusive<Vec<u8>> {
    keys::event(shard, block, 0)..=keys::event(shard, block, u64::MAX)
}

#[async_trait]
impl Timers for EmbeddedStore {
    async fn timers(
        &self,
        shard: ShardId,
        after: TimerKey,
        until: Timestamp,
        limit: usize,
    ) -> Result<Vec<TimerRow>, StoreError> {
        let end = TimerKey { due: until, ..TimerKey::default() };
        if after >= end {
            return Ok(Vec::new());
        }
        let bounds = (Excluded(keys::timer(shard, after)), Excluded(keys::timer(shard, end)));
        self.beside(move |disk| {
            let rows = disk.keyspaces.timers.range::<Vec<u8>, _>(bounds).take(limit);
            rows.map(|row| {
                let (key, value) = row.into_inner().map_err(|cause| disk.read_error(&cause))?;
                let key = keys::read_timer(&key).ok_or_else(|| StoreError::Unreadable("the key of a timer".into()))?;
                Ok(codec::decode_timer(key, &value)?)
            })
            .collect()
        })
        .await
    }
}

#[async_trait]
impl ClaimRows for EmbeddedStore {
    async fn claims(&self, keys: &[ClaimKey]) -> Result<Vec<Option<ClaimRow>>, StoreError> {
        let mut claims = self.index.claims(keys);
        for (key, claim) in keys.iter().zip(&mut claims).filter(|(_, claim)| claim.is_none()) {
            let found = self.disk.keyspaces.claims.get(keys::claim(*key));
            let value = found.map_err(|cause| self.disk.read_error(&cause))?;
            *claim = value.map(|value| keys::read_claim(*key, &value)).transpose()?;
        }
        Ok(claims)
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
        let prefix = keys::history_of(tenant, user_id);
        let index = self.index.clone();
        self.beside(move |disk| {
            // The index first: what is put into the table meanwhile is then found in both, not in none.
            let mut keys = index.history(&prefix);
            keys.retain(|key| start.is_none_or(|start| *key > start));
            let start = start.map(|start| start.to_vec());
            let rows = page(disk, &disk.keyspaces.history, prefix, start, limit)?;
            keys.extend(rows.iter().filter_map(|(key, _)| keys::HistoryKey::try_from(&key[..]).ok()));
            keys.sort_unstable();
            keys.dedup();
            Ok(keys.iter().take(limit).filter_map(|key| keys::read_history(key)).collect())
        })
        .await
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
        let prefix = keys::dead_letters_of(tenant);
        let rows = self.beside(move |disk| page(disk, &disk.keyspaces.dead_letters, prefix, start, limit)).await?;
        // Older ones go with the next compaction that comes by.
        let floor = self.disk.now() - DEAD_LETTERS_KEPT;
        rows.iter()
            .filter_map(|(key, value)| Some((keys::read_dead_letter(tenant, key)?, value)))
            .filter(|(key, _)| key.at >= floor)
            .map(|(key, value)| Ok(codec::decode_dead_letter(key, value)?))
            .collect()
    }

    async fn dead_letter(&self, key: &DeadLetterKey) -> Result<Option<DeadLetter>, StoreError> {
        let row = keys::dead_letter(key);
        let read =
            move |disk: &Disk| Ok(disk.keyspaces.dead_letters.get(row).map_err(|cause| disk.read_error(&cause))?);
        let value = self.beside(read).await?;
        value.map(|value| Ok(codec::decode_dead_letter(key.clone(), &value)?)).transpose()
    }
}

/// Rows under a prefix, in order, after `start` if there is one.
pub(super) fn page(
    disk: &Disk,
    keyspace: &fjall::Keyspace,
    prefix: Vec<u8>,
    start: Option<Vec<u8>>,
    limit: usize,
) -> Result<Vec<(Slice, Slice)>, StoreError> {
    let mut end = prefix.clone();
    end.extend_from_slice(&[u8::MAX; 32]);
    let start = start.map_or(Included(prefix), Excluded);
    let rows = keyspace.range::<Vec<u8>, _>((start, Included(end))).take(limit);
    rows.map(|row| row.into_inner().map_err(|cause| disk.read_error(&cause).into())).collect()
}
