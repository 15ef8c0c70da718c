//! Marks of blocks that are written: there before the rows that they tell of. One that this process wrote a moment ago, in the same
//! minute, stands for the next writes as well.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::CqlStore;
use crate::domain::{ShardId, Timestamp};
use crate::store::{KeyedRows, MINUTE_MILLIS, StoreError, touched_row};

/// So long a mark stands for the writes after it: who follows the marks sees by their times whether there was more.
const FRESH: Duration = Duration::from_secs(5);
/// Of all shards; above, all are forgotten, which costs writing them again.
const KNOWN_MAX: usize = 50_000;

/// Marks that are in the table, and when they were made.
#[derive(Default)]
pub(super) struct KnownMarks {
    made: Mutex<HashMap<(ShardId, u64), Timestamp>>,
}

impl KnownMarks {
    fn made(&self) -> MutexGuard<'_, HashMap<(ShardId, u64), Timestamp>> {
        self.made.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the block was marked so lately that it stands for what is written now.
    fn is_fresh(&self, shard: ShardId, block: u64, now: Timestamp) -> bool {
        let is_fresh = |made: &Timestamp| minute(*made) == minute(now) && now.since(*made) < FRESH;
        self.made().get(&(shard, block)).is_some_and(is_fresh)
    }

    fn add(&self, shard: ShardId, blocks: &[u64], now: Timestamp) {
        let mut made = self.made();
        if made.len() + blocks.len() > KNOWN_MAX {
            made.clear();
        }
        made.extend(blocks.iter().map(|block| ((shard, *block), now)));
    }
}

fn minute(at: Timestamp) -> u64 {
    at.millis() / MINUTE_MILLIS
}

impl CqlStore {
    /// Marks blocks that are about to be written; the minute whose marks they have.
    pub(super) async fn mark(&self, shard: ShardId, blocks: &BTreeSet<u64>) -> Result<u64, StoreError> {
        let now = self.clock.now();
        let missing: Vec<u64> =
            blocks.iter().copied().filter(|block| !self.known_marks.is_fresh(shard, *block, now)).collect();
        if !missing.is_empty() {
            self.put_keyed(missing.iter().map(|block| touched_row(shard, *block, now)).collect()).await?;
            self.known_marks.add(shard, &missing, now);
        }
        Ok(minute(now))
    }

    /// Once more after the write, if it ended in a later minute: whoever followed the marks of the one before may have read the blocks
    /// too early.
    pub(super) async fn mark_again(
        &self,
        shard: ShardId,
        blocks: &BTreeSet<u64>,
        marked: u64,
    ) -> Result<(), StoreError> {
        if blocks.is_empty() || minute(self.clock.now()) == marked {
            return Ok(());
        }
        self.mark(shard, blocks).await.map(drop)
    }
}
