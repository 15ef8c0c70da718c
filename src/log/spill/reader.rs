//! A shard of the spill, read by whoever has its lease. Nobody tells a reader of new records, so it looks.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;

use super::Parts;
use crate::clock::Moment;
use crate::domain::{Position, ShardId};
use crate::log::{LogError, PartitionReader, ReadLimit, Record};
use crate::store::StoreError;

/// How often a reader looks for records.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);

/// The same of a shard that has had nothing for [`IDLE_LOOKS`] looks: most slots belong to processes that are gone.
const IDLE_INTERVAL: Duration = Duration::from_secs(5);
const IDLE_LOOKS: u32 = 60;

/// How often a commit is written; a new owner looks at as many records again, and finds that they were planned.
const COMMIT_INTERVAL: Duration = Duration::from_secs(1);

pub(super) struct SpillReader {
    parts: Arc<Parts>,
    shard: ShardId,
    commit: Mutex<Commit>,
}

#[derive(Debug, Clone, Copy)]
struct Commit {
    /// Everything below was planned.
    done: u64,
    /// What the store knows of it.
    written: u64,
    written_at: Moment,
}

impl SpillReader {
    pub(super) fn new(parts: Arc<Parts>, shard: ShardId, committed: u64) -> Self {
        let commit = Commit { done: committed, written: committed, written_at: Moment::default() };
        Self { parts, shard, commit: Mutex::new(commit) }
    }

    /// Writes the commit if there is a new one and the last is not too young.
    async fn write_commit(&self) -> Result<(), StoreError> {
        let now = self.parts.clock.moment();
        let done = {
            let mut commit = self.commit();
            if commit.done == commit.written || now.since(commit.written_at) < COMMIT_INTERVAL {
                return Ok(());
            }
            commit.written_at = now;
            commit.done
        };
        self.parts.rows.commit_spill(self.shard, done).await?;
        let mut commit = self.commit();
        commit.written = commit.written.max(done);
        Ok(())
    }

    fn commit(&self) -> MutexGuard<'_, Commit> {
        self.commit.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl PartitionReader for SpillReader {
    fn shard(&self) -> ShardId {
        self.shard
    }

    fn committed(&self) -> u64 {
        self.commit().done
    }

    fn end(&self) -> u64 {
        self.parts.end(self.shard).max(self.committed())
    }

    async fn latest_end(&mut self) -> Result<u64, LogError> {
        let end = self.parts.rows.spill_end(self.shard, self.committed()).await.map_err(super::failed)?;
        self.parts.raise_end(self.shard, end);
        Ok(end)
    }

    async fn take_up(&mut self) -> Result<(), LogError> {
        let shards = self.parts.rows.spill_shards().await.map_err(super::failed)?;
        if let Some((_, committed)) = shards.into_iter().find(|(shard, _)| *shard == self.shard) {
            let mut commit = self.commit();
            commit.written = committed;
            commit.done = commit.done.max(committed);
        }
        Ok(())
    }

    async fn read(&mut self, mut from: u64, limit: ReadLimit) -> Result<Vec<Record>, LogError> {
        let mut looks = 0;
        loop {
            if let Err(error) = self.write_commit().await {
                tracing::debug!(%error, shard = %self.shard, "cannot write a commit: trying again");
            }
            match self.parts.rows.read_spill(self.shard, from, limit.records.max(1), limit.bytes).await {
                Ok(rows) if !rows.is_empty() => {
                    from += rows.len() as u64;
                    self.parts.raise_end(self.shard, from);
                    let record =
                        |(offset, body)| Record { position: Position::new(self.shard, offset), body, foreign: None };
                    // Where a write failed there is nothing.
                    let records: Vec<Record> =
                        rows.into_iter().filter(|(_, body)| !body.is_empty()).map(record).collect();
                    if !records.is_empty() {
                        return Ok(records);
                    }
                    continue;
                }
                Ok(_) => {}
                // An outage of the store is no reason to restart: what is there stays there.
                Err(error) => tracing::warn!(%error, shard = %self.shard, "cannot read the spill: trying again"),
            }
            looks += 1;
            let pause = if looks > IDLE_LOOKS { IDLE_INTERVAL } else { LOOK_INTERVAL };
            self.parts.clock.sleep(pause).await;
        }
    }

    async fn commit(&self, next: u64) -> Result<(), LogError> {
        {
            let mut commit = self.commit();
            commit.done = commit.done.max(next);
        }
        self.write_commit().await.map_err(super::failed)
    }
}
