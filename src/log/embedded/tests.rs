use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};

use super::*;
use crate::clock::ManualClock;
use crate::disk::testing::{self, TestSpace};
use crate::domain::{Priority, Timestamp};
use crate::log::conformance::{LogBackend, log_conformance};
use crate::log::{ReadLimit, SharedLog};

struct InDirectory {
    dir: tempfile::TempDir,
}

impl InDirectory {
    fn new() -> Self {
        Self { dir: tempfile::tempdir().expect("a temporary directory") }
    }
}

#[async_trait]
impl LogBackend for InDirectory {
    async fn open(&self, partitions: u16) -> SharedLog {
        EmbeddedLog::open(testing::disk(self.dir.path()), partitions).expect("the log opens")
    }
}

log_conformance!(Some(InDirectory::new()));

fn records(count: u64) -> Vec<NewRecord> {
    (0..count).map(|key| NewRecord { lane: Priority::Normal, key, body: Bytes::from(key.to_string()) }).collect()
}

#[tokio::test]
async fn fewer_partitions_are_refused_while_those_to_go_hold_records() {
    let backend = InDirectory::new();
    let log = backend.open(4).await;
    let positions = log.append(records(4)).await.expect("appended");
    drop(log);
    let refused = EmbeddedLog::open(testing::disk(backend.dir.path()), 3);
    let reason = refused.err().expect("it is refused").to_string();
    assert!(reason.contains("at least 4"), "{reason}");

    let log = backend.open(4).await;
    let mut membership = log.join().await.expect("joined");
    for _ in 0..16 {
        if let Some(OwnershipChange::Assigned(reader)) = membership.next().await {
            reader.commit(reader.end()).await.expect("committed");
        }
    }
    drop((membership, log));
    let log = backend.open(3).await;
    assert_eq!(log.record(positions[3]).await.expect("looked up").map(|record| record.body), None);
    drop(log);
    assert_eq!(backend.open(4).await.end(positions[3].shard), 1, "its offsets go on when it comes back");
}

#[tokio::test]
async fn a_log_without_partitions_is_refused() {
    let backend = InDirectory::new();
    assert!(EmbeddedLog::open(testing::disk(backend.dir.path()), 0).is_err());
}

#[tokio::test]
async fn a_nearly_full_disk_refuses_records_and_takes_them_again_when_there_is_room() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let clock = ManualClock::starting_at(Timestamp(1_000_000));
    let space = Arc::new(TestSpace(AtomicU64::new(100)));
    let disk = testing::disk_with(dir.path(), |settings| {
        settings.min_free_bytes = 50;
        settings.free_space = space.clone();
        settings.clock = clock.clone();
    });
    let log = EmbeddedLog::open(disk, 1).expect("the log opens");
    log.append(records(1)).await.expect("there is room");
    space.0.store(49, Ordering::Relaxed);
    clock.advance(std::time::Duration::from_secs(1));
    assert!(matches!(log.writable(), Err(LogError::Full { .. })));
    assert!(matches!(log.append(records(1)).await, Err(LogError::Full { .. })));
    space.0.store(50, Ordering::Relaxed);
    clock.advance(std::time::Duration::from_secs(1));
    log.append(records(1)).await.expect("there is room again");
}

#[tokio::test]
async fn what_the_tail_no_longer_holds_is_read_from_the_disk() {
    let backend = InDirectory::new();
    let log = backend.open(1).await;
    let body = Bytes::from(vec![b'x'; 100_000]);
    let record = |_| NewRecord { lane: Priority::Normal, key: 0, body: body.clone() };
    for _ in 0..100 {
        log.append((0..2).map(record).collect()).await.expect("appended");
    }
    let mut membership = log.join().await.expect("joined");
    while let Some(OwnershipChange::Assigned(mut reader)) = membership.next().await {
        if reader.shard().lane != Priority::Normal {
            continue;
        }
        let mut next = 0;
        while next < 200 {
            let limit = ReadLimit { records: 7, bytes: 1 << 20 };
            for record in reader.read(next, limit).await.expect("read") {
                assert_eq!((record.position.offset, record.body.len()), (next, body.len()));
                next += 1;
            }
        }
        return;
    }
}

/// The directory that [`child_appends_until_it_is_killed`] works in.
const CHILD_DIR: &str = "FANFARE_TEST_LOG_DIR";

