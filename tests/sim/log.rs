//! The log as one node reaches it: some partitions, given to nodes that may learn late that they were taken away again.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use async_trait::async_trait;
use bytes::Bytes;
use fanfare::domain::{Position, ShardId};
use fanfare::log::{Log, LogError, Membership, NewRecord, OwnershipChange, PartitionReader, ReadLimit, Record};
use tokio::sync::{Notify, mpsc};

use super::host::Host;
use super::variant::Variant;
use super::world::World;

/// One partition.
#[derive(Default)]
pub struct Topic {
    /// In the order of their offsets, between which there are gaps.
    pub records: Vec<(u64, Bytes)>,
    pub end: u64,
    pub committed: u64,
    /// Whom it is given to: the number of a node's run, and how often it was given away before.
    pub owner: Option<(usize, u64)>,
    pub given: u64,
}

/// All partitions.
#[derive(Default)]
pub struct Topics {
    topics: Mutex<BTreeMap<ShardId, Topic>>,
    appended: Notify,
}

impl Topics {
    pub fn all(&self) -> MutexGuard<'_, BTreeMap<ShardId, Topic>> {
        self.topics.lock().expect("one thread")
    }

    pub fn append(&self, shard: ShardId, gap: u64, body: Bytes) -> Position {
        let mut topics = self.all();
        let topic = topics.entry(shard).or_default();
        let offset = topic.end + gap;
        topic.records.push((offset, body));
        topic.end = offset + 1;
        drop(topics);
        self.appended.notify_waiters();
        Position::new(shard, offset)
    }
}

/// What a node is told of a partition.
#[derive(Debug, Clone, Copy)]
pub enum Told {
    Assigned(ShardId, u64),
    Revoked(ShardId),
    Lost(ShardId),
}

pub struct SimLog {
    pub world: Arc<World>,
    pub host: Arc<Host>,
    /// Taken when the node joins.
    pub changes: Mutex<Option<mpsc::Receiver<Told>>>,
}

#[async_trait]
impl Log for SimLog {
    async fn append(&self, records: Vec<NewRecord>) -> Result<Vec<Position>, LogError> {
        self.host.pass().await;
        let shards: Vec<ShardId> = self.world.topics.all().keys().copied().collect();
        let of_lane = |lane| shards.iter().find(|shard| shard.lane == lane).or(shards.first()).copied();
        let append = |record: NewRecord| {
            let shard = of_lane(record.lane).ok_or_else(|| LogError::Failed("there is no partition".into()))?;
            Ok(self.world.topics.append(shard, 0, record.body))
        };
        records.into_iter().map(append).collect()
    }

    async fn record(&self, position: Position) -> Result<Option<Record>, LogError> {
        let topics = self.world.topics.all();
        let topic = topics.get(&position.shard);
        let found = topic.and_then(|topic| topic.records.iter().find(|(offset, _)| *offset == position.offset));
        Ok(found.map(|(_, body)| Record { position, body: body.clone(), foreign: None }))
    }

    fn end(&self, shard: ShardId) -> u64 {
        self.world.topics.all().get(&shard).map_or(0, |topic| topic.end)
    }

    async fn join(&self) -> Result<Box<dyn Membership>, LogError> {
        let changes = self.changes.lock().expect("one thread").take();
        let changes = changes.ok_or_else(|| LogError::Failed("it joined before".into()))?;
        Ok(Box::new(Member { world: self.world.clone(), host: self.host.clone(), changes }))
    }

    fn writable(&self) -> Result<(), LogError> {
        Ok(())
    }

    fn is_shared(&self) -> bool {
        true
    }
}

struct Member {
    world: Arc<World>,
    host: Arc<Host>,
    changes: mpsc::Receiver<Told>,
}

#[async_trait]
impl Membership for Member {
    async fn next(&mut self) -> Option<OwnershipChange> {
        self.host.pass().await;
        let Some(told) = self.changes.recv().await else { return std::future::pending().await };
        self.world.note(format_args!("{} {told:?}", self.host.name));
        Some(match told {
            Told::Assigned(shard, given) => OwnershipChange::Assigned(self.reader(shard, given)),
            Told::Revoked(shard) => OwnershipChange::Revoked(shard),
            Told::Lost(shard) => OwnershipChange::Lost(shard),
        })
    }
}

impl Member {
    fn reader(&self, shard: ShardId, given: u64) -> Box<dyn PartitionReader> {
        let committed = self.world.topics.all().get(&shard).map_or(0, |topic| topic.committed);
        Box::new(Reader {
            world: self.world.clone(),
            host: self.host.clone(),
            shard,
            given,
            committed: AtomicU64::new(committed),
        })
    }
}

struct Reader {
    world: Arc<World>,
    host: Arc<Host>,
    shard: ShardId,
    /// Which of the partition's givings away this reader came with.
    given: u64,
    committed: AtomicU64,
}

impl Reader {
    fn records(&self, from: u64, limit: usize) -> Vec<Record> {
        let mut topics = self.world.topics.all();
        let Some(topic) = topics.get_mut(&self.shard) else { return Vec::new() };
        let first = topic.records.partition_point(|(offset, _)| *offset < from);
        let record = |(offset, body): &(u64, Bytes)| Record {
            position: Position::new(self.shard, *offset),
            body: body.clone(),
            foreign: None,
        };
        let records: Vec<Record> = topic.records[first..].iter().take(limit).map(record).collect();
        if self.world.variant == Variant::CommitFirst
            && let Some(last) = records.last()
        {
            topic.committed = topic.committed.max(last.position.offset + 1);
        }
        records
    }
}

#[async_trait]
impl PartitionReader for Reader {
    fn shard(&self) -> ShardId {
        self.shard
    }

    fn committed(&self) -> u64 {
        self.committed.load(Ordering::SeqCst)
    }

    fn end(&self) -> u64 {
        self.world.topics.all().get(&self.shard).map_or(0, |topic| topic.end)
    }

    async fn latest_end(&mut self) -> Result<u64, LogError> {
        self.host.pass().await;
        let (fails, wait) = (self.world.fails(0.02), self.world.rng().millis(1, 20));
        tokio::time::sleep(wait).await;
        self.host.pass().await;
        if fails { Err(LogError::Failed("as the simulation wants it".into())) } else { Ok(self.end()) }
    }

    async fn read(&mut self, from: u64, limit: ReadLimit) -> Result<Vec<Record>, LogError> {
        loop {
            self.host.pass().await;
            let mut appended = std::pin::pin!(self.world.topics.appended.notified());
            appended.as_mut().enable();
            let some = self.world.rng().between(1, 6) as usize;
            let records = self.records(from, limit.records.min(some));
            if !records.is_empty() {
                let wait = self.world.rng().millis(1, 10);
                tokio::time::sleep(wait).await;
                self.host.pass().await;
                return Ok(records);
            }
            appended.await;
        }
    }

    async fn commit(&self, next: u64) -> Result<(), LogError> {
        self.host.pass().await;
        self.committed.fetch_max(next, Ordering::SeqCst);
        let is_lost = self.world.fails(0.1);
        let mut topics = self.world.topics.all();
        let Some(topic) = topics.get_mut(&self.shard) else { return Err(LogError::Lost(self.shard)) };
        if topic.owner != Some((self.host.number, self.given)) {
            return Err(LogError::Lost(self.shard));
        }
        if !is_lost {
            topic.committed = topic.committed.max(next);
        }
        Ok(())
    }
}
