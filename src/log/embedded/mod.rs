//! The log in the embedded database.
//!
//! One row per append group and partition: key = shard (4 bytes) and first offset (8 bytes), both big-endian; value = the
//! records, each with its length before it. So a record costs far less than a row. The newest groups are kept in memory,
//! where the readers usually find them. A second table holds, per shard, the commit; what lies below it is deleted.

mod groups;
mod partition;
mod reader;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use tokio::sync::mpsc;

use super::{Log, LogError, Membership, NewRecord, OwnershipChange, Record};
use crate::disk::{Disk, DiskError};
use crate::domain::{Position, Priority, ShardId};
use partition::Partition;
use reader::Reader;

/// The log in the embedded database.
pub struct EmbeddedLog {
    disk: Arc<Disk>,
    partitions: BTreeMap<ShardId, Arc<Partition>>,
    /// Of each priority's topic.
    count: u16,
}

impl EmbeddedLog {
    /// Opens the log with so many partitions per priority. There may be more than before, but not fewer while the ones to go
    /// hold records that are not committed.
    pub fn open(disk: Arc<Disk>, partitions: u16) -> Result<Arc<Self>, LogError> {
        let known = partition::known_shards(&disk)?;
        let mut all = BTreeMap::new();
        for lane in Priority::ALL {
            for number in 0..partitions {
                let shard = ShardId { generation: 0, lane, partition: number };
                all.insert(shard, Arc::new(Partition::open(&disk, shard)?));
            }
        }
        for shard in known.into_iter().filter(|shard| !all.contains_key(shard)) {
            let partition = Partition::open(&disk, shard)?;
            if partition.committed() < partition.end() {
                return Err(LogError::Failed(format!(
                    "partition {shard} still holds records, but `log.partitions` is {partitions}: start once more with at \
                     least {} and let it drain",
                    shard.partition + 1
                )));
            }
        }
        Ok(Arc::new(Self { disk, partitions: all, count: partitions }))
    }

    fn shard_of(&self, record: &NewRecord) -> ShardId {
        ShardId { generation: 0, lane: record.lane, partition: (record.key % u64::from(self.count)) as u16 }
    }
}

#[async_trait]
impl Log for EmbeddedLog {
    async fn append(&self, records: Vec<NewRecord>) -> Result<Vec<Position>, LogError> {
        self.writable()?;
        let mut by_shard: HashMap<ShardId, Vec<Bytes>> = HashMap::new();
        let mut places = Vec::with_capacity(records.len());
        for record in records {
            let shard = self.shard_of(&record);
            let bodies = by_shard.entry(shard).or_default();
            places.push((shard, bodies.len() as u64));
            bodies.push(record.body);
        }
        let mut groups = Vec::with_capacity(by_shard.len());
        for (shard, bodies) in by_shard {
            let partition = self.partitions.get(&shard).ok_or(LogError::Lost(shard))?.clone();
            groups.push((partition, groups::pack(&bodies), bodies.len() as u64));
        }
        let keyspaces = self.disk.keyspaces.clone();
        let written = self.disk.write(move |rows| {
            let starts: Vec<_> = groups
                .iter()
                .map(|(partition, packed, count)| partition.append(rows, &keyspaces, packed.clone(), *count))
                .collect();
            (groups, starts)
        });
        let (groups, starts) = written.await?;
        let mut first = HashMap::with_capacity(groups.len());
        for ((partition, packed, count), start) in groups.into_iter().zip(starts) {
            first.insert(partition.shard(), start);
            partition.publish(start, count, packed);
        }
        Ok(places.into_iter().map(|(shard, index)| Position::new(shard, first[&shard] + index)).collect())
    }

    async fn record(&self, position: Position) -> Result<Option<Record>, LogError> {
        let Some(partition) = self.partitions.get(&position.shard) else { return Ok(None) };
        let body = partition.record(&self.disk, position.offset)?;
        Ok(body.map(|body| Record { position, body }))
    }

    fn end(&self, shard: ShardId) -> u64 {
        self.partitions.get(&shard).map_or(0, |partition| partition.end())
    }

    async fn join(&self) -> Result<Box<dyn Membership>, LogError> {
        let (assign, assigned) = mpsc::channel(self.partitions.len().max(1));
        for partition in self.partitions.values() {
            let reader = Reader::new(self.disk.clone(), partition.clone());
            // The channel holds as many as there are partitions.
            let _ = assign.try_send(OwnershipChange::Assigned(Box::new(reader)));
        }
        Ok(Box::new(OnlyMember { assigned, _assign: assign }))
    }

    fn writable(&self) -> Result<(), LogError> {
        if self.disk.has_room() { Ok(()) } else { Err(LogError::Full { path: self.disk.dir().display().to_string() }) }
    }
}

/// The one node that owns everything, for as long as it lives.
struct OnlyMember {
    assigned: mpsc::Receiver<OwnershipChange>,
    /// Kept, so that waiting for a further change waits.
    _assign: mpsc::Sender<OwnershipChange>,
}

#[async_trait]
impl Membership for OnlyMember {
    async fn next(&mut self) -> Option<OwnershipChange> {
        self.assigned.recv().await
    }
}

impl From<DiskError> for LogError {
    fn from(error: DiskError) -> Self {
        match error {
            DiskError::Full { dir } => LogError::Full { path: dir.display().to_string() },
            error => LogError::Failed(error.to_string()),
        }
    }
}
