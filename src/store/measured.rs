//! A store that tells how long each call took and which failed: the same for every backend. A call is a batch, so this costs
//! nothing per message.

use std::sync::Arc;
use std::time::Instant;

use async_trait::async_trait;

use super::{
    Books, ClaimRow, ClaimRows, Cursors, DeadLetter, DeadLetterKey, DeadLetters, History, HistoryEntry, SharedStore,
    StoreError, TaskLog, TimerKey, TimerRow, Timers, WriteBatch,
};
use crate::domain::{ClaimKey, Event, Position, ShardId, Story, Timestamp};
use crate::telemetry::{Counter, CounterMetric, Histogram, HistogramMetric};

/// Worry when `write` exceeds a tenth of a second: everything that is accepted, planned or answered waits for it.
const LATENCY: HistogramMetric<1> =
    HistogramMetric::new("fanfare_store_latency_seconds", "Calls to the store, by operation.", ["operation"]);
/// Worry about any: the disk is full or failing, or a row cannot be read.
const ERRORS: CounterMetric<1> =
    CounterMetric::new("fanfare_store_errors_total", "Calls to the store that failed, by operation.", ["operation"]);

/// What is asked of a store: the methods of its port.
#[derive(Debug, Clone, Copy)]
enum Operation {
    Write,
    Stories,
    Block,
    LooseEvents,
    Cursors,
    Books,
    Timers,
    Claims,
    Hold,
    History,
    DeadLetters,
    DeadLetter,
}

const NAMES: [&str; 12] = [
    "write",
    "stories",
    "block",
    "loose_events",
    "cursors",
    "books",
    "timers",
    "claims",
    "hold",
    "history",
    "dead_letters",
    "dead_letter",
];

/// Any store, measured.
pub struct Measured {
    store: SharedStore,
    calls: [(Histogram, Counter); NAMES.len()],
}

impl Measured {
    pub fn over(store: SharedStore) -> SharedStore {
        Arc::new(Self { store, calls: NAMES.map(|name| (LATENCY.with([name]), ERRORS.with([name]))) })
    }

    async fn call<T>(
        &self,
        operation: Operation,
        call: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        let began = Instant::now();
        let outcome = call.await;
        let (latency, errors) = &self.calls[operation as usize];
        latency.record(began.elapsed().as_secs_f64());
        if outcome.is_err() {
            errors.increment(1);
        }
        outcome
    }
}

#[async_trait]
impl TaskLog for Measured {
    async fn write(&self, shard: ShardId, batch: WriteBatch) -> Result<(), StoreError> {
        self.call(Operation::Write, self.store.write(shard, batch)).await
    }

    async fn stories(&self, positions: &[Position]) -> Result<Vec<Option<Story>>, StoreError> {
        self.call(Operation::Stories, self.store.stories(positions)).await
    }

    async fn block(&self, shard: ShardId, block: u64) -> Result<Vec<Story>, StoreError> {
        self.call(Operation::Block, self.store.block(shard, block)).await
    }

    async fn loose_events(&self, shard: ShardId, block: u64) -> Result<Vec<Event>, StoreError> {
        self.call(Operation::LooseEvents, self.store.loose_events(shard, block)).await
    }

    async fn take_over(&self, shard: ShardId, end: u64) -> Result<(), StoreError> {
        self.store.take_over(shard, end).await
    }

    async fn cursors(&self, shard: ShardId) -> Result<Cursors, StoreError> {
        self.call(Operation::Cursors, self.store.cursors(shard)).await
    }

    async fn books(&self, shard: ShardId) -> Result<Books, StoreError> {
        self.call(Operation::Books, self.store.books(shard)).await
    }
}

#[async_trait]
impl Timers for Measured {
    async fn timers(
        &self,
        shard: ShardId,
        after: TimerKey,
        until: Timestamp,
        limit: usize,
    ) -> Result<Vec<TimerRow>, StoreError> {
        self.call(Operation::Timers, self.store.timers(shard, after, until, limit)).await
    }
}

#[async_trait]
impl ClaimRows for Measured {
    async fn claims(&self, keys: &[ClaimKey]) -> Result<Vec<Option<ClaimRow>>, StoreError> {
        self.call(Operation::Claims, self.store.claims(keys)).await
    }

    async fn hold(&self, rows: &[ClaimRow]) -> Result<(), StoreError> {
        self.call(Operation::Hold, self.store.hold(rows)).await
    }
}

#[async_trait]
impl History for Measured {
    async fn history(
        &self,
        tenant: &str,
        user_id: &str,
        before: Option<HistoryEntry>,
        limit: usize,
    ) -> Result<Vec<HistoryEntry>, StoreError> {
        self.call(Operation::History, self.store.history(tenant, user_id, before, limit)).await
    }
}

#[async_trait]
impl DeadLetters for Measured {
    async fn dead_letters(
        &self,
        tenant: &str,
        before: Option<DeadLetterKey>,
        limit: usize,
    ) -> Result<Vec<DeadLetter>, StoreError> {
        self.call(Operation::DeadLetters, self.store.dead_letters(tenant, before, limit)).await
    }

    async fn dead_letter(&self, key: &DeadLetterKey) -> Result<Option<DeadLetter>, StoreError> {
        self.call(Operation::DeadLetter, self.store.dead_letter(key)).await
    }
}
