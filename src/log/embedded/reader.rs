//! Reads one partition.

use std::sync::Arc;

use async_trait::async_trait;

use super::partition::Partition;
use crate::disk::Disk;
use crate::domain::{Position, ShardId};
use crate::log::{LogError, PartitionReader, ReadLimit, Record};

pub(super) struct Reader {
    disk: Arc<Disk>,
    partition: Arc<Partition>,
}

impl Reader {
    pub(super) fn new(disk: Arc<Disk>, partition: Arc<Partition>) -> Self {
        Self { disk, partition }
    }
}

#[async_trait]
impl PartitionReader for Reader {
    fn shard(&self) -> ShardId {
        self.partition.shard()
    }

    fn committed(&self) -> u64 {
        self.partition.committed()
    }

    fn end(&self) -> u64 {
        self.partition.end()
    }

    async fn latest_end(&mut self) -> Result<u64, LogError> {
        Ok(self.end())
    }

    async fn read(&mut self, from: u64, limit: ReadLimit) -> Result<Vec<Record>, LogError> {
        let mut ends = self.partition.ends();
        // The partition, and with it the sender, lives as long as this reader.
        let _ = ends.wait_for(|end| *end > from).await;
        let bodies = self.partition.read(&self.disk, from, limit).await?;
        let shard = self.partition.shard();
        let record = |(offset, body)| Record { position: Position::new(shard, offset), body, foreign: None };
        Ok(bodies.into_iter().map(record).collect())
    }

    async fn commit(&self, next: u64) -> Result<(), LogError> {
        self.partition.commit(next);
        Ok(())
    }
}
