//! What happens when partitions move. All of it runs on the member's own thread, which polls.
//!
//! A partition that is asked back is first closed for the engine: its reader is to be dropped within [`RELEASE_WAIT_MAX`],
//! then its offset is committed, then it is given up. One that is lost is somebody else's already: nothing is committed.

use std::sync::{Arc, Mutex, OnceLock, Weak};
use std::time::{Duration, Instant};

use rdkafka::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer, ConsumerContext};
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::types::RDKafkaRespErr;
use rdkafka::{Offset, TopicPartitionList};
use rustc_hash::FxHashMap;

use super::desk::{Desk, offsets};
use super::member::Inbox;
use super::partition::Partition;
use super::reader::Reader;
use super::{Parts, contact, locked, settings};
use crate::domain::ShardId;
use crate::log::OwnershipChange;

/// How long the engine has to let go of a partition: the whole group waits for it.
const RELEASE_WAIT_MAX: Duration = Duration::from_millis(800);

/// How long the brokers may take to say what was committed.
const OFFSETS_WAIT_MAX: Duration = Duration::from_secs(5);

/// What an operator is told of records that were lost.
pub(super) const DELETED: &str = "records were deleted before they were read: the topic keeps them too shortly";

pub(super) struct Rebalances {
    parts: Arc<Parts>,
    desk: Arc<Desk>,
    inbox: Arc<Inbox>,
    /// The consumer that this belongs to; set right after both exist.
    consumer: OnceLock<Weak<BaseConsumer<Rebalances>>>,
    /// What this member owns.
    owned: Mutex<FxHashMap<ShardId, Arc<Partition>>>,
    /// What was assigned while nobody could say from where to read.
    unplaced: Mutex<Vec<(String, i32)>>,
}

/// From where a partition is read.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Start {
    At(u64),
    /// So many records were deleted before anybody read them.
    AfterDeleted {
        at: u64,
        deleted: u64,
    },
    /// The topic was made anew: it has not grown to what was committed.
    MadeAnew {
        committed: u64,
        end: u64,
    },
}

/// Decides from where to read: from the committed offset, if it lies within what the log holds.
pub(super) fn start(committed: Option<u64>, first: u64, end: u64) -> Start {
    match committed {
        Some(committed) if committed > end => Start::MadeAnew { committed, end },
        Some(committed) if committed < first => Start::AfterDeleted { at: first, deleted: first - committed },
        Some(committed) => Start::At(committed),
        None => Start::At(first),
    }
}

impl Rebalances {
    pub(super) fn new(parts: &Arc<Parts>, desk: &Arc<Desk>, inbox: &Arc<Inbox>) -> Self {
        Self {
            parts: parts.clone(),
            desk: desk.clone(),
            inbox: inbox.clone(),
            consumer: OnceLock::new(),
            owned: Mutex::default(),
            unplaced: Mutex::default(),
        }
    }

    pub(super) fn belongs_to(&self, consumer: &Arc<BaseConsumer<Rebalances>>) {
        let _ = self.consumer.set(Arc::downgrade(consumer));
    }

    fn assigned(&self, consumer: &BaseConsumer<Rebalances>, partitions: &mut TopicPartitionList) {
        match self.starts(consumer, partitions) {
            Ok(starts) => {
                for mut element in partitions.elements() {
                    let place = (element.topic().to_owned(), element.partition());
                    if let Some((_, start)) = starts.iter().find(|(found, _)| *found == place) {
                        let at = match start {
                            Start::At(at) | Start::AfterDeleted { at, .. } => *at,
                            Start::MadeAnew { end, .. } => *end,
                        };
                        // An offset of the log fits: it came as one.
                        let _ = element.set_offset(Offset::Offset(i64::try_from(at).unwrap_or(i64::MAX)));
                    }
                }
                let readers: Vec<Reader> = starts
                    .into_iter()
                    .filter_map(|((topic, number), start)| self.own(topic, number, start, true))
                    .collect();
                self.take(consumer, partitions);
                self.announce(readers);
            }
            Err(error) => {
                // The group needs its answer now; the partitions are announced when their places are known.
                tracing::warn!(reason = settings::reason(&error), "cannot ask for committed offsets: trying again");
                let places = partitions.elements().into_iter().map(|one| (one.topic().to_owned(), one.partition()));
                locked(&self.unplaced).extend(places);
                // Without a place librdkafka asks for the committed one by itself, and reads nothing ever if that is refused.
                // The reader seeks before it reads.
                if let Err(error) = partitions.set_all_offsets(Offset::End) {
                    tracing::error!(reason = settings::reason(&error), "cannot give partitions a place");
                }
                self.take(consumer, partitions);
            }
        }
    }

