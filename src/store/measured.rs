//! A store that tells how long each call took and which failed: the same for every backend. A call is a batch, so this costs
//! nothing per message.

use std::sync::Arc;
use std::time::Instant;

use async_trait::async_trait;
use bytes::Bytes;

use super::{
    Books, BrakeRows, BudgetKey, BudgetRows, ClaimRow, ClaimRows, Cursors, DeadLetter, DeadLetterKey, DeadLetters,
    DefinitionRows, Drops, GroupEntry, Groups, History, HistoryEntry, KeyedPart, KeyedRow, KeyedRows,
    ListedSuppression, NamedRow, ReceivedEntry, ReceivedRows, SharedStore, StoreError, SuppressionChange,
    SuppressionPlace, Suppressions, TaskLog, TemplateBodyPlace, TemplateRows, TimerKey, TimerRow, Timers, UserChange,
    Users, WriteBatch,
};
use crate::domain::{
    Brake, ClaimKey, Definition, DefinitionKind, Event, Plan, Position, ShardId, Story, SuppressedAddress, Suppression,
    TemplateChange, Timestamp, User, UserKey,
};
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
    Received,
    Draw,
    Drawn,
    Groups,
    History,
    DeadLetters,
    DeadLetter,
    Users,
    WriteUsers,
    Suppressions,
    WriteSuppressions,
    AllSuppressions,
    Brakes,
    WriteBrake,
    TemplateTenants,
    AppendTemplateChange,
    TemplateChanges,
    PutTemplateBody,
    TemplateBodies,
    DeleteTemplateBody,
    DefinitionTenants,
    Definitions,
    Definition,
    PutDefinition,
    PutKeyed,
    Keyed,
    KeyedBetween,
    AllUsers,
    DropOffsets,
}

