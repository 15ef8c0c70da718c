//! Definitions, in memory.

use std::collections::BTreeMap;
use std::sync::Mutex;

use async_trait::async_trait;

use super::{FakeStore, lock};
use crate::domain::{Definition, DefinitionKind};
use crate::store::{DefinitionRows, StoreError};

#[derive(Debug, Default)]
pub(super) struct Kept(Mutex<BTreeMap<Box<str>, Tenant>>);

#[derive(Debug, Default)]
struct Tenant {
    number: u64,
    definitions: BTreeMap<(DefinitionKind, Box<str>), Definition>,
    /// So often they were read whole.
    readings: usize,
    /// The next reading panics.
    is_bad: bool,
}

impl FakeStore {
    /// How often all definitions of a tenant were read.
    pub(crate) fn definition_readings(&self, tenant: &str) -> usize {
        lock(&self.definitions.0).get(tenant).map_or(0, |tenant| tenant.readings)
    }

    /// Puts it there as a node that dies before it has counted the change.
    pub(crate) fn put_definition_uncounted(&self, tenant: &str, definition: Definition) {
        let mut tenants = lock(&self.definitions.0);
        let tenant = tenants.entry(tenant.into()).or_default();
        tenant.definitions.insert((definition.kind, definition.name.clone()), definition);
    }

    /// The next reading of a tenant's definitions panics.
    pub(crate) fn spoil_definitions(&self, tenant: &str) {
        let mut tenants = lock(&self.definitions.0);
        let tenant = tenants.entry(tenant.into()).or_default();
        (tenant.number, tenant.is_bad) = (tenant.number + 1, true);
    }
}

#[async_trait]
impl DefinitionRows for FakeStore {
    async fn definition_tenants(&self) -> Result<Vec<(Box<str>, u64)>, StoreError> {
        self.answers().await?;
        Ok(lock(&self.definitions.0).iter().map(|(name, tenant)| (name.clone(), tenant.number)).collect())
    }

    async fn definitions(&self, tenant: &str) -> Result<Vec<Definition>, StoreError> {
        self.answers().await?;
        let mut tenants = lock(&self.definitions.0);
        let Some(tenant) = tenants.get_mut(tenant) else { return Ok(Vec::new()) };
        tenant.readings += 1;
        assert!(!std::mem::take(&mut tenant.is_bad), "as the test wants it");
        Ok(tenant.definitions.values().cloned().collect())
    }

    async fn definition(
        &self,
        tenant: &str,
        kind: DefinitionKind,
        name: &str,
    ) -> Result<Option<Definition>, StoreError> {
        self.answers().await?;
        let tenants = lock(&self.definitions.0);
        Ok(tenants.get(tenant).and_then(|tenant| tenant.definitions.get(&(kind, name.into())).cloned()))
    }

    async fn put_definition(&self, tenant: &str, definition: &Definition) -> Result<bool, StoreError> {
        self.answers().await?;
        let mut tenants = lock(&self.definitions.0);
        let tenant = tenants.entry(tenant.into()).or_default();
        let place = (definition.kind, definition.name.clone());
        let held = tenant.definitions.get(&place);
        if held == Some(definition) {
            return Ok(true);
        }
        if held.map_or(0, |held| held.version) + 1 != definition.version {
            return Ok(false);
        }
        tenant.definitions.insert(place, definition.clone());
        tenant.number += 1;
        Ok(true)
    }
}
