//! Taking away what is over: notifications that nobody works on any more, a block at a time.

use async_trait::async_trait;

use super::StoreError;
use crate::domain::ShardId;

/// What is held of notifications, taken away.
#[async_trait]
pub trait Drops: Send + Sync + 'static {
    /// Every shard of which something is or was held, in order.
    async fn shards(&self) -> Result<Vec<ShardId>, StoreError> {
        Ok(Vec::new())
    }

    /// Drops what is held of these offsets of one block: plans, events and what stands under them as leaders; where it does not expire by
    /// itself, their entries in the histories of users too. How many plans were there. The books, claims and timers stay as they are. Once
    /// more it changes nothing. Whoever calls it sees to it that the tasks are over, that no cursor and no reader of the log will come to the
    /// offsets again, and that nobody else drops of the same block meanwhile.
    async fn drop_offsets(&self, shard: ShardId, block: u64, offsets: &[u64]) -> Result<usize, StoreError> {
        let _ = (shard, block, offsets);
        Ok(0)
    }
}