const NAMES: [&str; 38] = [
    "write",
    "stories",
    "block",
    "loose_events",
    "cursors",
    "books",
    "timers",
    "claims",
    "hold",
    "received",
    "draw",
    "drawn",
    "groups",
    "history",
    "dead_letters",
    "dead_letter",
    "users",
    "write_users",
    "suppressions",
    "write_suppressions",
    "all_suppressions",
    "brakes",
    "write_brake",
    "template_tenants",
    "append_template_change",
    "template_changes",
    "put_template_body",
    "template_bodies",
    "delete_template_body",
    "definition_tenants",
    "definitions",
    "definition",
    "put_definition",
    "put_keyed",
    "keyed",
    "keyed_between",
    "all_users",
    "drop_offsets",
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

    async fn plans_at(&self, positions: &[Position]) -> Result<Vec<Option<Plan>>, StoreError> {
        self.call(Operation::Stories, self.store.plans_at(positions)).await
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
impl ReceivedRows for Measured {
    async fn received(&self, users: &[UserKey]) -> Result<Vec<Vec<ReceivedEntry>>, StoreError> {
        self.call(Operation::Received, self.store.received(users)).await
    }
}

#[async_trait]
impl BudgetRows for Measured {
    async fn draw(&self, key: &BudgetKey, process: u64, total: u64) -> Result<(), StoreError> {
        self.call(Operation::Draw, self.store.draw(key, process, total)).await
    }

    async fn drawn(&self, key: &BudgetKey) -> Result<Vec<(u64, u64)>, StoreError> {
        self.call(Operation::Drawn, self.store.drawn(key)).await
    }
}

#[async_trait]
impl Groups for Measured {
    async fn groups(&self, leaders: &[Position]) -> Result<Vec<Vec<GroupEntry>>, StoreError> {
        self.call(Operation::Groups, self.store.groups(leaders)).await
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

#[async_trait]
impl Users for Measured {
    async fn users(&self, keys: &[UserKey]) -> Result<Vec<Option<User>>, StoreError> {
        self.call(Operation::Users, self.store.users(keys)).await
    }

    async fn write_users(&self, changes: Vec<UserChange>) -> Result<(), StoreError> {
        self.call(Operation::WriteUsers, self.store.write_users(changes)).await
    }

    async fn all_users(&self, after: Option<UserKey>, limit: usize) -> Result<Option<Vec<UserKey>>, StoreError> {
        self.call(Operation::AllUsers, self.store.all_users(after, limit)).await
    }
}

#[async_trait]
impl Suppressions for Measured {
    async fn suppressions(&self, addresses: &[SuppressedAddress]) -> Result<Vec<Option<Suppression>>, StoreError> {
        self.call(Operation::Suppressions, self.store.suppressions(addresses)).await
    }

    async fn write_suppressions(&self, changes: Vec<SuppressionChange>) -> Result<(), StoreError> {
        self.call(Operation::WriteSuppressions, self.store.write_suppressions(changes)).await
    }

    async fn all_suppressions(
        &self,
        tenant: &str,
        after: Option<SuppressionPlace>,
        limit: usize,
    ) -> Result<Vec<ListedSuppression>, StoreError> {
        self.call(Operation::AllSuppressions, self.store.all_suppressions(tenant, after, limit)).await
    }
}

#[async_trait]
impl BrakeRows for Measured {
    async fn brakes(&self) -> Result<Vec<Brake>, StoreError> {
        self.call(Operation::Brakes, self.store.brakes()).await
    }

    async fn write_brake(&self, brake: &Brake) -> Result<(), StoreError> {
        self.call(Operation::WriteBrake, self.store.write_brake(brake)).await
    }
}

#[async_trait]
impl TemplateRows for Measured {
    async fn template_tenants(&self) -> Result<Vec<Box<str>>, StoreError> {
        self.call(Operation::TemplateTenants, self.store.template_tenants()).await
    }

    async fn append_template_change(&self, tenant: &str, change: &TemplateChange) -> Result<bool, StoreError> {
        self.call(Operation::AppendTemplateChange, self.store.append_template_change(tenant, change)).await
    }

    async fn template_changes(
        &self,
        tenant: &str,
        after: u64,
        limit: usize,
    ) -> Result<Vec<TemplateChange>, StoreError> {
        self.call(Operation::TemplateChanges, self.store.template_changes(tenant, after, limit)).await
    }

    async fn put_template_body(&self, tenant: &str, place: &TemplateBodyPlace, body: &[u8]) -> Result<(), StoreError> {
        self.call(Operation::PutTemplateBody, self.store.put_template_body(tenant, place, body)).await
    }

    async fn template_bodies(
        &self,
        tenant: &str,
        places: &[TemplateBodyPlace],
    ) -> Result<Vec<Option<Vec<u8>>>, StoreError> {
        self.call(Operation::TemplateBodies, self.store.template_bodies(tenant, places)).await
    }

    async fn delete_template_body(&self, tenant: &str, place: &TemplateBodyPlace) -> Result<(), StoreError> {
        self.call(Operation::DeleteTemplateBody, self.store.delete_template_body(tenant, place)).await
    }
}

#[async_trait]
impl DefinitionRows for Measured {
    async fn definition_tenants(&self) -> Result<Vec<(Box<str>, u64)>, StoreError> {
        self.call(Operation::DefinitionTenants, self.store.definition_tenants()).await
    }

    async fn definitions(&self, tenant: &str) -> Result<Vec<Definition>, StoreError> {
        self.call(Operation::Definitions, self.store.definitions(tenant)).await
    }

    async fn definition(
        &self,
        tenant: &str,
        kind: DefinitionKind,
        name: &str,
    ) -> Result<Option<Definition>, StoreError> {
        self.call(Operation::Definition, self.store.definition(tenant, kind, name)).await
    }

    async fn put_definition(&self, tenant: &str, definition: &Definition) -> Result<bool, StoreError> {
        self.call(Operation::PutDefinition, self.store.put_definition(tenant, definition)).await
    }
}

#[async_trait]
impl KeyedRows for Measured {
    async fn put_keyed(&self, rows: Vec<KeyedRow>) -> Result<(), StoreError> {
        self.call(Operation::PutKeyed, self.store.put_keyed(rows)).await
    }

    async fn keyed(&self, names: &[(KeyedPart, Box<[u8]>)]) -> Result<Vec<Option<Bytes>>, StoreError> {
        self.call(Operation::Keyed, self.store.keyed(names)).await
    }

    async fn keyed_between(
        &self,
        part: &KeyedPart,
        after: Option<&[u8]>,
        before: Option<&[u8]>,
        limit: usize,
    ) -> Result<Vec<NamedRow>, StoreError> {
        self.call(Operation::KeyedBetween, self.store.keyed_between(part, after, before, limit)).await
    }
}

#[async_trait]
impl Drops for Measured {
    async fn shards(&self) -> Result<Vec<ShardId>, StoreError> {
        self.store.shards().await
    }

    async fn drop_offsets(&self, shard: ShardId, block: u64, offsets: &[u64]) -> Result<usize, StoreError> {
        self.call(Operation::DropOffsets, self.store.drop_offsets(shard, block, offsets)).await
    }
}
