//! All partitions, and their part in each group commit.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;

use super::partition::Partition;
use crate::disk::{Disk, DiskError, Keyspaces, Rider, Rows};
use crate::domain::{Priority, ShardId};
use crate::log::LogError;

pub(super) struct Partitions {
    keyspaces: Keyspaces,
    /// By priority, then number.
    all: Vec<Arc<Partition>>,
    /// Of each priority.
    count: usize,
    /// Those that the group being written appends to. Locked by the writing thread only.
    touched: Mutex<Vec<usize>>,
}

/// Memory for the newest records of all partitions together; they share it with the write buffers until these are written out.
const TAILS_BYTES: usize = 16 << 20;
/// What each gets at least: some groups.
const TAIL_BYTES_MIN: usize = 64 << 10;

impl Partitions {
    pub(super) fn open(disk: &Disk, count: u16) -> Result<Self, LogError> {
        if count == 0 {
            return Err(LogError::Failed("`log.partitions` is 0: a log has at least one".into()));
        }
        let count = usize::from(count);
        let tail_bytes = (TAILS_BYTES / (count * Priority::ALL.len())).max(TAIL_BYTES_MIN);
        let mut all = Vec::with_capacity(count * Priority::ALL.len());
        for lane in Priority::ALL {
            for partition in 0..count as u16 {
                let shard = ShardId { generation: 0, lane, partition };
                all.push(Arc::new(Partition::open(disk, shard, tail_bytes)?));
            }
        }
        for shard in known_shards(disk)?.into_iter().filter(|shard| usize::from(shard.partition) >= count) {
            let partition = Partition::open(disk, shard, tail_bytes)?;
            if partition.committed() < partition.end() {
                return Err(LogError::Failed(format!(
                    "partition {shard} still holds records, but `log.partitions` is {count}: start once more with at least \
                     {} and let it drain",
                    shard.partition + 1
                )));
            }
        }
        Ok(Self { keyspaces: disk.keyspaces.clone(), all, count, touched: Mutex::default() })
    }

    pub(super) fn all(&self) -> &[Arc<Partition>] {
        &self.all
    }

    /// Records of one key are in one partition.
    pub(super) fn choose(&self, lane: Priority, key: u64) -> usize {
        lane.index() * self.count + (key % self.count as u64) as usize
    }

    pub(super) fn at(&self, index: usize) -> &Arc<Partition> {
        &self.all[index]
    }

    pub(super) fn find(&self, shard: ShardId) -> Option<&Arc<Partition>> {
        let number = usize::from(shard.partition);
        (shard.generation == 0 && number < self.count).then(|| self.at(shard.lane.index() * self.count + number))
    }

    /// Adds records to the group being written; the offset of the first. On the writing thread only.
    pub(super) fn stage_chunk(&self, partition: usize, packed: Bytes, count: u64) -> u64 {
        let (start, is_first) = self.at(partition).stage_chunk(packed, count);
        if is_first {
            self.touched().push(partition);
        }
        start
    }

    fn touched(&self) -> MutexGuard<'_, Vec<usize>> {
        self.touched.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Rider for Partitions {
    fn stage(&self, rows: &mut Rows) -> Result<(), DiskError> {
        for partition in &self.all {
            partition.stage_commit(rows, &self.keyspaces);
        }
        for partition in self.touched().iter() {
            self.at(*partition).stage_group(rows, &self.keyspaces);
        }
        Ok(())
    }

    fn settle(&self, durable: bool) {
        for partition in self.touched().drain(..) {
            self.at(partition).settle(durable);
        }
    }

    fn close(&self, rows: &mut Rows) {
        for partition in &self.all {
            partition.stage_last_commit(rows, &self.keyspaces);
        }
    }
}

/// Every shard that the log has ever had: those that hold records, and those with a mark.
fn known_shards(disk: &Disk) -> Result<BTreeSet<ShardId>, LogError> {
    let read = |cause: fjall::Error| LogError::from(disk.read_error(&cause));
    let mut shards = BTreeSet::new();
    // From each shard's first row straight to the next shard.
    let mut after: Option<u32> = None;
    loop {
        let from = after.map_or(Some(0), |shard| shard.checked_add(1));
        let Some(from) = from else { return Ok(shards) };
        let Some(row) = disk.keyspaces.log.range(from.to_be_bytes().to_vec()..).next() else { return Ok(shards) };
        let key = row.key().map_err(read)?;
        let Some(packed) = key.first_chunk::<4>().map(|bytes| u32::from_be_bytes(*bytes)) else { return Ok(shards) };
        shards.extend(ShardId::from_u32(packed));
        after = Some(packed);
    }
}
