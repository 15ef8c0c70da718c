//! A log that other programs write to and read: the embedded one, and what they put in and were told.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use bytes::Bytes;
use fanfare::domain::{Position, Priority, ShardId};
use fanfare::log::{
    Foreign, Log, LogError, Membership, NewRecord, Outlet, OwnershipChange, PartitionReader, ReadLimit, Record,
    SharedLog, Told,
};

/// What a record of theirs begins with in the log; the number of the real one follows.
const MARK: &[u8] = b"\xfftheirs:";

/// The other programs. They outlive the node.
#[derive(Default)]
pub struct Others {
    written: Mutex<Vec<(Bytes, Foreign)>>,
    told: Mutex<Vec<Told>>,
    refuses: AtomicBool,
    panics: AtomicBool,
    /// Offsets up to which partitions were committed, and how many records had been told by then.
    commits: Mutex<Vec<(ShardId, u64, usize)>>,
}

impl Others {
    /// From now on nothing can be told, or again.
    pub fn refuse(&self, refuses: bool) {
        self.refuses.store(refuses, Ordering::SeqCst);
    }

    /// The next call to tell panics.
    pub fn panic_once(&self) {
        self.panics.store(true, Ordering::SeqCst);
    }

    /// Everything told so far at this outlet.
    pub fn told(&self, outlet: Outlet) -> Vec<Told> {
        let told = self.told.lock().expect("not poisoned");
        told.iter().filter(|told| told.outlet == outlet).cloned().collect()
    }

    /// The ids of the events told so far, as they came.
    pub fn ids(&self) -> Vec<String> {
        let id = |told: &Told| {
            let json: serde_json::Value = serde_json::from_slice(&told.body).expect("an event is JSON");
            json["id"].as_str().expect("an event has an id").to_owned()
        };
        self.told(Outlet::Deliveries).iter().map(id).collect()
    }

    pub fn commits(&self) -> Vec<(ShardId, u64, usize)> {
        self.commits.lock().expect("not poisoned").clone()
    }

    /// Writes a record as another program does.
    pub async fn write(&self, log: &SharedLog, lane: Priority, body: impl Into<Bytes>, foreign: Foreign) -> Position {
        let number = {
            let mut written = self.written.lock().expect("not poisoned");
            written.push((body.into(), foreign));
            written.len() - 1
        };
        let body = [MARK, &(number as u64).to_be_bytes()].concat();
        log.append(vec![NewRecord { lane, key: 0, body: body.into() }]).await.expect("appended")[0]
    }

    fn as_written(&self, record: Record) -> Record {
        let Some(number) = record.body.strip_prefix(MARK) else { return record };
        let number = u64::from_be_bytes(number.try_into().expect("eight bytes")) as usize;
        let (body, foreign) = self.written.lock().expect("not poisoned")[number].clone();
        Record { body, foreign: Some(Box::new(foreign)), ..record }
    }
}

pub struct OthersLog {
    pub inner: SharedLog,
    pub others: Arc<Others>,
}

#[async_trait]
impl Log for OthersLog {
    async fn append(&self, records: Vec<NewRecord>) -> Result<Vec<Position>, LogError> {
        self.inner.append(records).await
    }

    async fn record(&self, position: Position) -> Result<Option<Record>, LogError> {
        Ok(self.inner.record(position).await?.map(|record| self.others.as_written(record)))
    }

    fn end(&self, shard: ShardId) -> u64 {
        self.inner.end(shard)
    }

    async fn join(&self) -> Result<Box<dyn Membership>, LogError> {
        Ok(Box::new(OthersMembership { inner: self.inner.join().await?, others: self.others.clone() }))
    }

    fn writable(&self) -> Result<(), LogError> {
        self.inner.writable()
    }

    fn is_shared(&self) -> bool {
        true
    }

    async fn tell(&self, told: Vec<Told>) -> Result<(), LogError> {
        assert!(!self.others.panics.swap(false, Ordering::SeqCst), "as told");
        if self.others.refuses.load(Ordering::SeqCst) {
            return Err(LogError::Failed("nobody takes it".into()));
        }
        self.others.told.lock().expect("not poisoned").extend(told);
        Ok(())
    }
}

struct OthersMembership {
    inner: Box<dyn Membership>,
    others: Arc<Others>,
}

#[async_trait]
impl Membership for OthersMembership {
    async fn next(&mut self) -> Option<OwnershipChange> {
        Some(match self.inner.next().await? {
            OwnershipChange::Assigned(inner) => {
                OwnershipChange::Assigned(Box::new(OthersReader { inner, others: self.others.clone() }))
            }
            change => change,
        })
    }
}

struct OthersReader {
    inner: Box<dyn PartitionReader>,
    others: Arc<Others>,
}

#[async_trait]
impl PartitionReader for OthersReader {
    fn shard(&self) -> ShardId {
        self.inner.shard()
    }

    fn committed(&self) -> u64 {
        self.inner.committed()
    }

    fn end(&self) -> u64 {
        self.inner.end()
    }

    async fn latest_end(&mut self) -> Result<u64, LogError> {
        self.inner.latest_end().await
    }

    async fn read(&mut self, from: u64, limit: ReadLimit) -> Result<Vec<Record>, LogError> {
        let records = self.inner.read(from, limit).await?;
        Ok(records.into_iter().map(|record| self.others.as_written(record)).collect())
    }

    async fn commit(&self, next: u64) -> Result<(), LogError> {
        let told = self.others.told.lock().expect("not poisoned").len();
        self.others.commits.lock().expect("not poisoned").push((self.shard(), next, told));
        self.inner.commit(next).await
    }
}
