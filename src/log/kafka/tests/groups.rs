//! Members that come and go.

use std::collections::{BTreeMap, BTreeSet};

use rdkafka::admin::{NewTopic, TopicReplication};
use rdkafka::consumer::{CommitMode, Consumer};
use rdkafka::{Offset, TopicPartitionList};

use super::*;

/// What a node does with its membership: keeps readers, lets go when it is asked to.
struct Node {
    membership: Box<dyn Membership>,
    readers: BTreeMap<ShardId, Box<dyn PartitionReader>>,
    lost: usize,
}

impl Node {
    async fn join(log: &Arc<KafkaLog>) -> Self {
        Self { membership: log.join().await.expect("joined"), readers: BTreeMap::new(), lost: 0 }
    }

    /// Takes what comes, and lets go of what goes, until there are so many readers.
    async fn until(&mut self, count: usize) {
        while self.readers.len() != count {
            self.step().await;
        }
    }

    async fn step(&mut self) {
        match self.membership.next().await.expect("the membership goes on") {
            OwnershipChange::Assigned(reader) => {
                self.readers.insert(reader.shard(), reader);
            }
            OwnershipChange::Revoked(shard) => drop(self.readers.remove(&shard)),
            OwnershipChange::Lost(shard) => {
                self.lost += 1;
                self.readers.remove(&shard);
            }
        }
    }

    fn shards(&self) -> BTreeSet<ShardId> {
        self.readers.keys().copied().collect()
    }

    /// Reads everything there is, and commits half of it; what was read above what was committed before.
    async fn work(&mut self) -> BTreeMap<ShardId, (u64, u64)> {
        let mut seen = BTreeMap::new();
        for (shard, reader) in &mut self.readers {
            let from = reader.committed();
            let end = reader.latest_end().await.expect("asked");
            let mut next = from;
            while next < end {
                let records = in_time("reading", reader.read(next, ALL)).await.expect("read");
                assert_eq!(records[0].position.offset, next, "nothing is skipped");
                next += records.len() as u64;
            }
            reader.commit(from + (next - from) / 2).await.expect("committed");
            seen.insert(*shard, (from, next));
        }
        seen
    }
}

#[tokio::test]
async fn members_share_the_partitions_and_nothing_is_skipped_when_one_comes_or_goes() {
    let Some(broker) = OnBroker::new() else { return };
    let first_log = broker.log(2).await;
    first_log.append(Priority::ALL.iter().flat_map(|lane| numbered(*lane, 0..100)).collect()).await.expect("appended");
    let mut first = Node::join(&first_log).await;
    in_time("the first", first.until(8)).await;
    let seen = first.work().await;
    assert!(seen.values().all(|(from, next)| (*from, *next) == (0, 50)), "{seen:?}");

    let second_log = broker.log(2).await;
    let mut second = Node::join(&second_log).await;
    let both = async { tokio::join!(first.until(4), second.until(4)) };
    in_time("two members", both).await;
    assert!(first.shards().is_disjoint(&second.shards()));
    assert_eq!(first.shards().union(&second.shards()).count(), 8);
    for lane in Priority::ALL {
        assert_eq!(first.shards().iter().filter(|shard| shard.lane == lane).count(), 1, "each has a part of {lane}");
    }
    let seen = second.work().await;
    assert!(seen.values().all(|(from, next)| (*from, *next) == (25, 50)), "from what was committed on: {seen:?}");

    let committed: Vec<u64> = second.readers.values().map(|reader| reader.committed()).collect();
    assert_eq!(committed, [37; 4]);
    let Node { readers, membership, .. } = second;
    drop(readers);
    let left = std::time::Instant::now();
    drop(membership);
    assert!(left.elapsed() < Duration::from_secs(3), "leaving took {:?}", left.elapsed());
    in_time("the one that stays", first.until(8)).await;
    assert!(left.elapsed() < Duration::from_secs(5), "the one that left in order was waited for: {:?}", left.elapsed());
    let starts: Vec<u64> = first.readers.values().map(|reader| reader.committed()).collect();
    assert_eq!((starts.iter().filter(|at| **at == 37).count(), starts.iter().filter(|at| **at == 25).count()), (4, 4));
    assert_eq!(first.lost, 0);
}

