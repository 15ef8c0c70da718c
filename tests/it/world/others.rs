//! A log that other programs write to and read, and what they put in and were told. On Kafka they are real: what is told goes on
//! to the topics, too. The embedded log is made to look as if.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use fanfare::domain::{Position, Priority, ShardId};
use fanfare::log::{
    Foreign, Log, LogError, Membership, NewRecord, Outlet, OutsideTopics, OwnershipChange, PartitionReader, ReadLimit,
    Record, SharedLog, Told,
};
use rdkafka::client::DefaultClientContext;
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{FutureProducer, FutureRecord};
use rdkafka::util::AsyncRuntime;
use tokio::sync::watch;

use super::place::{Place, Spot};

/// What a record of theirs begins with in the log; the number of the real one follows.
const MARK: &[u8] = b"\xfftheirs:";

/// The other programs. They outlive the node.
pub struct Others {
    /// `None`: the log is embedded.
    kafka: Option<Producer>,
    written: Mutex<Vec<(Bytes, Foreign)>>,
    told: Mutex<Vec<Told>>,
    refuses: AtomicBool,
    panics: AtomicBool,
    forgets: AtomicBool,
    /// What becomes of readers.
    trouble: watch::Sender<Trouble>,
    /// Offsets up to which partitions were committed, and how many records had been told by then.
    commits: Mutex<Vec<(ShardId, u64, usize)>>,
}

/// What readers of the log meet with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trouble {
    None,
    /// It cannot be asked or read.
    Out,
    /// Every partition has another owner, of which the node was not told yet.
    Gone,
    /// The node was told.
    Told,
}

/// A program that writes to Kafka.
pub struct Producer {
    producer: FutureProducer<DefaultClientContext, OnTokio>,
    spot: Arc<Spot>,
}

/// How a producer waits.
struct OnTokio;

impl AsyncRuntime for OnTokio {
    type Delay = tokio::time::Sleep;

    fn spawn<T: Future<Output = ()> + Send + 'static>(task: T) {
        tokio::spawn(task);
    }

    fn delay_for(duration: Duration) -> Self::Delay {
        tokio::time::sleep(duration)
    }
}

impl Producer {
    pub fn new(spot: &Arc<Spot>) -> Self {
        let mut config = spot.services.client();
        // The engine's own topics take a megabyte; what is larger unpacked comes in compressed.
        config.set("compression.codec", "gzip").set("message.max.bytes", "16000000");
        Self { producer: config.create().expect("a producer"), spot: spot.clone() }
    }

    /// Writes into the first partition of the topic of events.
    pub async fn write_event(&self, body: &[u8], named: &[(&str, &[u8])]) {
        let topic = format!("{}.events", self.spot.name);
        let insert =
            |headers: OwnedHeaders, (key, value): &(&str, &[u8])| headers.insert(Header { key, value: Some(*value) });
        let headers = named.iter().fold(OwnedHeaders::new(), insert);
        let at = i64::try_from(super::NOON.millis()).expect("a time");
        let record = FutureRecord::<(), _>::to(&topic).partition(0).payload(body).timestamp(at).headers(headers);
        self.producer.send(record, Duration::from_secs(20)).await.expect("the broker takes it");
    }

    /// Writes into the first partition of a lane.
    pub async fn write(&self, lane: Priority, body: &[u8], foreign: &Foreign) -> Position {
        let topic = format!("{}.notifications.{lane}", self.spot.name);
        let mut headers = OwnedHeaders::new();
        for (key, value) in [
            ("content-type", foreign.content_type.as_ref().map(|value| value.as_bytes())),
            ("idempotency-key", foreign.idempotency_key.as_deref()),
            ("tenant", foreign.tenant.as_deref()),
        ] {
            if value.is_some() {
                headers = headers.insert(Header { key, value });
            }
        }
        let at = i64::try_from(foreign.appended_at.millis()).expect("a time");
        let record = FutureRecord::<(), _>::to(&topic).partition(0).payload(body).timestamp(at).headers(headers);
        let written = self.producer.send(record, Duration::from_secs(20)).await.expect("the broker takes it");
        let shard = ShardId { generation: self.spot.generation, lane, partition: 0 };
        Position::new(shard, u64::try_from(written.offset).expect("an offset"))
    }
}

