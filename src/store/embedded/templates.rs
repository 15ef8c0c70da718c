//! Templates: tenants, changes and bodies in one table.

use async_trait::async_trait;

use super::read::page;
use super::{EmbeddedStore, keys};
use crate::codec;
use crate::disk::{Traffic, Urgency};
use crate::domain::TemplateChange;
use crate::store::{StoreError, TemplateBodyPlace, TemplateRows};

#[async_trait]
impl TemplateRows for EmbeddedStore {
    async fn template_tenants(&self) -> Result<Vec<Box<str>>, StoreError> {
        let rows = self.beside(|disk| {
            let prefix = keys::template_tenants();
            page(disk, &disk.keyspaces.templates, prefix, None, usize::MAX)
        });
        let rows = rows.await?;
        let unreadable = || StoreError::Unreadable("the key of a tenant".to_owned());
        rows.iter().map(|(key, _)| keys::read_template_tenant(key).ok_or_else(unreadable)).collect()
    }

    async fn append_template_change(&self, tenant: &str, change: &TemplateChange) -> Result<bool, StoreError> {
        let _one = self.appending.lock().await;
        let key = keys::template_change(tenant, change.number);
        let value = codec::encode_template_change(change);
        let place = key.clone();
        let held = self.beside(move |disk| {
            let held = disk.keyspaces.templates.get(place).map_err(|cause| disk.read_error(&cause))?;
            Ok(held)
        });
        if let Some(held) = held.await? {
            return Ok(*held == *value);
        }
        let (table, tenant) = (self.disk.keyspaces.templates.clone(), keys::template_tenant(tenant));
        let written = self.disk.write(Traffic::Intake, Urgency::Shared, key.len() + value.len(), move |rows| {
            rows.insert(&table, tenant, Vec::new());
            rows.insert(&table, key, value);
        });
        written.await?;
        Ok(true)
    }

    async fn template_changes(
        &self,
        tenant: &str,
        after: u64,
        limit: usize,
    ) -> Result<Vec<TemplateChange>, StoreError> {
        let prefix = keys::template_changes_of(tenant);
        let start = keys::template_change(tenant, after);
        let rows = self.beside(move |disk| page(disk, &disk.keyspaces.templates, prefix, Some(start), limit)).await?;
        let changes = rows.iter().map(|(key, value)| {
            let number = keys::read_template_change(key);
            let number = number.ok_or_else(|| StoreError::Unreadable("the key of a template's change".to_owned()))?;
            Ok(codec::decode_template_change(number, value)?)
        });
        changes.collect()
    }

    async fn put_template_body(&self, tenant: &str, place: &TemplateBodyPlace, body: &[u8]) -> Result<(), StoreError> {
        let row = (keys::template_body(tenant, place), Some(body.to_vec()));
        self.put(&self.disk.keyspaces.templates, vec![row]).await
    }

    async fn template_bodies(
        &self,
        tenant: &str,
        places: &[TemplateBodyPlace],
    ) -> Result<Vec<Option<Vec<u8>>>, StoreError> {
        let keys: Vec<Vec<u8>> = places.iter().map(|place| keys::template_body(tenant, place)).collect();
        self.beside(move |disk| {
            let read = |key: Vec<u8>| {
                let value = disk.keyspaces.templates.get(key).map_err(|cause| disk.read_error(&cause))?;
                Ok(value.map(|value| value.to_vec()))
            };
            keys.into_iter().map(read).collect()
        })
        .await
    }

    async fn delete_template_body(&self, tenant: &str, place: &TemplateBodyPlace) -> Result<(), StoreError> {
        self.put(&self.disk.keyspaces.templates, vec![(keys::template_body(tenant, place), None)]).await
    }
}
