//! Templates, in memory.

use std::collections::{BTreeMap, HashMap};
use std::sync::Mutex;

use async_trait::async_trait;

use super::{FakeStore, lock};
use crate::domain::TemplateChange;
use crate::store::{StoreError, TemplateBodyPlace, TemplateRows};

#[derive(Debug, Default)]
pub(super) struct Kept {
    changes: Mutex<BTreeMap<Box<str>, Vec<TemplateChange>>>,
    bodies: Mutex<HashMap<BodyKey, Vec<u8>>>,
    damaged: Mutex<Option<(Box<str>, u64)>>,
}

/// Tenant and place.
type BodyKey = (Box<str>, TemplateBodyPlace);

impl FakeStore {
    /// A change that nobody can read.
    pub(crate) fn damage_template_change(&self, tenant: &str, number: u64) {
        *lock(&self.templates.damaged) = Some((tenant.into(), number));
    }
}

#[async_trait]
impl TemplateRows for FakeStore {
    async fn template_tenants(&self) -> Result<Vec<Box<str>>, StoreError> {
        self.answers().await?;
        Ok(lock(&self.templates.changes).keys().cloned().collect())
    }

    async fn append_template_change(&self, tenant: &str, change: &TemplateChange) -> Result<bool, StoreError> {
        self.answers().await?;
        let mut changes = lock(&self.templates.changes);
        let changes = changes.entry(tenant.into()).or_default();
        if let Some(held) = changes.iter().find(|held| held.number == change.number) {
            return Ok(held == change);
        }
        changes.push(change.clone());
        Ok(true)
    }

    async fn template_changes(
        &self,
        tenant: &str,
        after: u64,
        limit: usize,
    ) -> Result<Vec<TemplateChange>, StoreError> {
        self.answers().await?;
        let changes = lock(&self.templates.changes);
        let changes = changes.get(tenant).into_iter().flatten();
        let changes: Vec<TemplateChange> =
            changes.filter(|change| change.number > after).take(limit).cloned().collect();
        let damaged = lock(&self.templates.damaged);
        let is_damaged = |(whose, number): &(Box<str>, u64)| {
            **whose == *tenant && changes.iter().any(|change| change.number == *number)
        };
        match damaged.as_ref().is_some_and(is_damaged) {
            true => Err(StoreError::Unreadable("what nobody knows".to_owned())),
            false => Ok(changes),
        }
    }

    async fn put_template_body(&self, tenant: &str, place: &TemplateBodyPlace, body: &[u8]) -> Result<(), StoreError> {
        self.answers().await?;
        lock(&self.templates.bodies).insert((tenant.into(), place.clone()), body.to_vec());
        Ok(())
    }

    async fn template_bodies(
        &self,
        tenant: &str,
        places: &[TemplateBodyPlace],
    ) -> Result<Vec<Option<Vec<u8>>>, StoreError> {
        self.answers().await?;
        let bodies = lock(&self.templates.bodies);
        Ok(places.iter().map(|place| bodies.get(&(tenant.into(), place.clone())).cloned()).collect())
    }

    async fn delete_template_body(&self, tenant: &str, place: &TemplateBodyPlace) -> Result<(), StoreError> {
        self.answers().await?;
        lock(&self.templates.bodies).remove(&(tenant.into(), place.clone()));
        Ok(())
    }
}