impl Others {
    pub fn new(place: &Place) -> Self {
        let kafka = match place {
            Place::Embedded(_) => None,
            Place::Services(spot) => Some(Producer::new(spot)),
        };
        Self {
            kafka,
            written: Mutex::default(),
            told: Mutex::default(),
            refuses: AtomicBool::new(false),
            panics: AtomicBool::new(false),
            forgets: AtomicBool::new(false),
            trouble: watch::Sender::new(Trouble::None),
            commits: Mutex::default(),
        }
    }

    /// From now on nothing can be told, or again.
    pub fn refuse(&self, refuses: bool) {
        self.refuses.store(refuses, Ordering::SeqCst);
    }

    /// The next call to tell panics.
    pub fn panic_once(&self) {
        self.panics.store(true, Ordering::SeqCst);
    }

    /// From now on no commit is kept.
    pub fn forget_commits(&self) {
        self.forgets.store(true, Ordering::SeqCst);
    }

    /// What readers meet with from now on.
    pub fn trouble(&self, trouble: Trouble) {
        self.trouble.send_replace(trouble);
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
        let body = body.into();
        if let Some(kafka) = &self.kafka {
            return kafka.write(lane, &body, &foreign).await;
        }
        let number = {
            let mut written = self.written.lock().expect("not poisoned");
            written.push((body, foreign));
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
        Ok(Box::new(OthersMembership {
            inner: self.inner.join().await?,
            others: self.others.clone(),
            trouble: self.others.trouble.subscribe(),
            given: Vec::new(),
        }))
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
        self.inner.tell(told.clone()).await?;
        self.others.told.lock().expect("not poisoned").extend(told);
        Ok(())
    }

    fn topic(&self, lane: Priority) -> String {
        self.inner.topic(lane)
    }

    fn outside(&self) -> Option<Arc<dyn OutsideTopics>> {
        self.inner.outside()
    }
}

struct OthersMembership {
    inner: Box<dyn Membership>,
    others: Arc<Others>,
    trouble: watch::Receiver<Trouble>,
    given: Vec<ShardId>,
}

#[async_trait]
impl Membership for OthersMembership {
    async fn next(&mut self) -> Option<OwnershipChange> {
        let change = tokio::select! {
            change = self.inner.next() => change?,
            _ = self.trouble.wait_for(|trouble| *trouble == Trouble::Told && !self.given.is_empty()) => {
                return self.given.pop().map(OwnershipChange::Lost);
            }
        };
        Some(match change {
            OwnershipChange::Assigned(inner) => {
                self.given.push(inner.shard());
                let trouble = self.others.trouble.subscribe();
                OwnershipChange::Assigned(Box::new(OthersReader { inner, others: self.others.clone(), trouble }))
            }
            change => change,
        })
    }
}

struct OthersReader {
    inner: Box<dyn PartitionReader>,
    others: Arc<Others>,
    trouble: watch::Receiver<Trouble>,
}

impl OthersReader {
    fn failure(&self) -> LogError {
        match *self.trouble.borrow() {
            Trouble::Gone | Trouble::Told => LogError::Lost(self.shard()),
            _ => LogError::Failed("it is out".into()),
        }
    }
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
        if *self.trouble.borrow() == Trouble::Out { Err(self.failure()) } else { self.inner.latest_end().await }
    }

    async fn read(&mut self, from: u64, limit: ReadLimit) -> Result<Vec<Record>, LogError> {
        let records = tokio::select! {
            biased;
            _ = self.trouble.wait_for(|trouble| *trouble != Trouble::None) => None,
            records = self.inner.read(from, limit) => Some(records?),
        };
        let Some(records) = records else { return Err(self.failure()) };
        Ok(records.into_iter().map(|record| self.others.as_written(record)).collect())
    }

    async fn commit(&self, next: u64) -> Result<(), LogError> {
        let told = self.others.told.lock().expect("not poisoned").len();
        self.others.commits.lock().expect("not poisoned").push((self.shard(), next, told));
        if self.others.forgets.load(Ordering::SeqCst) { Ok(()) } else { self.inner.commit(next).await }
    }
}
