//! The log port: a durable, partitioned, ordered record of what was asked for.
//!
//! In: records from the API and other producers. Out: batches to the actor that owns a partition. Promise: a position
//! is given only once the record is durable, a partition is read in order from any position that was not released,
//! and each partition has one owner at a time.

mod embedded;
mod kafka;
mod outside;
mod spill;

#[cfg(test)]
pub(crate) mod conformance;

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;

pub use embedded::EmbeddedLog;
pub use kafka::{KafkaAdmin, KafkaLog, KafkaTail, Publication, TopicState};
pub use outside::{OutsideError, OutsideRecord, OutsideTopics};
pub use spill::SpillingLog;

use crate::domain::{Position, Priority, ShardId, Timestamp};

/// A record to append.
#[derive(Debug, Clone)]
pub struct NewRecord {
    pub lane: Priority,
    /// Chooses the partition: records of one key keep their order.
    pub key: u64,
    pub body: Bytes,
}

/// A record as read: its bytes are exactly those appended.
#[derive(Debug, Clone)]
pub struct Record {
    pub position: Position,
    pub body: Bytes,
    /// What came with a record that another program wrote; `None`: an acceptor of ours wrote it, in our own encoding.
    pub foreign: Option<Box<Foreign>>,
}

/// What another program said of the record that it wrote.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Foreign {
    /// The header `content-type`, as it came.
    pub content_type: Option<Box<str>>,
    /// The header `idempotency-key`, as it came.
    pub idempotency_key: Option<Bytes>,
    /// The header `tenant`, as it came.
    pub tenant: Option<Bytes>,
    /// Of a record in the topic of events: the headers of a CloudEvent in the binary mode, those among [`CLOUD_EVENT_HEADERS`].
    pub cloud_event: Vec<(&'static str, Bytes)>,
    /// When the log took the record.
    pub appended_at: Timestamp,
}

/// Headers of a CloudEvent in the binary mode that are read, as the Kafka protocol binding 1.0.2 spells them.
pub const CLOUD_EVENT_HEADERS: [&str; 9] = [
    "ce_specversion",
    "ce_id",
    "ce_source",
    "ce_type",
    "ce_subject",
    "ce_time",
    "ce_datacontenttype",
    "ce_dataschema",
    "ce_userid",
];

/// Where the engine tells others of its work, on a log that others read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outlet {
    /// Every event of every task.
    Deliveries,
    /// Records that could not be used, byte for byte.
    DeadLetters,
    /// What is known of users is about to change: for the nodes, which keep copies of it.
    Changes,
}

/// A record for others to read.
#[derive(Debug, Clone)]
pub struct Told {
    pub outlet: Outlet,
    /// Records of one key keep their order.
    pub key: Bytes,
    pub body: Bytes,
    pub headers: Vec<(&'static str, Bytes)>,
}

/// Why the log did not take or give records.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// Less space is left than `log.embedded.min_free` asks for: intake stops, what was accepted still goes out.
    #[error("the disk under the log is nearly full: free some space below `{path}`")]
    Full { path: String },
    /// More is being appended than the log takes; try again shortly.
    #[error("the log has more to write than it can hold: slow down")]
    Busy,
    #[error("the log failed: {0}")]
    Failed(String),
    /// The node no longer owns the partition.
    #[error("the partition {0} has another owner now")]
    Lost(ShardId),
}

