//! What is held per shard as a whole: its books and its cursors, in memory and in one row each.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::keys;
use crate::disk::{Disk, Rows};
use crate::domain::ShardId;
use crate::store::{BookColumn, BookDelta, Books, Cursors, StoreError};

/// Written by the writing thread only, in the order of the writes; so the totals in a row are those of all rows before it.
pub(super) struct Shards {
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
                b"b" => entry.books = read_books(&value),
                b"c" => entry.cursors = read_cursors(&value),
                _ => {}
            }
        }
        Ok(Self { held: Mutex::new(held) })
    }

    fn held(&self) -> MutexGuard<'_, HashMap<ShardId, Held>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn books(&self, shard: ShardId) -> Books {
        self.held().get(&shard).map_or(Books::default(), |held| held.books)
    }

    pub(super) fn cursors(&self, shard: ShardId) -> Cursors {
        self.held().get(&shard).map_or(Cursors::default(), |held| held.cursors)
    }

    /// Adds to the books, and writes the totals with the group. A write that fails is never followed by one that succeeds,
    /// so there is nothing to take back.
    pub(super) fn add(&self, rows: &mut Rows, disk: &Disk, shard: ShardId, delta: &BookDelta) {
        let mut held = self.held();
        let books = &mut held.entry(shard).or_default().books;
        books.merge(delta);
        rows.insert(&disk.keyspaces.shards, keys::books(shard), write_books(books));
    }

    /// Moves the cursors, forward only; those before, if they moved.
    pub(super) fn advance(&self, rows: &mut Rows, disk: &Disk, shard: ShardId, to: Cursors) -> Option<Cursors> {
        let mut held = self.held();
        let cursors = &mut held.entry(shard).or_default().cursors;
        let before = *cursors;
        cursors.task_block = before.task_block.max(to.task_block);
        cursors.timer_bucket = before.timer_bucket.max(to.timer_bucket);
        if *cursors == before {
            return None;
        }
        rows.insert(&disk.keyspaces.shards, keys::cursors(shard), write_cursors(*cursors));
        Some(before)
    }
}

/// Counts this opening of the store, and says how many there were: row numbers start anew above those of all before. The
/// row stands in the journal before any that relies on it, so it is durable when they are.
pub(super) fn count_opening(disk: &Disk) -> Result<u64, StoreError> {
    let read = |cause: fjall::Error| StoreError::from(disk.read_error(&cause));
    let before = disk.keyspaces.shards.get(OPENINGS).map_err(read)?;
    let count =
        before.and_then(|bytes| bytes.first_chunk::<8>().map(|bytes| u64::from_be_bytes(*bytes))).unwrap_or(0) + 1;
    disk.keyspaces.shards.insert(OPENINGS, count.to_be_bytes()).map_err(read)?;
    Ok(count)
}

/// No shard packs to these four letters: their third byte is no lane.
const OPENINGS: &str = "openings";

/// The number of columns, then the counts.
fn write_books(books: &Books) -> Vec<u8> {
    let mut bytes = vec![BookColumn::COUNT as u8];
    for count in books.to_vec() {
        bytes.extend_from_slice(&count.to_be_bytes());
    }
    bytes
}

fn read_books(bytes: &[u8]) -> Books {
    let Some((columns, counts)) = bytes.split_first() else { return Books::default() };
    let counts: Vec<i64> =
        counts.chunks_exact(8).filter_map(|bytes| Some(i64::from_be_bytes(bytes.try_into().ok()?))).collect();
    Books::from_slice(usize::from(*columns), &counts)
}

fn write_cursors(cursors: Cursors) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(16);
    bytes.extend_from_slice(&cursors.task_block.to_be_bytes());
    bytes.extend_from_slice(&cursors.timer_bucket.to_be_bytes());
    bytes
}

fn read_cursors(bytes: &[u8]) -> Cursors {
    let number = |at: usize| bytes.get(at..at + 8).and_then(|bytes| Some(u64::from_be_bytes(bytes.try_into().ok()?)));
    Cursors { task_block: number(0).unwrap_or(0), timer_bucket: number(8).unwrap_or(0) }
}
