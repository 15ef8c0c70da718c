//! A store whose personal rows are sealed: what is written is sealed under the secret of whose it is, what is read is opened.
//!
//! What is sealed stands beside this file ([`super::tasks`], [`super::rows`]); what passes untouched is here: times, hashes, counts, what
//! operators and authors write.

use std::sync::Arc;

use async_trait::async_trait;

use super::Keyring;
use crate::domain::{Brake, ClaimKey, Definition, DefinitionKind, ShardId, TemplateChange, Timestamp, UserKey};
use crate::store::{
    BrakeRows, BudgetKey, BudgetRows, ClaimRow, ClaimRows, DefinitionRows, Drops, History, HistoryEntry, ReceivedEntry,
    ReceivedRows, SharedStore, StoreError, TemplateBodyPlace, TemplateRows, TimerKey, TimerRow, Timers,
};

/// Any store, sealed.
pub struct SealedStore {
    pub(super) store: SharedStore,
    pub(super) keyring: Arc<Keyring>,
}

impl SealedStore {
    pub fn over(store: SharedStore, keyring: Arc<Keyring>) -> SharedStore {
        Arc::new(Self { store, keyring })
    }
}

#[async_trait]
impl Timers for SealedStore {
    async fn timers(
        &self,
        shard: ShardId,
        after: TimerKey,
        until: Timestamp,
        limit: usize,
    ) -> Result<Vec<TimerRow>, StoreError> {
        self.store.timers(shard, after, until, limit).await
    }
}

#[async_trait]
impl ClaimRows for SealedStore {
    async fn claims(&self, keys: &[ClaimKey]) -> Result<Vec<Option<ClaimRow>>, StoreError> {
        self.store.claims(keys).await
    }

    async fn hold(&self, rows: &[ClaimRow]) -> Result<(), StoreError> {
        self.store.hold(rows).await
    }
}

#[async_trait]
impl ReceivedRows for SealedStore {
    async fn received(&self, users: &[UserKey]) -> Result<Vec<Vec<ReceivedEntry>>, StoreError> {
        self.store.received(users).await
    }
}

#[async_trait]
impl BudgetRows for SealedStore {
    async fn draw(&self, key: &BudgetKey, process: u64, total: u64) -> Result<(), StoreError> {
        self.store.draw(key, process, total).await
    }

    async fn drawn(&self, key: &BudgetKey) -> Result<Vec<(u64, u64)>, StoreError> {
        self.store.drawn(key).await
    }
}

#[async_trait]
impl History for SealedStore {
    async fn history(
        &self,
        tenant: &str,
        user_id: &str,
        before: Option<HistoryEntry>,
        limit: usize,
    ) -> Result<Vec<HistoryEntry>, StoreError> {
        self.store.history(tenant, user_id, before, limit).await
    }
}

#[async_trait]
impl BrakeRows for SealedStore {
    async fn brakes(&self) -> Result<Vec<Brake>, StoreError> {
        self.store.brakes().await
    }

    async fn write_brake(&self, brake: &Brake) -> Result<(), StoreError> {
        self.store.write_brake(brake).await
    }
}

#[async_trait]
impl TemplateRows for SealedStore {
    async fn template_tenants(&self) -> Result<Vec<Box<str>>, StoreError> {
        self.store.template_tenants().await
    }

    async fn append_template_change(&self, tenant: &str, change: &TemplateChange) -> Result<bool, StoreError> {
        self.store.append_template_change(tenant, change).await
    }

    async fn template_changes(
        &self,
        tenant: &str,
        after: u64,
        limit: usize,
    ) -> Result<Vec<TemplateChange>, StoreError> {
        self.store.template_changes(tenant, after, limit).await
    }

    async fn put_template_body(&self, tenant: &str, place: &TemplateBodyPlace, body: &[u8]) -> Result<(), StoreError> {
        self.store.put_template_body(tenant, place, body).await
    }

    async fn template_bodies(
        &self,
        tenant: &str,
        places: &[TemplateBodyPlace],
    ) -> Result<Vec<Option<Vec<u8>>>, StoreError> {
        self.store.template_bodies(tenant, places).await
    }

    async fn delete_template_body(&self, tenant: &str, place: &TemplateBodyPlace) -> Result<(), StoreError> {
        self.store.delete_template_body(tenant, place).await
    }
}

#[async_trait]
impl DefinitionRows for SealedStore {
    async fn definition_tenants(&self) -> Result<Vec<(Box<str>, u64)>, StoreError> {
        self.store.definition_tenants().await
    }

    async fn definitions(&self, tenant: &str) -> Result<Vec<Definition>, StoreError> {
        self.store.definitions(tenant).await
    }

    async fn definition(
        &self,
        tenant: &str,
        kind: DefinitionKind,
        name: &str,
    ) -> Result<Option<Definition>, StoreError> {
        self.store.definition(tenant, kind, name).await
    }

    async fn put_definition(&self, tenant: &str, definition: &Definition) -> Result<bool, StoreError> {
        self.store.put_definition(tenant, definition).await
    }
}

#[async_trait]
impl Drops for SealedStore {
    async fn shards(&self) -> Result<Vec<ShardId>, StoreError> {
        self.store.shards().await
    }

    async fn drop_offsets(&self, shard: ShardId, block: u64, offsets: &[u64]) -> Result<usize, StoreError> {
        self.store.drop_offsets(shard, block, offsets).await
    }
}
