//! One partition: its end, its commit, and its rows.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use fjall::Slice;
use tokio::sync::watch;

use super::groups::{concat, unpack};
use super::tail::{Group, Page, Tail};
use crate::codec;
use crate::disk::{Disk, DiskError, Keyspaces, Rows};
use crate::domain::ShardId;
use crate::log::{LogError, ReadLimit};

pub(super) struct Partition {
    shard: ShardId,
    /// The offset after the last durable record: readers wait for it to move. Moved by the writing thread.
    end: watch::Sender<u64>,
    /// Everything below is taken care of, as the owner says.
    committed: AtomicU64,
    /// Written by the writing thread, read by readers.
    tail: Mutex<Tail>,
    /// Used by the writing thread only.
    writing: Mutex<Writing>,
}

struct Writing {
    /// The next offset to give. After a write that failed some offsets stay unused, but then nothing more is written either.
    next: u64,
    /// The commit that was last written.
    marked: u64,
    /// There are no rows below.
    truncated: u64,
    /// Of the group being written.
    chunks: Vec<Bytes>,
    group: Option<Group>,
}

/// A commit is written once it has moved so far, with whatever is written next: it costs no write of its own, and after a crash
/// no more records than this are looked at again.
const MARK_EVERY: u64 = 256;
/// Rows deleted with one write, so that truncation never holds the others up.
const TRUNCATE_MAX: usize = 1024;

impl Partition {
    pub(super) fn open(disk: &Disk, shard: ShardId, tail_bytes: usize) -> Result<Self, LogError> {
        let read = |cause: fjall::Error| LogError::from(disk.read_error(&cause));
        let mark = disk.keyspaces.shards.get(mark_key(shard)).map_err(read)?;
        let mark = mark.map(|mark| codec::decode_mark(&mark)).transpose();
        let committed = mark.map_err(|error| LogError::Failed(error.to_string()))?.unwrap_or(0);
        let (mut end, mut truncated) = (committed, committed);
        if let Some(first) = disk.keyspaces.log.range(key(shard, 0)..=key(shard, u64::MAX)).next() {
            truncated = offset_of(&first.key().map_err(read)?);
        }
        // The last row is never deleted, so that the end is known even when everything is committed.
        if let Some(last) = disk.keyspaces.log.range(key(shard, 0)..=key(shard, u64::MAX)).next_back() {
            let (key, value) = last.into_inner().map_err(read)?;
            end = end.max(offset_of(&key) + unpack(Bytes::from_owner(value)).count() as u64);
        }
        Ok(Self {
            shard,
            end: watch::channel(end).0,
            committed: AtomicU64::new(committed),
            tail: Mutex::new(Tail::new(tail_bytes)),
            writing: Mutex::new(Writing { next: end, marked: committed, truncated, chunks: Vec::new(), group: None }),
        })
    }

    pub(super) fn shard(&self) -> ShardId {
        self.shard
    }

    pub(super) fn committed(&self) -> u64 {
        self.committed.load(Ordering::Acquire)
    }

    pub(super) fn end(&self) -> u64 {
        *self.end.borrow()
    }

    pub(super) fn ends(&self) -> watch::Receiver<u64> {
        self.end.subscribe()
    }

    /// Moves the commit; it is written with one of the next groups.
    pub(super) fn commit(&self, next: u64) {
        let before = self.committed.fetch_max(next, Ordering::AcqRel);
        if next > before {
            self.tail().forget_below(next);
        }
    }

    fn tail(&self) -> MutexGuard<'_, Tail> {
        self.tail.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn writing(&self) -> MutexGuard<'_, Writing> {
        self.writing.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What the writing thread does.
impl Partition {
    /// Gives packed records their offsets: that of the first, and whether they are the first of the group.
    pub(super) fn stage_chunk(&self, packed: Bytes, count: u64) -> (u64, bool) {
        let mut writing = self.writing();
        let start = writing.next;
        let is_first = writing.chunks.is_empty();
        if is_first {
            writing.group = Some(Group { start, count: 0, packed: Bytes::new() });
        }
        writing.next += count;
        writing.chunks.push(packed);
        (start, is_first)
    }

    /// Adds the row of all that was staged.
    pub(super) fn stage_group(&self, rows: &mut Rows, keyspaces: &Keyspaces) {
        let mut writing = self.writing();
        let packed = concat(std::mem::take(&mut writing.chunks));
        let next = writing.next;
        let Some(group) = &mut writing.group else { return };
        group.count = next - group.start;
        group.packed = packed.clone();
        rows.insert(&keyspaces.log, key(self.shard, group.start), Slice::from(&packed[..]));
    }

    /// Readers may see the group if it is durable.
    pub(super) fn settle(&self, durable: bool) {
        let Some(group) = self.writing().group.take().filter(|_| durable) else { return };
        let end = group.end();
        self.tail().push(group);
        self.end.send_replace(end);
    }

