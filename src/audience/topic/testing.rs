//! A door that does as it is told, and a partition in memory.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;

use crate::audience::{EventDoor, Refusal, Taken};
use crate::domain::{DomainEvent, Position, ShardId, Source, Timestamp};
use crate::intake::{AcceptError, FieldProblem};
use crate::log::{Foreign, LogError, PartitionReader, ReadLimit, Record};

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What the door does at its next calls, before it takes what it is given.
#[derive(Debug, Clone, Copy)]
pub(in crate::audience) enum Whim {
    Unavailable,
    Panic,
    Conflict,
    NoAnswers,
}

/// Takes events of the types it knows; data of `{"bad":…}` is invalid.
pub(in crate::audience) struct FakeDoor {
    declared: Vec<&'static str>,
    pub(in crate::audience) whims: Mutex<VecDeque<Whim>>,
    /// It panics at any batch with an event of this id.
    pub(in crate::audience) poison: Mutex<Option<&'static str>>,
    /// The ids of what it took, batch by batch.
    batches: Mutex<Vec<Vec<DomainEvent>>>,
}

impl FakeDoor {
    pub(in crate::audience) fn declaring(declared: &[&'static str]) -> Arc<Self> {
        let declared = declared.to_vec();
        Arc::new(Self { declared, whims: Mutex::default(), poison: Mutex::default(), batches: Mutex::default() })
    }

    pub(in crate::audience) fn then(&self, whims: &[Whim]) {
        lock(&self.whims).extend(whims);
    }

    pub(in crate::audience) fn batches(&self) -> Vec<Vec<DomainEvent>> {
        lock(&self.batches).clone()
    }

    pub(in crate::audience) fn ids(&self) -> Vec<String> {
        self.batches().into_iter().flatten().map(|event| event.id.into()).collect()
    }
}

#[async_trait]
impl EventDoor for FakeDoor {
    async fn take(&self, events: Vec<DomainEvent>) -> Result<Vec<Taken>, AcceptError> {
        let whim = lock(&self.whims).pop_front();
        match whim {
            Some(Whim::Unavailable) => {
                let (reason, retry_after) = ("as told".to_owned(), Duration::from_secs(1));
                return Err(AcceptError::Unavailable { reason, retry_after });
            }
            Some(Whim::Panic) => panic!("as told"),
            Some(Whim::Conflict) => return Err(AcceptError::Conflict { index: 0 }),
            Some(Whim::NoAnswers) => return Ok(Vec::new()),
            None => {}
        }
        let poison = *lock(&self.poison);
        assert!(events.iter().all(|event| Some(&*event.id) != poison), "as told");
        let taken = events.iter().map(|event| match self.declared.contains(&&*event.event_type) {
            false => Taken::Refused(Refusal::UnknownType { event_type: event.event_type.clone(), near: None }),
            true if event.data.contains("bad") => {
                Taken::Refused(Refusal::Invalid(vec![FieldProblem::new("/data/bad", "is no field of the type")]))
            }
            true => Taken::Used(Vec::new()),
        });
        let taken = taken.collect();
        lock(&self.batches).push(events);
        Ok(taken)
    }
}

/// An event without anything.
pub(in crate::audience) fn event(id: &str, event_type: &str) -> DomainEvent {
    DomainEvent {
        tenant: "default".into(),
        id: id.into(),
        event_type: event_type.into(),
        source: None,
        subject: None,
        user_id: None,
        data: "{}".into(),
        at: Timestamp(0),
        deliver_at: None,
        told_by: Source::Kafka,
        accepted_at: Timestamp(0),
    }
}

/// A record as a program writes one.
pub(in crate::audience) fn record(offset: u64, body: &str, foreign: Foreign) -> Record {
    let position = Position::new(ShardId::of_events(3), offset);
    Record { position, body: Bytes::copy_from_slice(body.as_bytes()), foreign: Some(Box::new(foreign)) }
}

/// A partition of the topic; what was committed is seen.
pub(in crate::audience) struct FakeReader {
    pub(in crate::audience) records: Vec<Record>,
    pub(in crate::audience) committed: Arc<AtomicU64>,
}

#[async_trait]
impl PartitionReader for FakeReader {
    fn shard(&self) -> ShardId {
        ShardId::of_events(3)
    }

    fn committed(&self) -> u64 {
        self.committed.load(Ordering::SeqCst)
    }

    fn end(&self) -> u64 {
        self.records.len() as u64
    }

    async fn latest_end(&mut self) -> Result<u64, LogError> {
        Ok(self.end())
    }

    async fn read(&mut self, from: u64, limit: ReadLimit) -> Result<Vec<Record>, LogError> {
        let left = self.records.get(from as usize..).unwrap_or_default();
        if left.is_empty() {
            std::future::pending::<()>().await;
        }
        Ok(left.iter().take(limit.records).cloned().collect())
    }

    async fn commit(&self, next: u64) -> Result<(), LogError> {
        self.committed.store(next, Ordering::SeqCst);
        Ok(())
    }
}
