//! Over a log and a store in memory, each of which can be out.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use bytes::Bytes;

use super::*;
use crate::clock::ManualClock;
use crate::domain::Timestamp;
use crate::log::{OwnershipChange, PartitionReader, ReadLimit};

const ALL: ReadLimit = ReadLimit { records: usize::MAX, bytes: usize::MAX };

/// A log that counts its records.
#[derive(Default)]
struct Inner {
    is_out: AtomicBool,
    /// It seems to be there, and takes nothing.
    fails: AtomicBool,
    appended: AtomicU64,
}

#[async_trait]
impl Log for Inner {
    async fn append(&self, records: Vec<NewRecord>) -> Result<Vec<Position>, LogError> {
        if self.fails.load(Ordering::SeqCst) {
            return Err(LogError::Failed("it may have been written".to_owned()));
        }
        let first = self.appended.fetch_add(records.len() as u64, Ordering::SeqCst);
        let shard = |lane| ShardId { generation: 0, lane, partition: 0 };
        Ok((first..).zip(records).map(|(offset, record)| Position::new(shard(record.lane), offset)).collect())
    }

    async fn record(&self, _: Position) -> Result<Option<Record>, LogError> {
        Ok(None)
    }

    fn end(&self, _: ShardId) -> u64 {
        self.appended.load(Ordering::SeqCst)
    }

    async fn join(&self) -> Result<Box<dyn Membership>, LogError> {
        Ok(Box::new(Nobody))
    }

    fn writable(&self) -> Result<(), LogError> {
        match self.is_out.load(Ordering::SeqCst) {
            true => Err(LogError::Failed("no broker answers".to_owned())),
            false => Ok(()),
        }
    }
}

struct Nobody;

#[async_trait]
impl Membership for Nobody {
    async fn next(&mut self) -> Option<OwnershipChange> {
        std::future::pending().await
    }
}

/// A store that can be out, and can lose the answer to a write that it did in part.
#[derive(Default)]
struct Shelf {
    is_out: AtomicBool,
    is_lossy: AtomicBool,
    rows: Mutex<BTreeMap<(ShardId, u64), Bytes>>,
    shards: Mutex<BTreeMap<ShardId, u64>>,
    slots: Mutex<Vec<String>>,
    writes: AtomicU64,
}

impl Shelf {
    fn answers(&self) -> Result<(), StoreError> {
        match self.is_out.load(Ordering::SeqCst) {
            true => Err(StoreError::Failed("the store is out".to_owned())),
            false => Ok(()),
        }
    }
}

#[async_trait]
impl SpillRows for Shelf {
    async fn take_slot(&self, process: &str) -> Result<u16, StoreError> {
        self.answers()?;
        let mut slots = self.slots.lock().expect("whole");
        if let Some(own) = slots.iter().position(|taken_by| taken_by == process) {
            return Ok(own as u16);
        }
        slots.push(process.to_owned());
        Ok(slots.len() as u16 - 1)
    }

    async fn open_spill(&self, shard: ShardId) -> Result<(), StoreError> {
        self.answers()?;
        self.shards.lock().expect("whole").entry(shard).or_default();
        Ok(())
    }

    async fn append_spill(&self, shard: ShardId, first: u64, bodies: &[Bytes]) -> Result<(), StoreError> {
        self.answers()?;
        tokio::task::yield_now().await;
        self.writes.fetch_add(1, Ordering::SeqCst);
        let is_lossy = self.is_lossy.swap(false, Ordering::SeqCst);
        let mut rows = self.rows.lock().expect("whole");
        // Of a write in part, the later rows are there.
        for (offset, body) in (first..).zip(bodies).skip(usize::from(is_lossy)) {
            rows.insert((shard, offset), body.clone());
        }
        if is_lossy { Err(StoreError::Failed("no answer came".to_owned())) } else { Ok(()) }
    }

    async fn read_spill(
        &self,
        shard: ShardId,
        from: u64,
        records: usize,
        _: usize,
    ) -> Result<Vec<(u64, Bytes)>, StoreError> {
        self.answers()?;
        let rows = self.rows.lock().expect("whole");
        let found = (from..).map_while(|offset| Some((offset, rows.get(&(shard, offset))?.clone())));
        Ok(found.take(records).collect())
    }

    async fn spill_end(&self, shard: ShardId, from: u64) -> Result<u64, StoreError> {
        self.answers()?;
        let rows = self.rows.lock().expect("whole");
        let last = rows.range((shard, from)..=(shard, u64::MAX)).next_back();
        Ok(last.map_or(from, |((_, offset), _)| offset + 1))
    }

    async fn spill_shards(&self) -> Result<Vec<(ShardId, u64)>, StoreError> {
        self.answers()?;
        Ok(self.shards.lock().expect("whole").iter().map(|(shard, committed)| (*shard, *committed)).collect())
    }

