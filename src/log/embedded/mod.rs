//! The log in the embedded database.
//!
//! One row per group commit and partition: key = shard (4 bytes) and first offset (8 bytes), both big-endian; value = the
//! records, each with its length before it. So a record costs far less than a row. The newest rows are kept in memory,
//! where the readers usually find them. What lies below the commit is deleted, mostly before it was ever written out.

mod groups;
mod partition;
mod partitions;
mod reader;
mod tail;

#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use tokio::sync::mpsc;

use super::{Log, LogError, Membership, NewRecord, OwnershipChange, Record};
use crate::disk::{Disk, DiskError, Rows, Traffic, Urgency};
use crate::domain::{Position, Priority, ShardId};
use partitions::Partitions;
use reader::Reader;

/// About what the row of a commit has.
const MARK_BYTES: usize = 64;

/// The log in the embedded database.
pub struct EmbeddedLog {
    disk: Arc<Disk>,
    partitions: Arc<Partitions>,
}

impl EmbeddedLog {
    /// Opens the log with so many partitions per priority. There may be more than before, but not fewer while the ones to go
    /// hold records that are not committed.
    pub fn open(disk: Arc<Disk>, partitions: u16) -> Result<Arc<Self>, LogError> {
        let partitions = Arc::new(Partitions::open(&disk, partitions)?);
        disk.ride(partitions.clone());
        Ok(Arc::new(Self { disk, partitions }))
    }
}

#[async_trait]
impl Log for EmbeddedLog {
    async fn append(&self, records: Vec<NewRecord>) -> Result<Vec<Position>, LogError> {
        self.writable()?;
        // One append is one write, so one that is critical in part has no claim to the room of what is critical.
        let is_critical = records.iter().all(|record| record.lane == Priority::Critical);
        let (traffic, urgency) =
            if is_critical { (Traffic::Critical, Urgency::Now) } else { (Traffic::Intake, Urgency::Shared) };
        let mut places = Vec::with_capacity(records.len());
        let mut by_partition: HashMap<usize, Vec<Bytes>> = HashMap::new();
        for record in records {
            let partition = self.partitions.choose(record.lane, record.key);
            let bodies = by_partition.entry(partition).or_default();
            places.push((partition, bodies.len() as u64));
            bodies.push(record.body);
        }
        let chunks: Vec<_> = by_partition
            .into_iter()
            .map(|(partition, bodies)| (partition, groups::pack(&bodies), bodies.len() as u64))
            .collect();
        let bytes = chunks.iter().map(|(_, packed, _)| packed.len()).sum();
        let partitions = self.partitions.clone();
        let staged = self.disk.write(traffic, urgency, bytes, move |_| {
            let stage = |(partition, packed, count)| (partition, partitions.stage_chunk(partition, packed, count));
            chunks.into_iter().map(stage).collect::<HashMap<usize, u64>>()
        });
        let first = staged.await?;
        let position =
            |(partition, index)| Position::new(self.partitions.at(partition).shard(), first[&partition] + index);
        Ok(places.into_iter().map(position).collect())
    }

    async fn record(&self, position: Position) -> Result<Option<Record>, LogError> {
        let Some(partition) = self.partitions.find(position.shard) else { return Ok(None) };
        let body = partition.record(&self.disk, position.offset).await?;
        Ok(body.map(|body| Record { position, body, foreign: None }))
    }

    async fn committed(&self, shard: ShardId) -> Result<u64, LogError> {
        let Some(partition) = self.partitions.find(shard) else { return Ok(0) };
        let (partition, keyspaces) = (partition.clone(), self.disk.keyspaces.clone());
        let write = move |rows: &mut Rows| partition.stage_last_commit(rows, &keyspaces);
        Ok(self.disk.write(Traffic::Outcomes, Urgency::Patient, MARK_BYTES, write).await?)
    }

    fn end(&self, shard: ShardId) -> u64 {
        self.partitions.find(shard).map_or(0, |partition| partition.end())
    }

    async fn join(&self) -> Result<Box<dyn Membership>, LogError> {
        let all = self.partitions.all();
        let (assign, assigned) = mpsc::channel(all.len().max(1));
        for partition in all {
            let reader = Reader::new(self.disk.clone(), partition.clone());
            // The channel holds as many as there are partitions.
            let _ = assign.try_send(OwnershipChange::Assigned(Box::new(reader)));
        }
        Ok(Box::new(OnlyMember { assigned, _assign: assign }))
    }

    fn writable(&self) -> Result<(), LogError> {
        Ok(self.disk.has_room(Traffic::Intake)?)
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
            DiskError::Busy => LogError::Busy,
            error => LogError::Failed(error.to_string()),
        }
    }
}
