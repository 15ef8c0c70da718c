//! Reads one partition, from the queue that librdkafka fills ahead of it.

use std::sync::{Arc, Weak};
use std::time::Duration;

use async_trait::async_trait;
use rdkafka::Offset;
use rdkafka::consumer::{BaseConsumer, Consumer};

use super::desk::Desk;
use super::partition::{Fetched, Partition};
use super::rebalance::{DELETED, Rebalances};
use super::topics::blocking;
use super::{Parts, settings};
use crate::domain::ShardId;
use crate::log::{LogError, PartitionReader, ReadLimit, Record};

/// The queue is looked at this often even if nothing woke the reader.
const LOOK_INTERVAL: Duration = Duration::from_millis(500);

/// Records that are read and left away rather than asked anew from a later one.
const SKIPPED_MAX: u64 = 5_000;

/// How often a seek is tried, for ten seconds: a partition that has just been assigned does not take it before librdkafka has
/// learnt from where it would read.
const SEEKS_MAX: u32 = 200;

/// The pause between two tries, and the longest one may take.
const SEEK_PAUSE: Duration = Duration::from_millis(50);
const SEEK_WAIT_MAX: Duration = Duration::from_secs(2);

/// Offsets that may be left out between two records without a question: marks of transactions and what was aborted. What is
/// deleted goes by whole segments.
const GAP_MAX: u64 = 100;

pub(super) struct Reader {
    partition: Arc<Partition>,
    parts: Arc<Parts>,
    desk: Arc<Desk>,
    consumer: Weak<BaseConsumer<Rebalances>>,
    /// The offset that the queue goes on with; none: not known.
    next: Option<u64>,
    /// What was taken from the queue, and did not fit.
    held: Option<Record>,
}

impl Reader {
    /// `next`: the offset that the queue begins with, if it is known.
    pub(super) fn new(
        partition: Arc<Partition>,
        parts: Arc<Parts>,
        desk: Arc<Desk>,
        consumer: Weak<BaseConsumer<Rebalances>>,
        next: Option<u64>,
    ) -> Self {
        partition.reader_begins();
        Self { partition, parts, desk, consumer, next, held: None }
    }

    /// Has the queue go on with `from`.
    async fn go_to(&mut self, from: u64) -> Result<(), LogError> {
        let is_ahead = |next: u64| (next..=next.saturating_add(SKIPPED_MAX)).contains(&from);
        if self.next.is_some_and(is_ahead) {
            return Ok(());
        }
        (self.next, self.held) = (None, None);
        let offset = Offset::Offset(i64::try_from(from).unwrap_or(i64::MAX));
        let mut pauses = tokio::time::interval(SEEK_PAUSE);
        let mut tried = 0;
        loop {
            pauses.tick().await;
            let Some(consumer) = self.consumer.upgrade().filter(|_| self.partition.is_open()) else {
                return Err(LogError::Lost(self.shard()));
            };
            let partition = self.partition.clone();
            let number = i32::from(partition.shard.partition);
            let sought = blocking(move || consumer.seek(&partition.topic, number, offset, SEEK_WAIT_MAX)).await?;
            tried += 1;
            match sought {
                Ok(()) => break,
                Err(error) if tried >= SEEKS_MAX => {
                    return Err(settings::failed("read from an earlier record", &error));
                }
                Err(_) => {}
            }
        }
        self.next = Some(from);
        Ok(())
    }

    /// Says so where records were deleted that nobody had read: librdkafka goes on with the next that is there.
    fn look_for_deleted(&self, expected: u64) {
        let Some(consumer) = self.consumer.upgrade() else { return };
        let partition = self.partition.clone();
        // Beside the reading, which need not know.
        drop(tokio::task::spawn_blocking(move || {
            let number = i32::from(partition.shard.partition);
            let Ok((first, _)) = consumer.fetch_watermarks(&partition.topic, number, SEEK_WAIT_MAX) else { return };
            let deleted = u64::try_from(first).unwrap_or(0).saturating_sub(expected);
            if deleted > 0 {
                tracing::error!(shard = %partition.shard, deleted, "{DELETED}");
            }
        }));
    }

    /// What the queue has from `from` on; nothing if it is empty.
    fn fetched(&mut self, from: u64, limit: ReadLimit) -> Result<Vec<Record>, LogError> {
        let (mut records, mut bytes) = (Vec::new(), 0);
        while records.len() < limit.records.max(1) {
            let record = match self.held.take() {
                Some(record) => record,
                None => match self.partition.next()? {
                    Fetched::Record(record) => record,
                    Fetched::Nothing => break,
                    Fetched::Gone if records.is_empty() => return Err(LogError::Lost(self.shard())),
                    Fetched::Gone => break,
                },
            };
            let offset = record.position.offset;
            if let Some(next) = self.next.filter(|next| offset < *next) {
                (self.next, self.held) = (None, None);
                return Err(self.parts.went_back(self.shard(), offset, next));
            }
            if offset < from {
                self.next = Some(offset + 1);
                continue;
            }
            bytes += record.body.len();
            if bytes > limit.bytes && !records.is_empty() {
                self.held = Some(record);
                break;
            }
            self.next = Some(offset + 1);
            records.push(record);
        }
        Ok(records)
    }
}

#[async_trait]
impl PartitionReader for Reader {
    fn shard(&self) -> ShardId {
        self.partition.shard
    }

    fn committed(&self) -> u64 {
        self.partition.done()
    }

    fn end(&self) -> u64 {
        self.parts.ends.of(self.shard())
    }

    async fn latest_end(&mut self) -> Result<u64, LogError> {
        self.desk.end(self.shard()).await
    }

    async fn read(&mut self, from: u64, limit: ReadLimit) -> Result<Vec<Record>, LogError> {
        self.go_to(from).await?;
        loop {
            let expected = self.next.map(|next| next.max(from));
            let records = self.fetched(from, limit)?;
            if let (Some(first), Some(expected)) = (records.first(), expected)
                && first.position.offset - expected > GAP_MAX
            {
                self.look_for_deleted(expected);
            }
            if let Some(last) = records.last() {
                let end = last.position.offset + 1;
                self.parts.ends.raise(std::iter::once((self.shard(), end)));
                return Ok(records);
            }
            let _ = tokio::time::timeout(LOOK_INTERVAL, self.partition.wake.notified()).await;
        }
    }

    async fn commit(&self, next: u64) -> Result<(), LogError> {
        if !self.partition.is_open() {
            return Err(LogError::Lost(self.shard()));
        }
        self.partition.raise_done(next);
        Ok(())
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.partition.reader_ends();
    }
}
