//! One write: encoded where it is asked for, put into the group on the writing thread.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::index::Entries;
use super::shards::timer_floor;
use super::{EmbeddedStore, keys, received};
use crate::codec;
use crate::disk::{Keyspaces, Rows, Traffic, Urgency};
use crate::domain::{BLOCK_OFFSETS, Event, Plan, Priority, ShardId, Timestamp};
use crate::store::packed::Packer;
use crate::store::{PlanRows, StoreError, WriteBatch, touched_blocks, touched_row};

/// Rows with their keys, ready to be put into the group.
#[derive(Default)]
struct Encoded {
    plans: Vec<(Vec<u8>, Vec<u8>)>,
    events: Vec<(Vec<u8>, Vec<u8>)>,
    timers: Vec<(Vec<u8>, Vec<u8>)>,
    received: Vec<(Vec<u8>, Vec<u8>)>,
    groups: Vec<(Vec<u8>, Vec<u8>)>,
    /// What is to be found of the plans.
    entries: Entries,
    dead_letters: Vec<(Vec<u8>, Vec<u8>)>,
    revived: Vec<Vec<u8>>,
    /// Blocks that are marked as changed, with the time at which they come into the batch.
    touched: BTreeSet<u64>,
}

/// Nothing is sent before its plan is durable; but what came of a send changes nothing for whoever got it.
fn kind(shard: ShardId, batch: &WriteBatch) -> (Traffic, Urgency) {
    match shard.lane {
        _ if is_told(batch) => (Traffic::Receipts, Urgency::Shared),
        _ if batch.plans.is_empty() => (Traffic::Outcomes, Urgency::Patient),
        Priority::Critical => (Traffic::Plans, Urgency::Now),
        _ => (Traffic::Plans, Urgency::Shared),
    }
}

/// Whether it is nothing but what was told of messages: whoever tells waits for an answer.
fn is_told(batch: &WriteBatch) -> bool {
    let rest =
        batch.plans.is_empty() && batch.timers.is_empty() && batch.dead_letters.is_empty() && batch.books.is_empty();
    rest && batch.cursors.is_none()
        && !batch.events.is_empty()
        && batch.events.iter().all(|event| event.kind.is_receipt())
}

impl EmbeddedStore {
    pub(super) async fn write_batch(&self, shard: ShardId, batch: WriteBatch) -> Result<(), StoreError> {
        let encoded = self.encode(shard, &batch);
        let (shards, index) = (self.shards.clone(), self.index.clone());
        let (traffic, urgency) = kind(shard, &batch);
        let (books, cursors) = (batch.books, batch.cursors);
        let clock = self.disk.clock();
        let written = self.disk.write(traffic, urgency, encoded.bytes(), move |rows| {
            let mut encoded = encoded;
            index.stage(encoded.plans.iter().map(|(key, _)| &key[..]), std::mem::take(&mut encoded.entries));
            encoded.mark(shard, clock.now(), rows, shards.keyspaces());
            encoded.put(rows, shards.keyspaces());
            if !books.is_empty() {
                shards.add(rows, shard, &books);
            }
            if let Some(cursors) = cursors {
                shards.advance(rows, shard, cursors);
            }
        });
        written.await?;
        if let Some(cursors) = cursors {
            // Only now: a timer that is dropped must not come back above a cursor that was lost.
            self.disk.timer_floors.raise(shard, timer_floor(cursors));
        }
        Ok(())
    }