    async fn commit_spill(&self, shard: ShardId, next: u64) -> Result<(), StoreError> {
        self.answers()?;
        self.shards.lock().expect("whole").insert(shard, next);
        Ok(())
    }
}

struct Place {
    inner: Arc<Inner>,
    shelf: Arc<Shelf>,
    clock: Arc<ManualClock>,
    log: SharedLog,
}

fn place() -> Place {
    let (inner, shelf) = (Arc::<Inner>::default(), Arc::<Shelf>::default());
    let clock = ManualClock::starting_at(Timestamp(1_800_000_000_000));
    let log = SpillingLog::over(inner.clone(), shelf.clone(), clock.clone(), "one");
    Place { inner, shelf, clock, log }
}

fn records(lane: Priority, texts: &[&str]) -> Vec<NewRecord> {
    texts.iter().map(|text| NewRecord { lane, key: 1, body: Bytes::from(text.to_string()) }).collect()
}

impl Place {
    fn set_out(&self, log: bool, store: bool) {
        self.inner.is_out.store(log, Ordering::SeqCst);
        self.shelf.is_out.store(store, Ordering::SeqCst);
    }

    async fn append(&self, texts: &[&str]) -> Result<Vec<Position>, LogError> {
        self.log.append(records(Priority::High, texts)).await
    }

    /// The first reader of the spill that somebody who joins is offered.
    async fn reader(&self) -> (Box<dyn Membership>, Box<dyn PartitionReader>) {
        let mut membership = self.log.join().await.expect("joined");
        match membership.next().await.expect("open") {
            OwnershipChange::Assigned(reader) => (membership, reader),
            _ => panic!("it was offered nothing"),
        }
    }
}

fn texts(records: &[Record]) -> Vec<String> {
    records.iter().map(|record| String::from_utf8(record.body.to_vec()).expect("a text")).collect()
}

#[tokio::test]
async fn what_comes_while_the_log_is_out_goes_to_the_spill_and_then_to_the_log_again() {
    let place = place();
    assert_eq!(place.append(&["a"]).await.expect("appended")[0].shard.generation, 0);
    place.set_out(true, false);
    place.log.writable().expect("it takes requests");
    assert!(place.log.degraded().is_some_and(|reason| reason.contains("no broker answers")));
    let spilled = place.append(&["b", "c"]).await.expect("spilled");
    let shard = ShardId { generation: ShardId::SPILL, lane: Priority::High, partition: 0 };
    assert_eq!(spilled, [Position::new(shard, 0), Position::new(shard, 1)]);
    let found = place.log.record(spilled[1]).await.expect("read").expect("it is there");
    assert_eq!(texts(&[found]), ["c"]);
    place.set_out(false, false);
    assert_eq!(place.append(&["d"]).await.expect("appended")[0].shard.generation, 0);
    assert_eq!(place.log.degraded(), None);
}

#[tokio::test]
async fn with_both_gone_a_request_is_refused_and_with_either_it_is_taken() {
    let place = place();
    place.set_out(false, true);
    place.append(&["a"]).await.expect("the log takes it");
    place.set_out(true, true);
    let refused = place.append(&["b"]).await.expect_err("nobody takes it").to_string();
    assert!(refused.contains("the store is out"), "{refused}");
    let why = place.log.writable().expect_err("both are gone").to_string();
    assert!(why.contains("no broker answers") && why.contains("the store"), "{why}");
    place.set_out(true, false);
    place.clock.advance(Duration::from_secs(2));
    place.log.writable().expect("it is tried again");
    place.append(&["b"]).await.expect("spilled");
}

#[tokio::test]
async fn a_request_that_the_log_may_have_taken_is_never_taken_twice() {
    let place = place();
    place.inner.fails.store(true, Ordering::SeqCst);
    place.append(&["a"]).await.expect_err("nobody knows");
    assert!(place.shelf.rows.lock().expect("whole").is_empty());
    // The next ones do not wait for a log that fails.
    assert!(place.append(&["b"]).await.expect("spilled")[0].shard.is_spill());
    place.inner.fails.store(false, Ordering::SeqCst);
    place.clock.advance(Duration::from_secs(5));
    assert!(!place.append(&["c"]).await.expect("appended")[0].shard.is_spill(), "it is tried now and then");
}

