//! What is held per shard as a whole: its books and its cursors, in memory and in one row each.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::keys;
use crate::codec;
use crate::disk::{Disk, Keyspaces, Rows};
use crate::domain::{ShardId, Timestamp};
use crate::store::{BookDelta, Books, Cursors, StoreError, TIMER_BUCKET};

/// Written by the writing thread only, in the order of the writes; so the totals in a row are those of all rows before it.
pub(super) struct Shards {
    keyspaces: Keyspaces,
    held: Mutex<HashMap<ShardId, Held>>,
}

#[derive(Default, Clone, Copy)]
struct Held {
    books: Books,
    cursors: Cursors,
}

impl Shards {
    pub(super) fn open(disk: &Disk) -> Result<Self, StoreError> {
        let mut held: HashMap<ShardId, Held> = HashMap::new();
        for row in disk.keyspaces.shards.iter() {
            let (key, value) = row.into_inner().map_err(|cause| disk.read_error(&cause))?;
            let Some((shard, kind)) = key.split_first_chunk::<4>() else { continue };
            let Some(shard) = ShardId::from_u32(u32::from_be_bytes(*shard)) else { continue };
            let entry = held.entry(shard).or_default();
            match kind {
                b"b" => entry.books = codec::decode_books(&value)?,
                b"c" => entry.cursors = codec::decode_cursors(&value)?,
                _ => {}
            }
        }
        for (shard, held) in &held {
            disk.timer_floors.raise(*shard, timer_floor(held.cursors));
        }
        Ok(Self { keyspaces: disk.keyspaces.clone(), held: Mutex::new(held) })
    }

    /// For the writing thread, which must not hold the disk itself: whoever drops that last waits for the thread.
    pub(super) fn keyspaces(&self) -> &Keyspaces {
        &self.keyspaces
    }

    fn held(&self) -> MutexGuard<'_, HashMap<ShardId, Held>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Every shard that anything was written of, in order.
    pub(super) fn all(&self) -> Vec<ShardId> {
        let mut shards: Vec<ShardId> = self.held().keys().copied().collect();
        shards.sort_unstable();
        shards
    }

    pub(super) fn books(&self, shard: ShardId) -> Books {
        self.held().get(&shard).map_or(Books::default(), |held| held.books)
    }

    pub(super) fn cursors(&self, shard: ShardId) -> Cursors {
        self.held().get(&shard).map_or(Cursors::default(), |held| held.cursors)
    }

    /// Adds to the books, and writes the totals with the group. A write that fails is never followed by one that succeeds,
    /// so there is nothing to take back.
    pub(super) fn add(&self, rows: &mut Rows, shard: ShardId, delta: &BookDelta) {
        let mut held = self.held();
        let books = &mut held.entry(shard).or_default().books;
        books.merge(delta);
        rows.insert(&self.keyspaces.shards, keys::books(shard), codec::encode_books(books));
    }

    /// Moves the cursors, forward only.
    pub(super) fn advance(&self, rows: &mut Rows, shard: ShardId, to: Cursors) {
        let mut held = self.held();
        let cursors = &mut held.entry(shard).or_default().cursors;
        let before = *cursors;
        cursors.task_block = before.task_block.max(to.task_block);
        cursors.timer_bucket = before.timer_bucket.max(to.timer_bucket);
        if *cursors != before {
            rows.insert(&self.keyspaces.shards, keys::cursors(shard), codec::encode_cursors(cursors));
        }
    }
}

/// No timer before this is read any more.
pub(super) fn timer_floor(cursors: Cursors) -> Timestamp {
    Timestamp(cursors.timer_bucket.saturating_mul(TIMER_BUCKET.as_millis() as u64))
}

/// Counts this opening of the store, and says how many there were: row numbers start anew above those of all before. The
/// row stands in the journal before any that relies on it, so it is durable when they are.
pub(super) fn count_opening(disk: &Disk) -> Result<u64, StoreError> {
    let read = |cause: fjall::Error| StoreError::from(disk.read_error(&cause));
    let before = disk.keyspaces.shards.get(OPENINGS).map_err(read)?;
    let count = before.map_or(Ok(0), |bytes| codec::decode_mark(&bytes))? + 1;
    disk.keyspaces.shards.insert(OPENINGS, codec::encode_mark(count)).map_err(read)?;
    Ok(count)
}

/// No shard packs to these four letters: their third byte is no lane.
const OPENINGS: &str = "openings";