#[tokio::test]
async fn a_reader_that_is_dropped_late_reads_and_commits_nothing_more() {
    let Some(broker) = OnBroker::new() else { return };
    let first_log = broker.log(2).await;
    first_log.append(numbered(Priority::Normal, 0..10)).await.expect("appended");
    let mut membership = first_log.join().await.expect("joined");
    let readers = several(&mut *membership, 8).await;
    let second_log = broker.log(2).await;
    let mut second = Node::join(&second_log).await;
    in_time("the second", second.until(4)).await;
    let mut refused = 0;
    for mut reader in readers {
        if second.shards().contains(&reader.shard()) {
            assert!(matches!(reader.read(0, ALL).await, Err(LogError::Lost(_))));
            assert!(matches!(reader.commit(5).await, Err(LogError::Lost(_))));
            refused += 1;
        }
    }
    assert_eq!(refused, 4);
    assert!(second.readers.values().all(|reader| reader.committed() == 0));
}

#[tokio::test]
async fn what_was_committed_is_where_the_group_goes_on() {
    let Some(broker) = OnBroker::new() else { return };
    {
        let log = broker.log(1).await;
        log.append(numbered(Priority::High, 0..10)).await.expect("appended");
        let mut membership = log.join().await.expect("joined");
        for reader in several(&mut *membership, 4).await {
            if reader.shard().lane == Priority::High {
                reader.commit(6).await.expect("committed");
            }
        }
    }
    let log = broker.log(1).await;
    let mut membership = log.join().await.expect("joined");
    for mut reader in several(&mut *membership, 4).await {
        if reader.shard().lane == Priority::High {
            assert_eq!((reader.committed(), reader.end()), (6, 10));
            let records = in_time("reading", reader.read(6, ALL)).await.expect("read");
            assert_eq!(records[0].body, "6");
        } else {
            assert_eq!(reader.committed(), 0);
        }
    }
}

/// As after a topic was made anew by a cluster that kept the group's offsets, or lost records.
#[tokio::test]
async fn a_topic_that_is_shorter_than_what_was_committed_is_told_and_neither_read_nor_written() {
    let Some(mut broker) = OnBroker::new() else { return };
    let normal = broker.lane(Priority::Normal);
    broker.log(1).await.append(numbered(Priority::Normal, 0..10)).await.expect("appended");
    let onlooker = topics::onlook(&broker.settings.kafka, &Arc::default()).expect("a consumer");
    let mut list = TopicPartitionList::new();
    list.add_partition_offset(&normal, 0, Offset::Offset(11)).expect("an offset");
    onlooker.commit(&list, CommitMode::Sync).expect("committed");

    let log = broker.log(1).await;
    let mut membership = log.join().await.expect("joined");
    let readers = several(&mut *membership, 3).await;
    assert!(readers.iter().all(|reader| reader.shard().lane != Priority::Normal));
    let error = in_time("the warning", async {
        loop {
            match log.writable() {
                Ok(()) => tokio::time::sleep(Duration::from_millis(50)).await,
                Err(error) => return error.to_string(),
            }
        }
    })
    .await;
    assert!(error.contains("raise `log.kafka.generation` by one"), "{error}");
    assert!(log.append(numbered(Priority::Normal, 0..1)).await.is_err());
    drop((readers, membership, log));

    broker.settings.kafka.generation += 1;
    let log = broker.log(1).await;
    let position = log.append(numbered(Priority::Normal, 0..1)).await.expect("appended")[0];
    assert_eq!((position.shard.generation, position.offset), (1, 10));
    let mut membership = log.join().await.expect("joined");
    assert_eq!(several(&mut *membership, 4).await.len(), 4);
    log.writable().expect("all is well");
}

