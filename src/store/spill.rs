//! What is accepted while the log cannot be written: a log in the store, for as long as that lasts.
//!
//! A shard of the spill has one writer for ever, the process that took its slot, and any number of readers. The writer begins an
//! append only when everything below is durable, so what a reader finds without a gap is whole.

use async_trait::async_trait;
use bytes::Bytes;

use super::StoreError;
use crate::domain::ShardId;

#[async_trait]
pub trait SpillRows: Send + Sync + 'static {
    /// The slot of a process, the same whenever it asks; a number that no other process ever had or will have.
    async fn take_slot(&self, process: &str) -> Result<u16, StoreError>;

    /// Makes the shard known to those who read, before its first record.
    async fn open_spill(&self, shard: ShardId) -> Result<(), StoreError>;

    /// Writes one body for each offset from `first` on, over what may stand there; durable on return. An empty body makes an
    /// offset that has no record. On an error none, some or all of them may be there, or come later.
    async fn append_spill(&self, shard: ShardId, first: u64, bodies: &[Bytes]) -> Result<(), StoreError>;

    /// The rows from `from` on that follow each other without a gap, in their order: up to `records`, and no more once there
    /// are `bytes`.
    async fn read_spill(
        &self,
        shard: ShardId,
        from: u64,
        records: usize,
        bytes: usize,
    ) -> Result<Vec<(u64, Bytes)>, StoreError>;

    /// An offset that no row at or above `from` reaches; `from` where there is none.
    async fn spill_end(&self, shard: ShardId, from: u64) -> Result<u64, StoreError>;

    /// Every shard that may have work, with the offset below which everything was planned.
    async fn spill_shards(&self) -> Result<Vec<(ShardId, u64)>, StoreError>;

    /// Everything below `next` was planned.
    async fn commit_spill(&self, shard: ShardId, next: u64) -> Result<(), StoreError>;
}