#[tokio::test]
async fn a_reader_gets_what_was_acknowledged_in_order_and_nothing_twice() {
    let place = place();
    place.set_out(true, false);
    let mut written = Vec::new();
    for round in 0..5 {
        let text = |number| format!("{}", round * 10 + number);
        let (one, other) = (text(1), text(2));
        let (one, other) = ([one.as_str()], [other.as_str()]);
        let (one, other) = tokio::join!(place.append(&one), place.append(&other));
        written.extend(one.expect("spilled").into_iter().chain(other.expect("spilled")));
    }
    written.sort();
    let (_membership, mut reader) = place.reader().await;
    let found = reader.read(0, ALL).await.expect("read");
    assert_eq!(found.iter().map(|record| record.position).collect::<Vec<_>>(), written);
    assert_eq!((reader.latest_end().await.expect("read"), reader.end()), (10, 10));
    assert_eq!(texts(&reader.read(8, ALL).await.expect("read")).len(), 2);
}

#[tokio::test]
async fn a_write_that_failed_leaves_offsets_that_nobody_was_answered_with_and_no_gap() {
    let place = place();
    place.set_out(true, false);
    place.append(&["a"]).await.expect("spilled");
    place.shelf.is_lossy.store(true, Ordering::SeqCst);
    place.append(&["lost", "there"]).await.expect_err("no answer came");
    let (_membership, mut reader) = place.reader().await;
    assert_eq!(texts(&reader.read(0, ALL).await.expect("read")), ["a"], "it stops at the gap");
    place.clock.advance(Duration::from_secs(2));
    let next = place.append(&["b"]).await.expect("spilled");
    assert_eq!(next[0].offset, 3, "an offset is used once");
    let found = reader.read(0, ALL).await.expect("read");
    assert_eq!(texts(&found), ["a", "b"]);
    assert!(place.log.record(Position::new(next[0].shard, 1)).await.expect("read").is_none());
}

#[tokio::test]
async fn many_calls_at_once_are_few_writes() {
    let place = place();
    place.set_out(true, false);
    let calls = (0..100).map(|_| place.append(&["x"]));
    let answers = futures_util::future::join_all(calls).await;
    let mut offsets: Vec<u64> = answers.into_iter().map(|answer| answer.expect("spilled")[0].offset).collect();
    offsets.sort_unstable();
    assert_eq!(offsets, (0..100).collect::<Vec<_>>());
    assert!(place.shelf.writes.load(Ordering::SeqCst) <= 2, "{}", place.shelf.writes.load(Ordering::SeqCst));
}

#[tokio::test]
async fn a_new_owner_begins_where_the_one_before_was() {
    let place = place();
    place.set_out(true, false);
    place.append(&["a", "b", "c"]).await.expect("spilled");
    let (_one, before) = place.reader().await;
    let (_other, mut after) = place.reader().await;
    place.clock.advance(Duration::from_secs(1));
    before.commit(2).await.expect("committed");
    assert_eq!(after.committed(), 0);
    after.take_up().await.expect("asked");
    assert_eq!(after.committed(), 2);
    // Not every commit is written, but none is forgotten.
    before.commit(3).await.expect("committed");
    assert_eq!(before.committed(), 3);
    after.take_up().await.expect("asked");
    assert_eq!(after.committed(), 2);
}

#[tokio::test]
async fn a_reader_waits_for_the_next_record_and_outlasts_the_store() {
    let place = place();
    place.set_out(true, false);
    let first = place.append(&["a"]).await.expect("spilled");
    let (_membership, mut reader) = place.reader().await;
    let reading = tokio::spawn(async move { reader.read(1, ALL).await });
    for out in [true, false] {
        place.set_out(true, out);
        for _ in 0..10 {
            tokio::task::yield_now().await;
        }
        place.clock.advance(Duration::from_secs(1));
    }
    assert!(!reading.is_finished());
    place.append(&["b"]).await.expect("spilled");
    while !reading.is_finished() {
        tokio::task::yield_now().await;
        place.clock.advance(Duration::from_secs(1));
    }
    let found = reading.await.expect("ended").expect("read");
    assert_eq!(found[0].position, Position::new(first[0].shard, 1));
}

#[tokio::test]
async fn two_processes_never_share_a_slot() {
    let place = place();
    let other = SpillingLog::over(place.inner.clone(), place.shelf.clone(), place.clock.clone(), "other");
    place.set_out(true, false);
    let one = place.append(&["a"]).await.expect("spilled");
    let two = other.append(records(Priority::High, &["b"])).await.expect("spilled");
    assert_eq!((one[0].shard.partition, two[0].shard.partition), (0, 1));
    // A shard that comes while somebody is joined is found at the next look.
    let mut membership = place.log.join().await.expect("joined");
    for _ in 0..2 {
        assert!(membership.next().await.is_some());
    }
    other.append(records(Priority::Low, &["c"])).await.expect("spilled");
    let next = tokio::spawn(async move { membership.next().await });
    while !next.is_finished() {
        tokio::task::yield_now().await;
        place.clock.advance(Duration::from_secs(10));
    }
    let Some(OwnershipChange::Assigned(reader)) = next.await.expect("ended") else { panic!("nothing came") };
    assert_eq!(reader.shard().lane, Priority::Low);
}