    /// Writes the commit and deletes what lies below, once it is worth it.
    pub(super) fn stage_commit(&self, rows: &mut Rows, keyspaces: &Keyspaces) {
        let mut writing = self.writing();
        let committed = self.committed();
        if committed - writing.marked < MARK_EVERY {
            return;
        }
        self.mark(&mut writing, committed, rows, keyspaces);
        if let Err(error) = self.truncate(&mut writing, committed, rows, keyspaces) {
            // The rows stay a while longer; the next one tries again.
            tracing::warn!(%error, shard = %self.shard, "cannot truncate the log");
        }
    }

    /// Writes the commit if it has moved at all; up to where what is written is committed.
    pub(super) fn stage_last_commit(&self, rows: &mut Rows, keyspaces: &Keyspaces) -> u64 {
        let mut writing = self.writing();
        let committed = self.committed();
        if committed > writing.marked {
            self.mark(&mut writing, committed, rows, keyspaces);
        }
        writing.marked
    }

    fn mark(&self, writing: &mut Writing, committed: u64, rows: &mut Rows, keyspaces: &Keyspaces) {
        writing.marked = committed;
        rows.insert(&keyspaces.shards, mark_key(self.shard), codec::encode_mark(committed));
    }

    fn truncate(
        &self,
        writing: &mut Writing,
        committed: u64,
        rows: &mut Rows,
        keyspaces: &Keyspaces,
    ) -> Result<(), fjall::Error> {
        let below = keyspaces.log.range(key(self.shard, writing.truncated)..=key(self.shard, committed));
        let mut keys = below.take(TRUNCATE_MAX + 1).map(fjall::Guard::key).collect::<Result<Vec<_>, _>>()?;
        // The row of the last committed record may hold others too, and the last of all tells the end: it stays for now.
        if let Some(last) = keys.pop() {
            writing.truncated = offset_of(&last);
        }
        for key in keys {
            rows.remove(&keyspaces.log, key);
        }
        Ok(())
    }
}

/// What readers do.
impl Partition {
    /// Bodies from `from` on, with their offsets; empty if there is none.
    pub(super) async fn read(
        &self,
        disk: &std::sync::Arc<Disk>,
        from: u64,
        limit: ReadLimit,
    ) -> Result<Vec<(u64, Bytes)>, LogError> {
        let end = self.end();
        if from >= end {
            return Ok(Vec::new());
        }
        let held = self.tail().groups_from(from, limit);
        if let Some(groups) = held {
            let mut page = Page::new(from, limit);
            for group in groups {
                if !page.add(group.start, group.packed) {
                    break;
                }
            }
            return Ok(page.done());
        }
        let (disk, shard) = (disk.clone(), self.shard);
        let read = tokio::task::spawn_blocking(move || read_rows(&disk, shard, from..end, limit));
        Ok(read.await.map_err(|error| LogError::Failed(error.to_string()))??)
    }

    /// `None` also where it is committed: what became of it stands elsewhere, or nowhere any more.
    pub(super) async fn record(&self, disk: &std::sync::Arc<Disk>, offset: u64) -> Result<Option<Bytes>, LogError> {
        if offset < self.committed() {
            return Ok(None);
        }
        let found = self.read(disk, offset, ReadLimit { records: 1, bytes: usize::MAX }).await?;
        Ok(found.into_iter().find(|(found, _)| *found == offset).map(|(_, body)| body))
    }
}

fn read_rows(
    disk: &Disk,
    shard: ShardId,
    offsets: std::ops::Range<u64>,
    limit: ReadLimit,
) -> Result<Vec<(u64, Bytes)>, DiskError> {
    let read = |cause: fjall::Error| disk.read_error(&cause);
    let log = &disk.keyspaces.log;
    // The row that holds the first record starts at it or before.
    let before = log.range(key(shard, 0)..=key(shard, offsets.start)).next_back();
    let first = before.map(fjall::Guard::key).transpose().map_err(read)?.map_or(offsets.start, |key| offset_of(&key));
    let mut page = Page::new(offsets.start, limit);
    for row in log.range(key(shard, first)..key(shard, offsets.end)) {
        let (key, value) = row.into_inner().map_err(read)?;
        if !page.add(offset_of(&key), Bytes::from_owner(value)) {
            break;
        }
    }
    Ok(page.done())
}

fn key(shard: ShardId, offset: u64) -> [u8; 12] {
    let mut key = [0; 12];
    key[..4].copy_from_slice(&shard.to_u32().to_be_bytes());
    key[4..].copy_from_slice(&offset.to_be_bytes());
    key
}

fn offset_of(key: &[u8]) -> u64 {
    key.last_chunk::<8>().map_or(0, |bytes| u64::from_be_bytes(*bytes))
}

/// Among the store's rows of the shard, which have other kinds.
fn mark_key(shard: ShardId) -> [u8; 5] {
    let mut key = [b'm'; 5];
    key[..4].copy_from_slice(&shard.to_u32().to_be_bytes());
    key
}
