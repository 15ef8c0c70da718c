//! The log on Kafka, shared by nodes and with other programs.
//!
//! A lane is a topic, a shard is one of its partitions, and an offset is Kafka's. Records are appended by two idempotent
//! producers (`producer.rs`), read by four members of one consumer group (`member.rs`, `rebalance.rs`, `reader.rs`), and
//! looked up by a consumer that belongs to no group (`desk.rs`). Critical traffic has a producer and a consumer for itself.
//!
//! Offsets are committed for whoever owns the partition next, and are no fence: who may plan and send, leases decide.
//! See docs/decisions/0013-kafka.md.

mod producer;
mod completion;
mod member;
mod rebalance;
mod partition;
mod reader;
mod record;
mod desk;
mod topics;
mod contact;
mod settings;
mod admin;
mod follower;
mod outside;

#[cfg(test)]
mod tests;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use rustc_hash::FxHashMap;

pub use admin::{KafkaAdmin, KafkaTail, Publication, TopicState};

use super::{Follower, Log, LogError, Membership, NewRecord, Outlet, OutsideTopics, Record, Told};
use crate::config;
use crate::domain::{Position, Priority, ShardId};
use contact::Contact;
use desk::Desk;
use outside::Outside;
use producer::Producers;
use topics::Topics;

/// The log on Kafka.
pub struct KafkaLog {
    parts: Arc<Parts>,
    producers: Producers,
    desk: Arc<Desk>,
    outside: Arc<Outside>,
}

/// What producers, members and look-ups share.
struct Parts {
    kafka: config::Kafka,
    topics: Topics,
    contact: Arc<Contact>,
    ends: Ends,
}

impl Parts {
    /// Whether records came to stand where none stood before.
    fn check_above(&self, shards: &[ShardId], offsets: &[u64], ends_before: &[u64]) -> Result<(), LogError> {
        let places = shards.iter().zip(offsets).zip(ends_before);
        match places.into_iter().find(|((_, offset), end)| offset < end) {
            Some(((shard, offset), end)) => Err(self.went_back(*shard, *offset, *end)),
            None => Ok(()),
        }
    }

    /// A record stands at `offset`, of which another was read or acknowledged before: offsets are parts of ids, and ids that
    /// exist would come again. From now on nothing is appended.
    fn went_back(&self, shard: ShardId, offset: u64, end: u64) -> LogError {
        let (topic, number) = (self.topics.of(shard), shard.partition);
        if shard.is_events() {
            // No id is made of such an offset: whoever reads begins anew, and nothing else stops.
            let reason = format!(
                "the topic `{topic}` was deleted and made anew, or lost records: partition {number} has a record at {offset}, \
                 and went up to {end} before: start the nodes again"
            );
            return LogError::Failed(reason);
        }
        let reason = format!(
            "the topic `{topic}` was deleted and made anew, or lost records: partition {number} has a new record at {offset}, and \
             went up to {end} before: raise `log.kafka.generation` by one on all nodes, and start again"
        );
        self.contact.stale(reason.clone());
        LogError::Failed(reason)
    }
}

impl KafkaLog {
    /// Reaches the brokers, and creates the topics that are missing with so many partitions for each priority.
    pub async fn open(settings: &config::Log) -> Result<Arc<Self>, LogError> {
        let kafka = settings.kafka.clone();
        let contact = Arc::new(Contact::default());
        let topics = Topics::open(&kafka, settings.partitions, &contact).await?;
        let producers = Producers::new(&kafka, &contact)?;
        let parts = Arc::new(Parts { kafka, topics, contact, ends: Ends::default() });
        let desk = Arc::new(Desk::start(&parts)?);
        learn_ends(&desk).await?;
        Ok(Arc::new(Self { parts, producers, desk, outside: Outside::new(settings) }))
    }
}

/// How often the ends are asked for: topics that were just created have no leader for a moment.
const LOOKS_MAX: usize = 40;
const LOOK_INTERVAL: Duration = Duration::from_millis(250);

async fn learn_ends(desk: &Desk) -> Result<(), LogError> {
    let mut looks = tokio::time::interval(LOOK_INTERVAL);
    for _ in 1..LOOKS_MAX {
        looks.tick().await;
        if desk.learn_ends().await.is_ok() {
            return Ok(());
        }
    }
    desk.learn_ends().await
}

#[async_trait]
impl Log for KafkaLog {
    async fn append(&self, records: Vec<NewRecord>) -> Result<Vec<Position>, LogError> {
        self.parts.contact.usable()?;
        let topics = &self.parts.topics;
        let shards: Vec<ShardId> = records.iter().map(|record| topics.choose(record.lane, record.key)).collect();
        let ends_before = self.parts.ends.of_each(&shards);
        let offsets = self.producers.append(&records, &shards, topics).await?;
        self.parts.check_above(&shards, &offsets, &ends_before)?;
        let positions = shards.into_iter().zip(offsets).map(|(shard, offset)| Position::new(shard, offset));
        let positions: Vec<Position> = positions.collect();
        self.parts.ends.raise(positions.iter().map(|position| (position.shard, position.offset + 1)));
        Ok(positions)
    }

    async fn record(&self, position: Position) -> Result<Option<Record>, LogError> {
        if !self.parts.topics.has(position.shard) {
            return Ok(None);
        }
        self.desk.record(position).await
    }

    fn end(&self, shard: ShardId) -> u64 {
        self.parts.ends.of(shard)
    }

    async fn join(&self) -> Result<Box<dyn Membership>, LogError> {
        Ok(Box::new(member::join(&self.parts, &self.desk)?))
    }

    fn writable(&self) -> Result<(), LogError> {
        self.parts.contact.writable()
    }

    fn is_shared(&self) -> bool {
        true
    }

    fn topic(&self, lane: Priority) -> String {
        self.parts.topics.lane(lane).to_owned()
    }

    fn events_topic(&self) -> String {
        self.parts.topics.events().to_owned()
    }

    async fn join_events(&self) -> Result<Box<dyn Membership>, LogError> {
        Ok(Box::new(member::join_events(&self.parts, &self.desk)?))
    }

    async fn tell(&self, records: Vec<Told>) -> Result<(), LogError> {
        self.producers.tell(&records, &self.parts.topics).await
    }

    fn outside(&self) -> Option<Arc<dyn OutsideTopics>> {
        Some(self.outside.clone())
    }

    async fn follow(&self, outlet: Outlet) -> Result<Box<dyn Follower>, LogError> {
        follower::follow(&self.parts, outlet).await
    }
}

/// The ends of partitions as far as this node knows: from its own appends, from what it read, and from asking now and then.
#[derive(Debug, Default)]
struct Ends(Mutex<FxHashMap<ShardId, u64>>);

impl Ends {
    fn of(&self, shard: ShardId) -> u64 {
        locked(&self.0).get(&shard).copied().unwrap_or(0)
    }

    fn of_each(&self, shards: &[ShardId]) -> Vec<u64> {
        let ends = locked(&self.0);
        shards.iter().map(|shard| ends.get(shard).copied().unwrap_or(0)).collect()
    }

    /// An end never goes back.
    fn raise(&self, known: impl Iterator<Item = (ShardId, u64)>) {
        let mut ends = locked(&self.0);
        for (shard, end) in known {
            let held = ends.entry(shard).or_default();
            *held = end.max(*held);
        }
    }
}

/// What a lock guards is whole at each step, so that a panic elsewhere does not spoil it.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
