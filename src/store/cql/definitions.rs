//! Definitions: by compare-and-set on their versions; and the tenants' numbers, by compare-and-set after each change.

use async_trait::async_trait;
use bytes::Bytes;
use scylla::value::CqlValue;

use super::CqlStore;
use super::leases::is_applied;
use super::runner::{big, blob, small};
use crate::codec;
use crate::domain::{Definition, DefinitionKind};
use crate::store::{DefinitionRows, StoreError};

/// The one partition of tenants.
const PART: CqlValue = CqlValue::TinyInt(0);

/// How often a change is sent before it fails. It may be sent again: what stands there then says whether it was this one.
const TRIES: u32 = 3;

#[async_trait]
impl DefinitionRows for CqlStore {
    async fn definition_tenants(&self) -> Result<Vec<(Box<str>, u64)>, StoreError> {
        type Cells = (String, i64);
        let statement = &self.statements.definition_tenants;
        let rows = self.runner.rows::<Cells>("read who defined something", statement, &[PART]).await?;
        Ok(rows.into_iter().map(|(tenant, number)| (tenant.into(), number as u64)).collect())
    }

    async fn definitions(&self, tenant: &str) -> Result<Vec<Definition>, StoreError> {
        type Cells = (i16, String, i64, Bytes);
        let key = [CqlValue::Text(tenant.to_owned())];
        let rows = self.runner.rows::<Cells>("read definitions", &self.statements.definitions, &key).await?;
        let definitions = rows.into_iter().map(|(kind, name, version, body)| {
            let kind = usize::try_from(kind).ok().and_then(DefinitionKind::from_index);
            let kind = kind.ok_or_else(|| StoreError::Unreadable("the key of a definition".to_owned()))?;
            Ok(codec::decode_definition(kind, &name, version as u64, &body)?)
        });
        definitions.collect()
    }

    async fn definition(
        &self,
        tenant: &str,
        kind: DefinitionKind,
        name: &str,
    ) -> Result<Option<Definition>, StoreError> {
        type Cells = (i64, Bytes);
        let key = key(tenant, kind, name);
        let row = self.runner.rows::<Cells>("read a definition", &self.statements.definition, &key).await?.pop();
        let read = row.map(|(version, body)| codec::decode_definition(kind, name, version as u64, &body));
        Ok(read.transpose()?)
    }

    async fn put_definition(&self, tenant: &str, definition: &Definition) -> Result<bool, StoreError> {
        let is_put = self.swap_definition(tenant, definition).await?;
        if is_put {
            // After the change: who reads before it is there would take what stood before for what belongs to this number.
            self.count_definition(tenant).await?;
        }
        Ok(is_put)
    }
}

impl CqlStore {
    /// Puts it in the place of the one before, or finds that it is there.
    async fn swap_definition(&self, tenant: &str, definition: &Definition) -> Result<bool, StoreError> {
        let Definition { kind, name, version, .. } = definition;
        let [tenant_key, kind_key, name_key] = key(tenant, *kind, name);
        let body = blob(codec::encode_definition(definition));
        let (statement, values) = match version.checked_sub(1) {
            None => return Ok(false),
            Some(0) => (&self.statements.first_definition, vec![tenant_key, kind_key, name_key, big(*version), body]),
            Some(before) => (
                &self.statements.next_definition,
                vec![big(*version), body, tenant_key, kind_key, name_key, big(before)],
            ),
        };
        let mut tried = 1;
        loop {
            match self.runner.once("put a definition", statement, &values).await {
                Ok(result) => {
                    let is_applied = is_applied(result, "put a definition")?;
                    return Ok(is_applied || self.definition(tenant, *kind, name).await?.as_ref() == Some(definition));
                }
                Err(error) if tried == TRIES => return Err(error),
                Err(error) => tracing::debug!(%error, "a definition is put again"),
            }
            tried += 1;
        }
    }

    /// Gives a tenant another number, once: where another change came between, its number is another one too, and was given after
    /// what is counted here was there.
    async fn count_definition(&self, tenant: &str) -> Result<(), StoreError> {
        type Cells = (i64,);
        let key = [PART, CqlValue::Text(tenant.to_owned())];
        let mut tried = 1;
        loop {
            let statement = &self.statements.definition_number;
            let row = self.runner.rows::<Cells>("read a number of definitions", statement, &key).await?.pop();
            let [part, tenant] = key.clone();
            let (statement, values) = match row {
                None => (&self.statements.first_definition_number, vec![part, tenant, big(1)]),
                Some((number,)) => {
                    let number = number as u64;
                    (&self.statements.next_definition_number, vec![big(number + 1), part, tenant, big(number)])
                }
            };
            match self.runner.once("count a definition", statement, &values).await {
                Ok(_) => return Ok(()),
                Err(error) if tried == TRIES => return Err(error),
                Err(error) => tracing::debug!(%error, "a definition is counted again"),
            }
            tried += 1;
        }
    }
}

fn key(tenant: &str, kind: DefinitionKind, name: &str) -> [CqlValue; 3] {
    [CqlValue::Text(tenant.to_owned()), small(kind.index() as u8), CqlValue::Text(name.to_owned())]
}