async fn make_anew(broker: &OnBroker, topic: &str) {
    let (admin, options) = (broker.admin(), AdminOptions::new());
    admin.delete_topics(&[topic], &options).await.expect("asked")[0].as_ref().expect("deleted");
    in_time("making a topic anew", async {
        loop {
            let new = NewTopic::new(topic, 1, TopicReplication::Fixed(1));
            match &admin.create_topics(&[new], &options).await.expect("asked")[0] {
                Ok(_) => return,
                // It is still being deleted.
                Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
            }
        }
    })
    .await;
}

/// A process that only takes requests has no reader that would see it.
#[tokio::test]
async fn a_topic_that_is_made_anew_while_it_is_written_gives_no_id_twice() {
    let Some(broker) = OnBroker::new() else { return };
    let log = broker.log(1).await;
    log.append(numbered(Priority::Normal, 0..10)).await.expect("appended");
    make_anew(&broker, &broker.lane(Priority::Normal)).await;
    in_time("the warning", async {
        loop {
            match log.append(numbered(Priority::Normal, 0..1)).await {
                Ok(positions) => panic!("it was appended at {positions:?}"),
                Err(error) if error.to_string().contains("raise `log.kafka.generation` by one") => return,
                // The producer has not found the new one yet.
                Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
            }
        }
    })
    .await;
    assert!(log.writable().is_err() && log.append(numbered(Priority::High, 0..1)).await.is_err());
}

#[tokio::test]
async fn a_topic_that_is_made_anew_while_it_is_read_is_told_and_none_of_it_left_out_in_silence() {
    let Some(broker) = OnBroker::new() else { return };
    let log = broker.log(1).await;
    let shard = log.append(numbered(Priority::Normal, 0..10)).await.expect("appended")[0].shard;
    let mut membership = log.join().await.expect("joined");
    let mut readers = several(&mut *membership, 4).await;
    let reader = readers.iter_mut().find(|reader| reader.shard() == shard).expect("it is assigned");
    let mut next = 0;
    while next < 10 {
        next += in_time("reading", reader.read(next, ALL)).await.expect("read").len() as u64;
    }
    make_anew(&broker, &broker.lane(Priority::Normal)).await;
    // By another process, which knows of nothing before.
    let other = broker.log(1).await;
    other.append(numbered(Priority::Normal, 0..3)).await.expect("appended");
    in_time("the warning", async {
        loop {
            match reader.read(10, ALL).await {
                Ok(records) => panic!("{records:?}"),
                // Given back and dealt out again, it is compared with the cursors.
                Err(LogError::Lost(_)) => return,
                Err(error) if error.to_string().contains("raise `log.kafka.generation` by one") => return,
                Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
            }
        }
    })
    .await;
}

#[tokio::test]
async fn what_was_deleted_before_it_was_read_is_left_out_and_the_rest_is_read() {
    let Some(broker) = OnBroker::new() else { return };
    let log = broker.log(1).await;
    let shard = log.append(numbered(Priority::Normal, 0..400)).await.expect("appended")[0].shard;
    let mut membership = log.join().await.expect("joined");
    let mut readers = several(&mut *membership, 4).await;
    let reader = readers.iter_mut().find(|reader| reader.shard() == shard).expect("it is assigned");
    in_time("reading", reader.read(0, ALL)).await.expect("read");
    let mut list = TopicPartitionList::new();
    list.add_partition_offset(&broker.lane(Priority::Normal), 0, Offset::Offset(300)).expect("an offset");
    broker.admin().delete_records(&list, &AdminOptions::new()).await.expect("deleted");
    // As after a failure: from where it had been.
    let records = in_time("reading again", reader.read(0, ALL)).await.expect("read");
    assert_eq!(records[0].position.offset, 300);
}

#[tokio::test]
async fn nodes_that_start_at_once_create_the_topics_once() {
    let Some(broker) = OnBroker::new() else { return };
    let logs = tokio::join!(broker.log(3), broker.log(3), broker.log(3));
    for log in [logs.0, logs.1, logs.2] {
        assert!(Priority::ALL.into_iter().all(|lane| log.parts.topics.partitions(lane) == 3));
    }
}