    fn take(&self, consumer: &BaseConsumer<Rebalances>, partitions: &TopicPartitionList) {
        if let Err(error) = consumer.incremental_assign(partitions) {
            tracing::error!(reason = settings::reason(&error), "cannot take partitions over");
        }
    }

    fn announce(&self, readers: Vec<Reader>) {
        for reader in readers {
            self.inbox.push(OwnershipChange::Assigned(Box::new(reader)));
        }
    }

    /// Tries again to announce what could not be placed when it was assigned.
    pub(super) fn place(&self, consumer: &BaseConsumer<Rebalances>) {
        let mut partitions = TopicPartitionList::new();
        for (topic, number) in locked(&self.unplaced).iter() {
            partitions.add_partition(topic, *number);
        }
        if partitions.count() == 0 {
            return;
        }
        if let Ok(starts) = self.starts(consumer, &partitions) {
            locked(&self.unplaced).clear();
            let own = |((topic, number), start)| self.own(topic, number, start, false);
            self.announce(starts.into_iter().filter_map(own).collect());
        }
    }

    /// From where each partition is read. Blocks.
    fn starts(
        &self,
        consumer: &BaseConsumer<Rebalances>,
        partitions: &TopicPartitionList,
    ) -> KafkaResult<Vec<((String, i32), Start)>> {
        let committed = consumer.committed_offsets(partitions.clone(), OFFSETS_WAIT_MAX)?;
        let firsts = offsets(consumer, &self.parts.topics, partitions, Offset::Beginning, OFFSETS_WAIT_MAX)?;
        let ends = offsets(consumer, &self.parts.topics, partitions, Offset::End, OFFSETS_WAIT_MAX)?;
        self.parts.ends.raise(ends.iter().copied());
        let (firsts, ends): (FxHashMap<_, _>, FxHashMap<_, _>) =
            (firsts.into_iter().collect(), ends.into_iter().collect());
        let mut starts = Vec::with_capacity(committed.count());
        for element in committed.elements() {
            element.error()?;
            let Some(shard) = self.parts.topics.shard(element.topic(), element.partition()) else { continue };
            let committed = match element.offset() {
                Offset::Offset(offset) => u64::try_from(offset).ok(),
                _ => None,
            };
            let (first, end) =
                (firsts.get(&shard).copied().unwrap_or(0), ends.get(&shard).copied().unwrap_or(u64::MAX));
            let start = match start(committed, first, end) {
                Start::MadeAnew { committed, .. } if shard.is_events() => {
                    // No id is made of its offsets, so that nothing has to stop: all that is there is new.
                    tracing::warn!(%shard, committed, "the topic of events was made anew: reading it from its begin");
                    Start::At(first)
                }
                start => start,
            };
            starts.push(((element.topic().to_owned(), element.partition()), start));
        }
        Ok(starts)
    }

    /// Makes a partition ours; its reader, or none if it must not be read.
    fn own(&self, topic: String, number: i32, start: Start, is_placed: bool) -> Option<Reader> {
        let consumer = self.consumer.get()?;
        let shard = self.parts.topics.shard(&topic, number)?;
        let at = match start {
            Start::At(at) => at,
            Start::AfterDeleted { at, deleted } => {
                tracing::error!(%shard, deleted, "{DELETED}");
                at
            }
            Start::MadeAnew { committed, end } => {
                self.parts.contact.stale(format!(
                    "the topic `{topic}` was deleted and made anew: partition {number} ends at {end}, and {committed} is \
                     committed: raise `log.kafka.generation` by one, and start again"
                ));
                return None;
            }
        };
        let queue = consumer.upgrade()?.split_partition_queue(&topic, number)?;
        let partition = Arc::new(Partition::new(shard, topic, at));
        partition.open(queue);
        locked(&self.owned).insert(shard, partition.clone());
        let next = is_placed.then_some(at);
        Some(Reader::new(partition, self.parts.clone(), self.desk.clone(), consumer.clone(), next))
    }

    fn revoked(&self, consumer: &BaseConsumer<Rebalances>, partitions: &TopicPartitionList) {
        let named: Vec<ShardId> = partitions
            .elements()
            .iter()
            .filter_map(|one| self.parts.topics.shard(one.topic(), one.partition()))
            .collect();
        if consumer.assignment_lost() {
            tracing::warn!(
                partitions = named.len(),
                "the brokers took this node for gone, and gave its partitions away"
            );
            self.lose(&named);
        } else {
            self.release(consumer, &named);
        }
        let is_named = |place: &(String, i32)| partitions.find_partition(&place.0, place.1).is_some();
        locked(&self.unplaced).retain(|place| !is_named(place));
        if let Err(error) = consumer.incremental_unassign(partitions) {
            tracing::warn!(reason = settings::reason(&error), "cannot give partitions back");
        }
    }

