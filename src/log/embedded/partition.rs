//! One partition: its end, its commit, and the groups that were appended last.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use fjall::Slice;
use tokio::sync::watch;

use super::groups::unpack;
use crate::disk::{Disk, DiskError, Keyspaces, Rows};
use crate::domain::ShardId;
use crate::log::{LogError, ReadLimit};

pub(super) struct Partition {
    shard: ShardId,
    /// The next offset to give. Only the writing thread moves it; after a failed write some offsets stay unused.
    next: AtomicU64,
    /// The offset after the last durable record: readers wait for it to move.
    end: watch::Sender<u64>,
    /// Everything below is taken care of, as the owner says.
    committed: AtomicU64,
    /// The commit that was last written.
    marked: AtomicU64,
    /// Rows below this are deleted, or were at the opening.
    truncated: AtomicU64,
    tail: Mutex<Tail>,
}

/// The last groups, in order of their offsets, without a gap to the end.
#[derive(Default)]
struct Tail {
    groups: VecDeque<(u64, u64, Bytes)>,
    bytes: usize,
    /// Groups that became durable before one with lower offsets was published.
    ahead: Vec<(u64, u64, Bytes)>,
}

/// Memory for the tail of one partition.
const TAIL_BYTES_MAX: usize = 512 << 10;
/// A commit is written once it has moved so far, together with the next append, so that it costs no write of its own; after a
/// crash as many records are looked at again.
const MARK_EVERY: u64 = 256;
/// Rows deleted with one write, so that truncation never holds the others up.
const TRUNCATE_MAX: usize = 1024;

fn key(shard: ShardId, offset: u64) -> [u8; 12] {
    let mut key = [0; 12];
    key[..4].copy_from_slice(&shard.to_u32().to_be_bytes());
    key[4..].copy_from_slice(&offset.to_be_bytes());
    key
}

fn offset_of(key: &[u8]) -> u64 {
    key.last_chunk::<8>().map_or(0, |bytes| u64::from_be_bytes(*bytes))
}

/// Every shard that the log has ever had.
pub(super) fn known_shards(disk: &Disk) -> Result<Vec<ShardId>, LogError> {
    let mut shards = Vec::new();
    for mark in disk.keyspaces.log_marks.iter() {
        let key = mark.key().map_err(|cause| disk.read_error(&cause))?;
        shards.extend(key.first_chunk::<4>().and_then(|bytes| ShardId::from_u32(u32::from_be_bytes(*bytes))));
    }
    Ok(shards)
}

