//! What every backend of this port must do; run against each of them by [`log_conformance`].

use std::collections::HashMap;
use std::ops::{Deref, DerefMut};

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::FutureExt;

use super::{Membership, NewRecord, OwnershipChange, PartitionReader, ReadLimit, SharedLog};
use crate::domain::{Position, Priority, ShardId};

/// A place where a log is kept; each test has its own.
#[async_trait]
pub(crate) trait LogBackend: Send + Sync {
    /// Opens the log over what is there. The one before must have been dropped.
    async fn open(&self, partitions: u16) -> SharedLog;
}

/// Makes a test of each promise; `$backend` is an expression that makes a fresh [`LogBackend`], or
/// none where its service is missing.
macro_rules! log_conformance {
    ($backend:expr) => {
        $crate::log::conformance::log_conformance! { $backend =>
            records_are_read_in_order_from_any_position
            what_was_appended_can_be_looked_up_at_once
            records_of_one_key_keep_their_order_while_others_append
            priorities_do_not_mix
            bodies_of_any_size_come_back_unchanged
            a_read_keeps_to_its_limit_and_gives_at_least_one_record
            a_read_at_the_end_waits_for_the_next_record
            a_caller_that_goes_away_leaves_no_gap
            a_commit_never_goes_back
            nothing_above_the_commit_is_dropped
            what_was_acknowledged_is_there_after_opening_again
            offsets_go_on_where_everything_was_committed
            partitions_may_be_added
        }
    };
    ($backend:expr => $($name:ident)*) => {
        $(#[tokio::test]
        async fn $name() {
            // None where the service that the backend needs is not there: the test is skipped, and said so.
            if let Some(backend) = $backend {
                $crate::log::conformance::$name(&backend).await;
            }
        })*
    };
}
pub(crate) use log_conformance;

const ALL: ReadLimit = ReadLimit { records: usize::MAX, bytes: usize::MAX };

fn record(lane: Priority, key: u64, text: impl ToString) -> NewRecord {
    NewRecord { lane, key, body: Bytes::from(text.to_string()) }
}

fn numbered(key: u64, numbers: std::ops::Range<u64>) -> Vec<NewRecord> {
    numbers.map(|number| record(Priority::Normal, key, number)).collect()
}

/// A node that joined alone, with the readers of all partitions.
struct Alone {
    readers: HashMap<ShardId, Box<dyn PartitionReader>>,
    /// Kept as long as the readers: who leaves reads no more.
    membership: Box<dyn Membership>,
}

/// The same with one reader.
struct AloneWithOne {
    reader: Box<dyn PartitionReader>,
    _membership: Box<dyn Membership>,
}

impl Deref for AloneWithOne {
    type Target = dyn PartitionReader;

    fn deref(&self) -> &Self::Target {
        &*self.reader
    }
}

impl DerefMut for AloneWithOne {
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut *self.reader
    }
}

async fn readers(log: &SharedLog, partitions: usize) -> Alone {
    let mut membership = log.join().await.expect("joined");
    let mut readers = HashMap::new();
    while readers.len() < partitions * Priority::ALL.len() {
        if let Some(OwnershipChange::Assigned(reader)) = membership.next().await {
            readers.insert(reader.shard(), reader);
        }
    }
    Alone { readers, membership }
}

async fn reader(log: &SharedLog, partitions: usize, shard: ShardId) -> AloneWithOne {
    let Alone { mut readers, membership } = readers(log, partitions).await;
    AloneWithOne { reader: readers.remove(&shard).expect("every partition is assigned"), _membership: membership }
}

/// All from `from` to the end of the partition, as text.
async fn read_all(reader: &mut dyn PartitionReader, from: u64) -> Vec<(u64, String)> {
    let mut found = Vec::new();
    let mut next = from;
    while next < reader.end() {
        let records = reader.read(next, ALL).await.expect("read");
        for record in records {
            assert_eq!(record.position, Position::new(reader.shard(), next), "no offset is left out");
            found.push((next, String::from_utf8(record.body.to_vec()).expect("text")));
            next += 1;
        }
    }
    found
}

fn texts(numbers: std::ops::Range<u64>) -> Vec<(u64, String)> {
    numbers.map(|number| (number, number.to_string())).collect()
}

pub(crate) async fn records_are_read_in_order_from_any_position(backend: &dyn LogBackend) {
    let log = backend.open(1).await;
    for start in (0..200).step_by(40) {
        let positions = log.append(numbered(7, start..start + 40)).await.expect("appended");
        let offsets: Vec<u64> = positions.iter().map(|position| position.offset).collect();
        assert_eq!(offsets, (start..start + 40).collect::<Vec<_>>());
    }
    let shard = ShardId { generation: 0, lane: Priority::Normal, partition: 0 };
    let mut reader = reader(&log, 1, shard).await;
    for from in [0, 1, 39, 40, 41, 199] {
        assert_eq!(read_all(&mut *reader, from).await, texts(from..200));
    }
}