    fn disown(&self, shards: &[ShardId]) -> Vec<Arc<Partition>> {
        let mut owned = locked(&self.owned);
        shards.iter().filter_map(|shard| owned.remove(shard)).collect()
    }

    fn lose(&self, shards: &[ShardId]) {
        for partition in self.disown(shards) {
            partition.close();
            self.inbox.withdraw(partition.shard, OwnershipChange::Lost(partition.shard));
        }
    }

    /// Asks the engine to let go, waits a moment for it, and commits.
    fn release(&self, consumer: &BaseConsumer<Rebalances>, shards: &[ShardId]) {
        let released = self.disown(shards);
        for partition in &released {
            self.inbox.withdraw(partition.shard, OwnershipChange::Revoked(partition.shard));
        }
        let deadline = Instant::now() + RELEASE_WAIT_MAX;
        for partition in &released {
            if !partition.wait_for_reader(deadline) {
                tracing::warn!(shard = %partition.shard, "the partition goes while it is still being worked on");
            }
            // What comes later is not committed: another may read it by then.
            partition.close();
        }
        self.commit(consumer, &released, CommitMode::Sync);
    }

    /// Lets go of everything, in order: the member leaves.
    pub(super) fn release_all(&self, consumer: &BaseConsumer<Rebalances>) {
        let all: Vec<ShardId> = locked(&self.owned).keys().copied().collect();
        self.release(consumer, &all);
    }

    /// Tells the brokers what is done since the last time; the answer comes to the callback.
    pub(super) fn commit_done(&self, consumer: &BaseConsumer<Rebalances>) {
        let owned: Vec<Arc<Partition>> = locked(&self.owned).values().cloned().collect();
        self.commit(consumer, &owned, CommitMode::Async);
    }

    fn commit(&self, consumer: &BaseConsumer<Rebalances>, partitions: &[Arc<Partition>], mode: CommitMode) {
        let mut list = TopicPartitionList::new();
        for partition in partitions {
            if let Some(offset) = partition.uncommitted().and_then(|offset| i64::try_from(offset).ok()) {
                let number = i32::from(partition.shard.partition);
                let _ = list.add_partition_offset(&partition.topic, number, Offset::Offset(offset));
            }
        }
        if list.count() == 0 {
            return;
        }
        if let Err(error) = consumer.commit(&list, mode) {
            // What is not committed is read again by the next owner, who finds it planned.
            tracing::warn!(reason = settings::reason(&error), "cannot commit");
        }
    }
}

impl ClientContext for Rebalances {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, text: &str) {
        contact::log_line(level, facility, text);
    }

    fn error(&self, error: KafkaError, text: &str) {
        self.parts.contact.heard(&error, text);
    }
}

impl ConsumerContext for Rebalances {
    fn rebalance(&self, consumer: &BaseConsumer<Self>, error: RDKafkaRespErr, partitions: &mut TopicPartitionList) {
        match error {
            RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS => self.assigned(consumer, partitions),
            _ => self.revoked(consumer, partitions),
        }
    }

    fn commit_callback(&self, result: KafkaResult<()>, offsets: &TopicPartitionList) {
        if let Err(error) = result {
            // It is tried again with the next.
            tracing::debug!(reason = settings::reason(&error), "a commit failed");
            return;
        }
        let owned = locked(&self.owned);
        for element in offsets.elements() {
            let shard = self.parts.topics.shard(element.topic(), element.partition());
            let partition = shard.and_then(|shard| owned.get(&shard));
            if let (Some(partition), Offset::Offset(offset), Ok(())) = (partition, element.offset(), element.error()) {
                partition.set_committed(u64::try_from(offset).unwrap_or(0));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reading_starts_at_what_was_committed_if_the_log_holds_it() {
        for (committed, first, end, expected) in [
            (None, 0, 0, Start::At(0)),
            (None, 40, 90, Start::At(40)),
            (Some(50), 40, 90, Start::At(50)),
            (Some(90), 40, 90, Start::At(90)),
            (Some(30), 40, 90, Start::AfterDeleted { at: 40, deleted: 10 }),
            (Some(91), 40, 90, Start::MadeAnew { committed: 91, end: 90 }),
        ] {
            assert_eq!(start(committed, first, end), expected);
        }
    }
}