impl Partition {
    pub(super) fn open(disk: &Disk, shard: ShardId) -> Result<Self, LogError> {
        let read = |cause: fjall::Error| LogError::from(disk.read_error(&cause));
        let mark = disk.keyspaces.log_marks.get(shard.to_u32().to_be_bytes()).map_err(read)?;
        let committed = mark.map_or(0, |mark| offset_of(&mark));
        let mut end = committed;
        if let Some(last) = disk.keyspaces.log.range(key(shard, 0)..=key(shard, u64::MAX)).next_back() {
            let (key, value) = last.into_inner().map_err(read)?;
            end = end.max(offset_of(&key) + unpack(Bytes::from(value)).count() as u64);
        }
        Ok(Self {
            shard,
            next: AtomicU64::new(end),
            end: watch::channel(end).0,
            committed: AtomicU64::new(committed),
            marked: AtomicU64::new(committed),
            truncated: AtomicU64::new(0),
            tail: Mutex::default(),
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

    /// Adds a group to what is being written; its first offset. Called on the writing thread only.
    pub(super) fn append(&self, rows: &mut Rows, keyspaces: &Keyspaces, packed: Bytes, count: u64) -> u64 {
        let start = self.next.fetch_add(count, Ordering::Relaxed);
        if start == 0 {
            // The mark makes the shard known from its first record on.
            rows.insert(&keyspaces.log_marks, self.shard.to_u32().to_be_bytes(), Slice::from(0u64.to_be_bytes()));
        }
        rows.insert(&keyspaces.log, key(self.shard, start), Slice::from(packed));
        if self.committed().saturating_sub(self.marked.load(Ordering::Relaxed)) >= MARK_EVERY
            && let Err(error) = self.truncate(rows, keyspaces)
        {
            // The rows stay a while longer; the next one tries again.
            tracing::warn!(%error, shard = %self.shard, "cannot truncate the log");
        }
        start
    }

    /// The group is durable: readers may see it, once all before it are. A write that failed leaves a gap, which nobody
    /// publishes; but then the database takes no more writes either.
    pub(super) fn publish(&self, start: u64, count: u64, packed: Bytes) {
        let mut tail = self.tail();
        tail.ahead.push((start, count, packed));
        let mut end = self.end();
        while let Some(index) = tail.ahead.iter().position(|(start, _, _)| *start == end) {
            let (start, count, packed) = tail.ahead.swap_remove(index);
            end = start + count;
            tail.bytes += packed.len();
            tail.groups.push_back((start, count, packed));
        }
        while tail.bytes > TAIL_BYTES_MAX
            && let Some((_, _, oldest)) = tail.groups.pop_front()
        {
            tail.bytes -= oldest.len();
        }
        self.end.send_replace(end);
    }

    fn tail(&self) -> MutexGuard<'_, Tail> {
        self.tail.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Bodies from `from` on, with their offsets; empty if there is none yet.
    pub(super) fn read(&self, disk: &Disk, from: u64, limit: ReadLimit) -> Result<Vec<(u64, Bytes)>, LogError> {
        let mut page = Page { limit, bytes: 0, bodies: Vec::new() };
        let end = self.end();
        if from >= end {
            return Ok(page.bodies);
        }
        let groups: Option<Vec<(u64, Bytes)>> = {
            let tail = self.tail();
            let covered = tail.groups.front().is_some_and(|(start, _, _)| *start <= from);
            covered.then(|| {
                let behind = tail.groups.partition_point(|(start, count, _)| start + count <= from);
                let groups = tail.groups.iter().skip(behind).take(limit.records);
                groups.map(|(start, _, packed)| (*start, packed.clone())).collect()
            })
        };
        if let Some(groups) = groups {
            for (start, packed) in groups {
                if !page.add(start, packed, from) {
                    break;
                }
            }
            return Ok(page.bodies);
        }
        let first = self.row_at(disk, from)?.unwrap_or(from);
        for row in disk.keyspaces.log.range(key(self.shard, first)..key(self.shard, end)) {
            let (key, value) = row.into_inner().map_err(|cause| disk.read_error(&cause))?;
            if !page.add(offset_of(&key), Bytes::from(value), from) {
                break;
            }
        }
        Ok(page.bodies)
    }

    /// The first offset of the row that may hold `offset`.
    fn row_at(&self, disk: &Disk, offset: u64) -> Result<Option<u64>, DiskError> {
        let mut before = disk.keyspaces.log.range(key(self.shard, 0)..=key(self.shard, offset));
        let row = before.next_back().map(fjall::Guard::key).transpose().map_err(|cause| disk.read_error(&cause))?;
        Ok(row.map(|key| offset_of(&key)))
    }

    pub(super) fn record(&self, disk: &Disk, offset: u64) -> Result<Option<Bytes>, LogError> {
        let found = self.read(disk, offset, ReadLimit { records: 1, bytes: usize::MAX })?;
        Ok(found.into_iter().find(|(found, _)| *found == offset).map(|(_, body)| body))
    }

    /// Moves the commit; it is written with one of the next appends.
    pub(super) fn commit(&self, next: u64) {
        self.committed.fetch_max(next, Ordering::AcqRel);
    }

    /// Writes the commit and deletes what lies whole below it, as far as one write may.
    fn truncate(&self, rows: &mut Rows, keyspaces: &Keyspaces) -> Result<(), fjall::Error> {
        let committed = self.committed();
        self.marked.store(committed, Ordering::Relaxed);
        let mark = Slice::from(committed.to_be_bytes());
        rows.insert(&keyspaces.log_marks, self.shard.to_u32().to_be_bytes(), mark);
        let truncated = self.truncated.load(Ordering::Relaxed);
        let mut keys = Vec::new();
        // The row that holds the last committed record may hold others too: it goes when the next row is reached.
        for row in keyspaces.log.range(key(self.shard, truncated)..=key(self.shard, committed)).take(TRUNCATE_MAX + 1) {
            keys.push(row.key()?);
        }
        if let Some(last) = keys.pop() {
            self.truncated.store(offset_of(&last), Ordering::Relaxed);
        }
        for key in keys {
            rows.remove(&keyspaces.log, key);
        }
        Ok(())
    }
}

/// What a read has gathered.
struct Page {
    limit: ReadLimit,
    bytes: usize,
    bodies: Vec<(u64, Bytes)>,
}

impl Page {
    /// Adds a group's bodies from `from` on; whether there is room for more.
    fn add(&mut self, start: u64, packed: Bytes, from: u64) -> bool {
        for (index, body) in unpack(packed).enumerate() {
            let offset = start + index as u64;
            if offset < from {
                continue;
            }
            if self.bodies.len() >= self.limit.records || (self.bytes >= self.limit.bytes && !self.bodies.is_empty()) {
                return false;
            }
            self.bytes += body.len();
            self.bodies.push((offset, body));
        }
        true
    }
}
