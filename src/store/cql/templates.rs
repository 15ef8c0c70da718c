//! Templates: changes by compare-and-set, bodies by name.

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt, stream};
use scylla::value::CqlValue;

use super::CqlStore;
use super::leases::is_applied;
use super::runner::{Body, Row, Traffic, big, blob};
use crate::codec;
use crate::domain::TemplateChange;
use crate::store::{StoreError, TemplateBodyPlace, TemplateRows};

/// The one partition of tenants.
const PART: CqlValue = CqlValue::TinyInt(0);

/// Changes of a partition; part of their keys, and so never changed.
const BUCKET_CHANGES: u64 = 4096;

/// Bodies that one call reads at once: half of the places for reads, so that another call finds some.
const ABREAST: usize = 32;

/// How often an append is sent before it fails. It may be sent again: what stands there then says whether it was this one.
const TRIES: u32 = 3;

#[async_trait]
impl TemplateRows for CqlStore {
    async fn template_tenants(&self) -> Result<Vec<Box<str>>, StoreError> {
        type Cells = (String,);
        let rows = self.runner.rows::<Cells>("read tenants", &self.statements.template_tenants, &[PART]).await?;
        Ok(rows.into_iter().map(|(tenant,)| tenant.into()).collect())
    }

    async fn append_template_change(&self, tenant: &str, change: &TemplateChange) -> Result<bool, StoreError> {
        if change.number == 1 {
            // Before the change: nobody follows a tenant that is not listed.
            let rows = vec![Row { partition: 0, values: vec![PART, CqlValue::Text(tenant.to_owned())] }];
            self.runner.write("list a tenant", Traffic::Critical, &self.statements.add_template_tenant, rows).await?;
        }
        let body = codec::encode_template_change(change);
        let mut values = change_key(tenant, change.number).to_vec();
        values.push(blob(body.clone()));
        let mut tried = 1;
        loop {
            let statement = &self.statements.append_template_change;
            match self.runner.once("append a change of a template", statement, &values).await {
                Ok(result) => {
                    let is_applied = is_applied(result, "append a change of a template")?;
                    return Ok(is_applied || self.is_held(tenant, change.number, &body).await?);
                }
                Err(error) if tried == TRIES => return Err(error),
                Err(error) => tracing::debug!(%error, "the append of a template's change is sent again"),
            }
            tried += 1;
        }
    }

    async fn template_changes(
        &self,
        tenant: &str,
        after: u64,
        limit: usize,
    ) -> Result<Vec<TemplateChange>, StoreError> {
        type Cells = (i64, Bytes);
        let mut changes: Vec<TemplateChange> = Vec::new();
        let mut after = after;
        while changes.len() < limit {
            let first = after + 1;
            let left = limit - changes.len();
            let mut values = bucket(tenant, first).to_vec();
            values.push(big(after));
            let statement = &self.statements.template_changes;
            let rows = self
                .runner
                .rows_until::<Cells>("read changes of templates", statement, &values, |rows| rows.len() >= left)
                .await?;
            for (number, body) in rows.into_iter().take(left) {
                changes.push(codec::decode_template_change(number as u64, &body)?);
            }
            let last = changes.last().map_or(0, |change| change.number);
            // The next partition has some only if this one has its last: there are no gaps.
            if last < first || last % BUCKET_CHANGES != BUCKET_CHANGES - 1 {
                break;
            }
            after = last;
        }
        Ok(changes)
    }

    async fn put_template_body(&self, tenant: &str, place: &TemplateBodyPlace, body: &[u8]) -> Result<(), StoreError> {
        let mut values = body_key(tenant, place).to_vec();
        values.push(blob(body));
        let rows = vec![Row { partition: 0, values }];
        self.runner.write("keep a template", Traffic::Writes, &self.statements.put_template_body, rows).await
    }

    async fn template_bodies(
        &self,
        tenant: &str,
        places: &[TemplateBodyPlace],
    ) -> Result<Vec<Option<Vec<u8>>>, StoreError> {
        stream::iter(places.to_vec())
            .map(|place| async move {
                let values = body_key(tenant, &place);
                let statement = &self.statements.template_body;
                let row = self.runner.rows::<Body>("read a template", statement, &values).await?.pop();
                Ok(row.map(|(body,)| body.to_vec()).filter(|body| !body.is_empty()))
            })
            .buffered(ABREAST)
            .try_collect()
            .await
    }

    async fn delete_template_body(&self, tenant: &str, place: &TemplateBodyPlace) -> Result<(), StoreError> {
        self.put_template_body(tenant, place, &[]).await
    }
}

impl CqlStore {
    /// Whether the change that has this number is this one.
    async fn is_held(&self, tenant: &str, number: u64, body: &[u8]) -> Result<bool, StoreError> {
        let key = change_key(tenant, number);
        let statement = &self.statements.template_change;
        let held = self.runner.rows::<Body>("read a change of a template", statement, &key).await?.pop();
        Ok(held.is_some_and(|(held,)| *held == *body))
    }
}

fn bucket(tenant: &str, number: u64) -> [CqlValue; 2] {
    [CqlValue::Text(tenant.to_owned()), big(number / BUCKET_CHANGES)]
}

fn change_key(tenant: &str, number: u64) -> [CqlValue; 3] {
    let [tenant, bucket] = bucket(tenant, number);
    [tenant, bucket, big(number)]
}

fn body_key(tenant: &str, place: &TemplateBodyPlace) -> [CqlValue; 3] {
    let code = CqlValue::Text(place.code.to_string());
    [CqlValue::Text(tenant.to_owned()), code, blob(place.body.to_be_bytes())]
}