    fn encode(&self, shard: ShardId, batch: &WriteBatch) -> Encoded {
        let mut encoded = Encoded::default();
        let write = self.next_write.fetch_add(1, Ordering::Relaxed);
        let mut first = 0;
        for plans in batch.plans.chunk_by(|a, b| a.position.block() == b.position.block()) {
            for plans in plans.chunks(PLANS_PER_ROW) {
                encoded.add_plans(shard, write, plans, first, &batch.plan_rows);
                first += plans.len();
            }
        }
        if !batch.events.is_empty() {
            let mut events: Vec<&Event> = batch.events.iter().collect();
            events.sort_by_key(|event| event.task.position.block());
            for events in events.chunk_by(|a, b| a.task.position.block() == b.task.position.block()) {
                encoded.add_events(shard, write, events);
            }
        }
        for row in &batch.timers {
            encoded.timers.push((keys::timer(shard, row.key), codec::encode_timer(row)));
        }
        for row in &batch.groups {
            encoded.groups.push((keys::group(row.leader, row.place()), codec::encode_group_entry(&row.entry)));
        }
        for letter in &batch.dead_letters {
            encoded.dead_letters.push((keys::dead_letter(&letter.key), codec::encode_dead_letter(letter)));
        }
        encoded.touched = touched_blocks(&batch.events);
        encoded.received.extend(batch.received.iter().map(received::row));
        encoded.revived.extend(batch.revived.iter().map(keys::dead_letter));
        encoded
    }
}

/// Plans in a row: enough to share its cost, few enough that reading one of them does not read a hundred kilobytes.
const PLANS_PER_ROW: usize = 32;

impl Encoded {
    /// `index`: where the first of the plans stands in the batch.
    fn add_plans(&mut self, shard: ShardId, write: u64, plans: &[Arc<Plan>], index: usize, rows: &PlanRows) {
        let offsets = || plans.iter().map(|plan| plan.position.offset);
        let (Some(first), Some(last)) = (offsets().min(), offsets().max()) else { return };
        let mut packer = Packer::with_capacity(plans.iter().map(|plan| about_bytes(plan)).sum());
        for (index, plan) in (index..).zip(plans) {
            packer.add(plan.position.offset, |bytes| rows.write(index, plan, bytes));
            self.entries.add(plan);
        }
        self.plans.push((keys::plans(shard, first, last, write), packer.done()));
    }

    fn add_events(&mut self, shard: ShardId, write: u64, events: &[&Event]) {
        let Some(first) = events.first() else { return };
        let mut packer = Packer::with_capacity(events.len() * 48);
        for event in events {
            packer.add(event.task.position.offset, |bytes| codec::encode_event(event, bytes));
        }
        self.events.push((keys::event(shard, first.task.position.block(), write), packer.done()));
    }

    /// About how much is written.
    fn bytes(&self) -> usize {
        let pairs =
            |pairs: &[(Vec<u8>, Vec<u8>)]| pairs.iter().map(|(key, value)| key.len() + value.len()).sum::<usize>();
        pairs(&self.plans)
            + pairs(&self.events)
            + pairs(&self.timers)
            + pairs(&self.groups)
            + pairs(&self.received)
            + pairs(&self.dead_letters)
    }

    fn mark(&self, shard: ShardId, at: Timestamp, rows: &mut Rows, keyspaces: &Keyspaces) {
        for block in &self.touched {
            let mark = touched_row(shard, *block, at);
            if let Some(body) = mark.body {
                rows.insert(&keyspaces.dated, keys::keyed(&mark.part, &mark.name), body.to_vec());
            }
        }
    }

    fn put(self, rows: &mut Rows, keyspaces: &Keyspaces) {
        for (key, value) in self.timers {
            rows.insert(&keyspaces.timers, key, value);
        }
        for (key, value) in self.groups {
            rows.insert(&keyspaces.groups, key, value);
        }
        for (key, value) in self.plans {
            rows.insert(&keyspaces.plans, key, value);
        }
        for (key, value) in self.events {
            rows.insert(&keyspaces.events, key, value);
        }
        for (key, value) in self.received {
            rows.insert(&keyspaces.received, key, value);
        }
        for (key, value) in self.dead_letters {
            rows.insert(&keyspaces.dead_letters, key, value);
        }
        for key in self.revived {
            rows.remove(&keyspaces.dead_letters, key);
        }
    }
}

/// So that a row is seldom moved while it grows.
fn about_bytes(plan: &Plan) -> usize {
    plan.data.len() + plan.metadata.len() + 384
}

/// The number of blocks is bounded by that of the offsets.
const _: () = assert!(BLOCK_OFFSETS <= 1 << 16, "an offset within a block is packed into two bytes");