pub(crate) async fn what_was_appended_can_be_looked_up_at_once(backend: &dyn LogBackend) {
    let log = backend.open(4).await;
    let records = (0..20).map(|key| record(Priority::High, key, key)).collect();
    let positions = log.append(records).await.expect("appended");
    for (key, position) in positions.iter().enumerate() {
        let found = log.record(*position).await.expect("looked up").expect("it is there");
        assert_eq!((found.position, &found.body[..]), (*position, key.to_string().as_bytes()));
        assert!(log.end(position.shard) > position.offset);
    }
    let beyond = Position::new(positions[0].shard, 1000);
    assert!(log.record(beyond).await.expect("looked up").is_none());
    let nowhere = Position::new(ShardId { generation: 0, lane: Priority::High, partition: 99 }, 0);
    assert!(log.record(nowhere).await.expect("looked up").is_none());
}

pub(crate) async fn records_of_one_key_keep_their_order_while_others_append(backend: &dyn LogBackend) {
    let log = backend.open(3).await;
    let appends = (0..8u64).map(|key| {
        let log = log.clone();
        tokio::spawn(async move {
            for start in (0..60).step_by(3) {
                let records = (start..start + 3).map(|number| record(Priority::Normal, key, format!("{key}:{number}")));
                log.append(records.collect()).await.expect("appended");
            }
        })
    });
    for append in appends.collect::<Vec<_>>() {
        append.await.expect("ended");
    }
    let mut seen: HashMap<u64, u64> = HashMap::new();
    let mut alone = readers(&log, 3).await;
    for (shard, reader) in &mut alone.readers {
        for (_, text) in read_all(&mut **reader, 0).await {
            let (key, number) = text.split_once(':').expect("key and number");
            let (key, number): (u64, u64) = (key.parse().expect("a key"), number.parse().expect("a number"));
            assert_eq!(key % 3, u64::from(shard.partition), "a key has one partition");
            let next = seen.entry(key).or_default();
            assert_eq!(number, *next, "key {key}");
            *next += 1;
        }
    }
    assert!(seen.len() == 8 && seen.values().all(|count| *count == 60), "{seen:?}");
}

pub(crate) async fn priorities_do_not_mix(backend: &dyn LogBackend) {
    let log = backend.open(1).await;
    let records = Priority::ALL.map(|lane| record(lane, 1, lane)).to_vec();
    let positions = log.append(records).await.expect("appended");
    for (position, lane) in positions.iter().zip(Priority::ALL) {
        assert_eq!((position.shard.lane, position.offset), (lane, 0));
    }
    let mut alone = readers(&log, 1).await;
    for (shard, reader) in &mut alone.readers {
        assert_eq!(read_all(&mut **reader, 0).await, [(0, shard.lane.to_string())]);
    }
}

pub(crate) async fn bodies_of_any_size_come_back_unchanged(backend: &dyn LogBackend) {
    let log = backend.open(1).await;
    let bodies: Vec<Bytes> = [0, 1, 1000, 300_000, 0, 65_536].map(|length| Bytes::from(vec![b'x'; length])).to_vec();
    let records = bodies.iter().map(|body| NewRecord { lane: Priority::Low, key: 0, body: body.clone() }).collect();
    let positions = log.append(records).await.expect("appended");
    let mut reader = reader(&log, 1, positions[0].shard).await;
    let mut read = Vec::new();
    while read.len() < bodies.len() {
        let records = reader.read(read.len() as u64, ALL).await.expect("read");
        read.extend(records.into_iter().map(|record| record.body));
    }
    assert_eq!(read, bodies);
}

pub(crate) async fn a_read_keeps_to_its_limit_and_gives_at_least_one_record(backend: &dyn LogBackend) {
    let log = backend.open(1).await;
    let records = (0..10).map(|_| record(Priority::Normal, 0, "x".repeat(100))).collect();
    let shard = log.append(records).await.expect("appended")[0].shard;
    let mut reader = reader(&log, 1, shard).await;
    for (limit, expected) in [
        (ReadLimit { records: 3, bytes: usize::MAX }, 3),
        (ReadLimit { records: usize::MAX, bytes: 1 }, 1),
        (ReadLimit { records: usize::MAX, bytes: 200 }, 2),
        (ALL, 8),
    ] {
        let records = reader.read(2, limit).await.expect("read");
        assert_eq!((records.len(), records[0].position.offset), (expected, 2), "{limit:?}");
    }
}

pub(crate) async fn a_read_at_the_end_waits_for_the_next_record(backend: &dyn LogBackend) {
    let log = backend.open(1).await;
    let shard = log.append(numbered(0, 0..3)).await.expect("appended")[0].shard;
    let mut reader = reader(&log, 1, shard).await;
    assert!(reader.read(3, ALL).now_or_never().is_none(), "there is nothing yet, and giving up costs nothing");
    let waiting = tokio::spawn(async move { reader.read(3, ALL).await.expect("read") });
    log.append(numbered(0, 3..4)).await.expect("appended");
    assert_eq!(waiting.await.expect("ended")[0].body, Bytes::from("3"));
}