/// The other half of [`what_was_acknowledged_survives_a_kill`]; alone it does nothing.
#[test]
fn child_appends_until_it_is_killed() {
    let Some(dir) = std::env::var_os(CHILD_DIR) else { return };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let log = EmbeddedLog::open(testing::disk(Path::new(&dir)), 2).expect("the log opens");
        let mut membership = log.join().await.expect("joined");
        let mut readers = Vec::new();
        for _ in 0..8 {
            if let Some(OwnershipChange::Assigned(reader)) = membership.next().await {
                readers.push(reader);
            }
        }
        let start = (0..2).map(|partition| log.end(ShardId { generation: 0, lane: Priority::Normal, partition })).sum();
        let mut number: u64 = start;
        // It ends with its parent at the latest: then nobody reads what it prints.
        loop {
            let count = 1 + number % 90;
            let record = |number: u64| NewRecord {
                lane: Priority::Normal,
                key: number,
                body: Bytes::from(format!("{number}:{}", "x".repeat(number as usize % 2000))),
            };
            let positions = log.append((number..number + count).map(record).collect()).await.expect("appended");
            for (index, position) in positions.into_iter().enumerate() {
                let number = number + index as u64;
                println!("acknowledged {} {} {number}", position.shard.partition, position.offset);
            }
            number += count;
            for reader in &readers {
                reader.commit(reader.end().saturating_sub(2000)).await.expect("committed");
            }
        }
    });
}

#[test]
fn what_was_acknowledged_survives_a_kill() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let mut acknowledged: HashMap<Position, u64> = HashMap::new();
    for round in 0..10 {
        let mut child = Command::new(std::env::current_exe().expect("this program"))
            .args(["--exact", "log::embedded::tests::child_appends_until_it_is_killed", "--nocapture"])
            .env(CHILD_DIR, dir.path())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the child starts");
        let mut lines = BufReader::new(child.stdout.take().expect("it is piped")).lines();
        let parse = |line: &str| {
            let mut words = line.strip_prefix("acknowledged ")?.split(' ').map(str::parse::<u64>);
            let mut word = || words.next()?.ok();
            let shard = ShardId { generation: 0, lane: Priority::Normal, partition: word()? as u16 };
            Some((Position::new(shard, word()?), word()?))
        };
        // Another moment in each round.
        let until = acknowledged.len() + 300 + 137 * round;
        while acknowledged.len() < until {
            let line = lines.next().expect("it runs until it is killed").expect("text");
            acknowledged.extend(parse(&line));
        }
        child.kill().expect("it is killed");
        // What it printed before it died was acknowledged too; a line may be cut.
        let rest: Vec<String> = lines.map_while(Result::ok).collect();
        let whole = rest.len().saturating_sub(1);
        acknowledged.extend(rest[..whole].iter().filter_map(|line| parse(line)));
        child.wait().expect("it is gone");
        runtime.block_on(check_acknowledged(dir.path(), &acknowledged));
    }
}

async fn check_acknowledged(dir: &Path, acknowledged: &HashMap<Position, u64>) {
    let log = EmbeddedLog::open(testing::disk(dir), 2).expect("the log opens");
    let mut membership = log.join().await.expect("joined");
    let mut held: HashMap<Position, Bytes> = HashMap::new();
    let mut committed: HashMap<ShardId, u64> = HashMap::new();
    for _ in 0..8 {
        let Some(OwnershipChange::Assigned(mut reader)) = membership.next().await else { continue };
        committed.insert(reader.shard(), reader.committed());
        let mut next = reader.committed();
        while next < reader.end() {
            let records = reader.read(next, ReadLimit { records: 500, bytes: 1 << 20 }).await.expect("read");
            next += records.len() as u64;
            held.extend(records.into_iter().map(|record| (record.position, record.body)));
        }
    }
    let mut checked = 0;
    for (position, number) in acknowledged {
        if position.offset < committed[&position.shard] {
            continue;
        }
        let body = held.get(position).unwrap_or_else(|| panic!("{position:?} was acknowledged and is lost"));
        assert!(body.starts_with(format!("{number}:").as_bytes()), "{position:?}");
        checked += 1;
    }
    assert!(checked > 0);
}