/// The producing side, and the door to the consuming one.
#[async_trait]
pub trait Log: Send + Sync + 'static {
    /// Appends all records, in order per partition; returns their positions, in the order of `records`, once every one is
    /// durable. On an error none, some or all of them may have become durable.
    async fn append(&self, records: Vec<NewRecord>) -> Result<Vec<Position>, LogError>;

    /// One record by its position, if it is still held: for a look-up right after the append.
    async fn record(&self, position: Position) -> Result<Option<Record>, LogError>;

    /// Makes durable what was committed of a shard, and says up to where: no reader ever comes to a record below. 0: that cannot be
    /// said, since commits of a shared log may be lost.
    async fn committed(&self, _: ShardId) -> Result<u64, LogError> {
        Ok(0)
    }

    /// The offset after the last durable record of a shard, as far as this node knows.
    fn end(&self, shard: ShardId) -> u64;

    /// Begins to take part in consuming. Called once per node.
    async fn join(&self) -> Result<Box<dyn Membership>, LogError>;

    /// Whether an append would be taken now; the reason if not.
    fn writable(&self) -> Result<(), LogError>;

    /// Why appends are taken another way than they should be, if they are.
    fn degraded(&self) -> Option<String> {
        None
    }

    /// Whether others read this log: if not, there is nobody to tell.
    fn is_shared(&self) -> bool {
        false
    }

    /// The name that others know a lane by: where a record of it stands.
    fn topic(&self, lane: Priority) -> String {
        format!("fanfare.notifications.{}", lane.name())
    }

    /// The name of the topic of events.
    fn events_topic(&self) -> String {
        "fanfare.events".to_owned()
    }

    /// Begins to take part in reading the topic of events; its partitions are the shards of [`ShardId::of_events`]. Only of a log
    /// that is shared, and called once per node at a time.
    async fn join_events(&self) -> Result<Box<dyn Membership>, LogError> {
        Err(LogError::Failed("this log is one process's: it has no topic of events".to_owned()))
    }

    /// Tells others; durable on return. On an error none, some or all of them may have been told, and may be told again.
    async fn tell(&self, _: Vec<Told>) -> Result<(), LogError> {
        Ok(())
    }

    /// Where topics of programs are written to as well; none where the log has no topics that others read.
    fn outside(&self) -> Option<Arc<dyn OutsideTopics>> {
        None
    }

    /// Hears what any node tells from now on, itself included. Only of a log that is shared.
    async fn follow(&self, _: Outlet) -> Result<Box<dyn Follower>, LogError> {
        Err(LogError::Failed("this log is one process's: nobody else tells anything there".to_owned()))
    }
}

/// What is told at an outlet, as it comes.
#[async_trait]
pub trait Follower: Send {
    /// The next record's body; waits for it. What was told in one call by one node comes in its order. After an error nothing
    /// more comes: who follows again has missed something. Safe to drop and call again.
    async fn next(&mut self) -> Result<Bytes, LogError>;
}

/// This node's share of the partitions, as it changes.
#[async_trait]
pub trait Membership: Send {
    /// Waits for the next change. `None`: the log is closed. Safe to drop and call again.
    async fn next(&mut self) -> Option<OwnershipChange>;
}

/// A partition came or went.
pub enum OwnershipChange {
    /// This node owns the partition from now on.
    Assigned(Box<dyn PartitionReader>),
    /// The node is asked to let go: stop planning, then commit, then drop the reader.
    Revoked(ShardId),
    /// The partition is another's already: do not commit.
    Lost(ShardId),
}

/// How much a read may return: whichever bound is met first, and at least one record.
#[derive(Debug, Clone, Copy)]
pub struct ReadLimit {
    pub records: usize,
    pub bytes: usize,
}

/// One owned partition, read by pulling: who does not ask gets nothing, which is what pausing means.
#[async_trait]
pub trait PartitionReader: Send + Sync {
    fn shard(&self) -> ShardId;

    /// The first offset that was not committed: where a new owner starts.
    fn committed(&self) -> u64;

    /// The offset after the last durable record, as far as this node knows.
    fn end(&self) -> u64;

    /// The same, asked of the log itself: no record below it was appended after the call.
    async fn latest_end(&mut self) -> Result<u64, LogError>;

    /// This node works the partition from now on: where another one did before, how far that came is asked for.
    async fn take_up(&mut self) -> Result<(), LogError> {
        Ok(())
    }

    /// Reads records in order from `from`, waiting until there is one. Safe to drop and call again.
    async fn read(&mut self, from: u64, limit: ReadLimit) -> Result<Vec<Record>, LogError>;

    /// Everything below `next` is taken care of elsewhere, and may be forgotten by the log. Never moves backwards. Need
    /// not be durable on return: a commit that is lost only means that a record is read again.
    async fn commit(&self, next: u64) -> Result<(), LogError>;
}

/// A log as it is handed around.
pub type SharedLog = Arc<dyn Log>;
