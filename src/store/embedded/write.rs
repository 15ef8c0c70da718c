//! One write: encoded where it is asked for, put into the group on the writing thread.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::EmbeddedStore;
use super::keys;
use super::packed::Packer;
use crate::codec;
use crate::disk::{Disk, Rows};
use crate::domain::{BLOCK_OFFSETS, Event, Plan, ShardId, Timestamp};
use crate::store::{Cursors, HistoryEntry, StoreError, TIMER_BUCKET, TimerKey, WriteBatch};

/// Rows with their keys, ready to be put into the group.
#[derive(Default)]
struct Encoded {
    plans: Vec<(Vec<u8>, Vec<u8>)>,
    events: Vec<(Vec<u8>, Vec<u8>)>,
    timers: Vec<(Vec<u8>, [u8; 5])>,
    claims: Vec<([u8; 16], Vec<u8>)>,
    history: Vec<Vec<u8>>,
    dead_letters: Vec<(Vec<u8>, Vec<u8>)>,
    revived: Vec<Vec<u8>>,
}

/// Old timers deleted with one write.
const TIMERS_DROPPED_MAX: usize = 4096;

impl EmbeddedStore {
    pub(super) async fn write_batch(&self, shard: ShardId, batch: WriteBatch) -> Result<(), StoreError> {
        let encoded = self.encode(shard, &batch);
        let (disk, shards) = (self.disk.clone(), self.shards.clone());
        let written = self.disk.write(move |rows| {
            encoded.put(rows, &disk);
            if !batch.books.is_empty() {
                shards.add(rows, &disk, shard, &batch.books);
            }
            if let Some(cursors) = batch.cursors
                && let Some(before) = shards.advance(rows, &disk, shard, cursors)
            {
                drop_timers(rows, &disk, shard, before, cursors);
            }
        });
        Ok(written.await?)
    }

    fn encode(&self, shard: ShardId, batch: &WriteBatch) -> Encoded {
        let mut encoded = Encoded::default();
        for plans in batch.plans.chunk_by(|a, b| a.position.block() == b.position.block()) {
            encoded.add_plans(shard, plans);
        }
        if !batch.events.is_empty() {
            let write = self.next_write.fetch_add(1, Ordering::Relaxed);
            let mut events: Vec<&Event> = batch.events.iter().collect();
            events.sort_by_key(|event| event.task.position.block());
            for events in events.chunk_by(|a, b| a.task.position.block() == b.task.position.block()) {
                encoded.add_events(shard, write, events);
            }
        }
        for row in &batch.timers {
            let mut value = [0; 5];
            value[0] = row.channel.index() as u8;
            value[1..].copy_from_slice(&row.endpoint.to_be_bytes());
            encoded.timers.push((keys::timer(shard, row.key), value));
        }
        for letter in &batch.dead_letters {
            encoded.dead_letters.push((keys::dead_letter(&letter.key), codec::encode_dead_letter(letter)));
        }
        encoded.revived.extend(batch.revived.iter().map(keys::dead_letter));
        encoded
    }
}

impl Encoded {
    fn add_plans(&mut self, shard: ShardId, plans: &[Arc<Plan>]) {
        let Some(first) = plans.first() else { return };
        let mut packer = Packer::with_capacity(plans.len() * 512);
        for plan in plans {
            packer.add(plan.position.offset, |bytes| codec::encode_plan(plan, bytes));
            for claim in &plan.claims {
                let row = crate::store::ClaimRow {
                    key: claim.key,
                    owner: plan.position,
                    body_hash: claim.body_hash,
                    expires_at: claim.expires_at,
                };
                let mut value = claim.expires_at.millis().to_be_bytes().to_vec();
                value.extend(codec::encode_claim(&row));
                self.claims.push((claim.key.0.to_be_bytes(), value));
            }
            if let Some(user_id) = &plan.user_id {
                let entry = HistoryEntry { accepted_at: plan.accepted_at, notification: plan.id() };
                self.history.push(keys::history(&plan.tenant, user_id, entry));
            }
        }
        self.plans.push((keys::offset(shard, first.position.offset), packer.done()));
    }

    fn add_events(&mut self, shard: ShardId, write: u64, events: &[&Event]) {
        let Some(first) = events.first() else { return };
        let mut packer = Packer::with_capacity(events.len() * 48);
        for event in events {
            packer.add(event.task.position.offset, |bytes| codec::encode_event(event, bytes));
        }
        self.events.push((keys::event(shard, first.task.position.block(), write), packer.done()));
    }

    fn put(self, rows: &mut Rows, disk: &Disk) {
        let keyspaces = &disk.keyspaces;
        for (key, value) in self.timers {
            rows.insert(&keyspaces.timers, key, value);
        }
        for (key, value) in self.plans {
            rows.insert(&keyspaces.plans, key, value);
        }
        for (key, value) in self.claims {
            rows.insert(&keyspaces.claims, key, value);
        }
        for key in self.history {
            rows.insert(&keyspaces.history, key, []);
        }
        for (key, value) in self.events {
            rows.insert(&keyspaces.events, key, value);
        }
        for (key, value) in self.dead_letters {
            rows.insert(&keyspaces.dead_letters, key, value);
        }
        for key in self.revived {
            rows.remove(&keyspaces.dead_letters, key);
        }
    }
}

/// Deletes timers between the cursor before and now. What a crash leaves behind lies below the cursor and is never read.
fn drop_timers(rows: &mut Rows, disk: &Disk, shard: ShardId, before: Cursors, now: Cursors) {
    let start = |bucket: u64| {
        let due = Timestamp(bucket.saturating_mul(TIMER_BUCKET.as_millis() as u64));
        keys::timer(shard, TimerKey { due, ..TimerKey::default() })
    };
    let old = disk.keyspaces.timers.range(start(before.timer_bucket)..start(now.timer_bucket));
    for key in old.take(TIMERS_DROPPED_MAX).map_while(|row| row.key().ok()) {
        rows.remove(&disk.keyspaces.timers, key);
    }
}

/// The number of blocks is bounded by that of the offsets.
const _: () = assert!(BLOCK_OFFSETS <= 1 << 16, "an offset within a block is packed into two bytes");
