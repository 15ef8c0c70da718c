//! One owned partition, as the member that owns it and its reader share it.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rdkafka::consumer::base_consumer::PartitionQueue;
use tokio::sync::Notify;

use super::desk::is_passing;
use super::rebalance::Rebalances;
use super::{locked, record, settings};
use crate::domain::ShardId;
use crate::log::{LogError, Record};

pub(super) struct Partition {
    pub(super) shard: ShardId,
    pub(super) topic: String,
    /// What was fetched and is not read; none once the partition is gone. The member puts it in and takes it out.
    queue: Mutex<Option<PartitionQueue<Rebalances>>>,
    /// Woken when the queue is no longer empty, and when it is gone.
    pub(super) wake: std::sync::Arc<Notify>,
    /// Everything below is taken care of; raised by the reader.
    done: AtomicU64,
    /// What the brokers know of it; written by the member.
    committed: AtomicU64,
    /// Whether a reader exists; the member waits for its end.
    reader: Mutex<bool>,
    reader_ended: Condvar,
}

/// What a look into the queue found.
pub(super) enum Fetched {
    Record(Record),
    /// Nothing is there yet.
    Nothing,
    /// The partition has another owner.
    Gone,
}

impl Partition {
    pub(super) fn new(shard: ShardId, topic: String, start: u64) -> Self {
        Self {
            shard,
            topic,
            queue: Mutex::default(),
            wake: std::sync::Arc::default(),
            done: AtomicU64::new(start),
            committed: AtomicU64::new(start),
            reader: Mutex::new(false),
            reader_ended: Condvar::new(),
        }
    }

    /// Begins to give records.
    pub(super) fn open(&self, mut queue: PartitionQueue<Rebalances>) {
        let wake = self.wake.clone();
        queue.set_nonempty_callback(move || wake.notify_one());
        *locked(&self.queue) = Some(queue);
    }

    /// Gives no more records: the partition is to be another's.
    pub(super) fn close(&self) {
        drop(locked(&self.queue).take());
        self.wake.notify_one();
    }

    pub(super) fn is_open(&self) -> bool {
        locked(&self.queue).is_some()
    }

    /// The next record that was fetched.
    pub(super) fn next(&self) -> Result<Fetched, LogError> {
        let queue = locked(&self.queue);
        let Some(queue) = queue.as_ref() else { return Ok(Fetched::Gone) };
        match queue.poll(Duration::ZERO) {
            Some(Ok(message)) => Ok(Fetched::Record(record::take(&message, self.shard))),
            Some(Err(error)) if is_passing(&error) => {
                tracing::debug!(shard = %self.shard, reason = settings::reason(&error), "cannot read for the moment");
                Ok(Fetched::Nothing)
            }
            Some(Err(error)) => Err(settings::failed(&format!("read the topic `{}`", self.topic), &error)),
            None => Ok(Fetched::Nothing),
        }
    }

    /// Everything below this is taken care of.
    pub(super) fn done(&self) -> u64 {
        self.done.load(Ordering::Acquire)
    }

    pub(super) fn raise_done(&self, next: u64) {
        self.done.fetch_max(next, Ordering::AcqRel);
    }

    /// What is to be told to the brokers, if they do not know it.
    pub(super) fn uncommitted(&self) -> Option<u64> {
        let done = self.done();
        (done > self.committed.load(Ordering::Relaxed)).then_some(done)
    }

    pub(super) fn set_committed(&self, offset: u64) {
        self.committed.fetch_max(offset, Ordering::Relaxed);
    }

    pub(super) fn reader_begins(&self) {
        *locked(&self.reader) = true;
    }

    pub(super) fn reader_ends(&self) {
        *locked(&self.reader) = false;
        self.reader_ended.notify_all();
    }

    /// Waits until no reader is left, but not longer than until `deadline`; whether it is so. Blocks.
    pub(super) fn wait_for_reader(&self, deadline: Instant) -> bool {
        let left = deadline.saturating_duration_since(Instant::now());
        let waited = self.reader_ended.wait_timeout_while(locked(&self.reader), left, |reads| *reads);
        let (reads, _) = waited.unwrap_or_else(PoisonError::into_inner);
        !*reads
    }
}
