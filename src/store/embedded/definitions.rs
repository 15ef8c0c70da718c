//! Definitions: tenants and what they defined in one table.

use async_trait::async_trait;

use super::read::page;
use super::{EmbeddedStore, keys};
use crate::codec;
use crate::disk::{Traffic, Urgency};
use crate::domain::{Definition, DefinitionKind};
use crate::store::{DefinitionRows, StoreError};

#[async_trait]
impl DefinitionRows for EmbeddedStore {
    async fn definition_tenants(&self) -> Result<Vec<(Box<str>, u64)>, StoreError> {
        let rows = self.beside(|disk| {
            let prefix = keys::definition_tenants();
            page(disk, &disk.keyspaces.definitions, prefix, None, usize::MAX)
        });
        let tenants = rows.await?;
        let tenants = tenants.iter().map(|(key, value)| {
            let tenant = keys::read_definition_tenant(key);
            let tenant = tenant.ok_or_else(|| StoreError::Unreadable("the key of a tenant".to_owned()))?;
            Ok((tenant, codec::decode_mark(value)?))
        });
        tenants.collect()
    }

    async fn definitions(&self, tenant: &str) -> Result<Vec<Definition>, StoreError> {
        let prefix = keys::definitions_of(tenant);
        let rows = self.beside(move |disk| page(disk, &disk.keyspaces.definitions, prefix, None, usize::MAX)).await?;
        let definitions = rows.iter().map(|(key, value)| {
            let place = keys::read_definition(tenant, key);
            let (kind, name) = place.ok_or_else(|| StoreError::Unreadable("the key of a definition".to_owned()))?;
            read(kind, &name, value)
        });
        definitions.collect()
    }

    async fn definition(
        &self,
        tenant: &str,
        kind: DefinitionKind,
        name: &str,
    ) -> Result<Option<Definition>, StoreError> {
        let key = keys::definition(tenant, kind, name);
        let row = self.beside(move |disk| {
            let row = disk.keyspaces.definitions.get(key).map_err(|cause| disk.read_error(&cause))?;
            Ok(row)
        });
        row.await?.map(|value| read(kind, name, &value)).transpose()
    }

    async fn put_definition(&self, tenant: &str, definition: &Definition) -> Result<bool, StoreError> {
        // One looks what stands there, and then takes its place.
        let _one = self.appending.lock().await;
        let Definition { kind, name, version, .. } = definition;
        let held = self.definition(tenant, *kind, name).await?;
        if held.as_ref() == Some(definition) {
            return Ok(true);
        }
        if held.map_or(0, |held| held.version).checked_add(1) != Some(*version) {
            return Ok(false);
        }
        let number = self.number_of(tenant).await? + 1;
        let key = keys::definition(tenant, *kind, name);
        let mut value = version.to_be_bytes().to_vec();
        value.extend(codec::encode_definition(definition));
        let (table, tenant) = (self.disk.keyspaces.definitions.clone(), keys::definition_tenant(tenant));
        let written = self.disk.write(Traffic::Intake, Urgency::Shared, key.len() + value.len(), move |rows| {
            rows.insert(&table, tenant, codec::encode_mark(number));
            rows.insert(&table, key, value);
        });
        written.await?;
        Ok(true)
    }
}

impl EmbeddedStore {
    /// How often a tenant changed something.
    async fn number_of(&self, tenant: &str) -> Result<u64, StoreError> {
        let key = keys::definition_tenant(tenant);
        let row = self.beside(move |disk| {
            let row = disk.keyspaces.definitions.get(key).map_err(|cause| disk.read_error(&cause))?;
            Ok(row)
        });
        Ok(row.await?.map(|value| codec::decode_mark(&value)).transpose()?.unwrap_or(0))
    }
}

/// The version stands before the rest.
fn read(kind: DefinitionKind, name: &str, value: &[u8]) -> Result<Definition, StoreError> {
    let unreadable = || StoreError::Unreadable("the version of a definition".to_owned());
    let (version, rest) = value.split_first_chunk::<8>().ok_or_else(unreadable)?;
    Ok(codec::decode_definition(kind, name, u64::from_be_bytes(*version), rest)?)
}