pub(crate) async fn a_caller_that_goes_away_leaves_no_gap(backend: &dyn LogBackend) {
    let log = backend.open(1).await;
    for number in 0..20 {
        let append = log.append(numbered(0, number..number + 1));
        // Asked for and then forgotten: it may or may not have been taken.
        let _ = append.now_or_never();
    }
    let last = log.append(vec![record(Priority::Normal, 0, "last")]).await.expect("appended")[0];
    let mut reader = reader(&log, 1, last.shard).await;
    let found = read_all(&mut *reader, 0).await;
    assert_eq!(found.len() as u64, last.offset + 1);
    assert_eq!(found.last().map(|(_, text)| text.as_str()), Some("last"));
}

pub(crate) async fn a_commit_never_goes_back(backend: &dyn LogBackend) {
    let log = backend.open(1).await;
    let shard = log.append(numbered(0, 0..10)).await.expect("appended")[0].shard;
    let reader = reader(&log, 1, shard).await;
    assert_eq!(reader.committed(), 0);
    reader.commit(7).await.expect("committed");
    reader.commit(4).await.expect("committed");
    assert_eq!(reader.committed(), 7);
}

pub(crate) async fn nothing_above_the_commit_is_dropped(backend: &dyn LogBackend) {
    let log = backend.open(1).await;
    let mut shard = None;
    let mut commits: Option<AloneWithOne> = None;
    // Enough of each for whatever a backend does only now and then.
    for start in (0..6000).step_by(100) {
        let positions = log.append(numbered(0, start..start + 100)).await.expect("appended");
        shard = Some(positions[0].shard);
        if commits.is_none() {
            commits = Some(reader(&log, 1, positions[0].shard).await);
        }
        // Always in the middle of a group.
        commits.as_ref().expect("it was just set").commit((start + 100).saturating_sub(350)).await.expect("committed");
    }
    drop(commits);
    let shard = shard.expect("something was appended");
    let check = async |log: &SharedLog, from: u64| {
        let mut reader = reader(log, 1, shard).await;
        assert!(reader.committed() <= from);
        assert_eq!(read_all(&mut *reader, from).await, texts(from..6000));
    };
    check(&log, 5650).await;
    drop(log);
    check(&backend.open(1).await, 5650).await;
}

pub(crate) async fn what_was_acknowledged_is_there_after_opening_again(backend: &dyn LogBackend) {
    let mut expected: Vec<(Position, String)> = Vec::new();
    for round in 0..3 {
        let log = backend.open(2).await;
        let records: Vec<_> = (0..50).map(|key| record(Priority::Normal, key, format!("{round}:{key}"))).collect();
        let bodies: Vec<String> = (0..50).map(|key| format!("{round}:{key}")).collect();
        expected.extend(log.append(records).await.expect("appended").into_iter().zip(bodies));
        let mut reader = reader(&log, 2, expected[0].0.shard).await;
        let held = read_all(&mut *reader, 0).await;
        let own = expected.iter().filter(|(position, _)| position.shard == expected[0].0.shard);
        assert_eq!(held, own.map(|(position, text)| (position.offset, text.clone())).collect::<Vec<_>>());
    }
}

pub(crate) async fn offsets_go_on_where_everything_was_committed(backend: &dyn LogBackend) {
    let mut end = 0;
    for _ in 0..4 {
        let log = backend.open(1).await;
        for _ in 0..3 {
            let positions = log.append(numbered(0, 0..400)).await.expect("appended");
            assert_eq!(positions[0].offset, end);
            end += 400;
            let mut reader = reader(&log, 1, positions[0].shard).await;
            reader.commit(end).await.expect("committed");
            assert!(reader.read(end, ALL).now_or_never().is_none());
        }
    }
    let log = backend.open(1).await;
    let shard = ShardId { generation: 0, lane: Priority::Normal, partition: 0 };
    assert_eq!(log.end(shard), end);
    assert_eq!(reader(&log, 1, shard).await.committed(), end, "a commit is kept when the log is closed in order");
}

pub(crate) async fn partitions_may_be_added(backend: &dyn LogBackend) {
    let log = backend.open(2).await;
    let old = log.append((0..10).map(|key| record(Priority::Normal, key, key)).collect()).await.expect("appended");
    drop(log);
    let log = backend.open(5).await;
    let new = log.append((0..10).map(|key| record(Priority::Normal, key, key)).collect()).await.expect("appended");
    for (key, (old, new)) in old.into_iter().zip(new).enumerate() {
        assert_eq!(new.shard.partition as usize, key % 5);
        for position in [old, new] {
            let found = log.record(position).await.expect("looked up").expect("it is there");
            assert_eq!(found.body, Bytes::from(key.to_string()));
        }
    }
}
