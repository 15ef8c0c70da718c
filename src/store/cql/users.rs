//! Users and suppressions: rows that are written over and never deleted. Which of two writes counts is decided by the times of
//! their cells; those of one process never go back ([`super::numbers`]).

use std::collections::HashMap;

use async_trait::async_trait;
use futures_util::{StreamExt, TryStreamExt, stream};
use scylla::value::CqlValue;

use super::CqlStore;
use super::lists;
use super::runner::{Body, Row, Traffic, blob, small};
use crate::codec;
use crate::domain::{AddressKind, SuppressedAddress, Suppression, User, UserKey};
use crate::store::users::last_entries;
use crate::store::{
    ListedSuppression, StoreError, SuppressionChange, SuppressionPlace, Suppressions, UserChange, Users,
};

/// Users or addresses that one call reads at once: half of the places for reads, so that another call finds some.
const ABREAST: usize = 32;

/// Into so many parts the suppressions of a tenant are divided; part of their keys, and so never changed.
const PARTS: u8 = 64;

/// Parts that are listed at once.
const PARTS_ABREAST: usize = 8;

#[async_trait]
impl Users for CqlStore {
    async fn users(&self, keys: &[UserKey]) -> Result<Vec<Option<User>>, StoreError> {
        stream::iter(keys.to_vec())
            .map(|key| async move {
                let values = user_key(&key);
                let rows = self.runner.rows::<Body>("read a user", &self.statements.user, &values).await?;
                let entries = rows.iter().map(|(body,)| codec::decode_user_entry(body));
                Ok(User::from_entries(entries.collect::<Result<Vec<_>, _>>()?))
            })
            .buffered(ABREAST)
            .try_collect()
            .await
    }

    async fn write_users(&self, changes: Vec<UserChange>) -> Result<(), StoreError> {
        let mut rows = Vec::new();
        // Of each thing once: two rows of one batch have one time, and of those the database takes the one with the larger bytes.
        for (key, entries) in last_entries(changes) {
            let partition = lists::user(&key.tenant, &key.user_id);
            for ((kind, name), entry) in entries {
                let mut values = user_key(&key).to_vec();
                values.extend([small(kind), CqlValue::Text(name), blob(codec::encode_user_entry(&entry))]);
                rows.push(Row { partition, values });
            }
        }
        self.runner.write("write users", Traffic::Writes, &self.statements.add_user_entry, rows).await
    }
}

fn user_key(key: &UserKey) -> [CqlValue; 2] {
    [CqlValue::Text(key.tenant.to_string()), CqlValue::Text(key.user_id.to_string())]
}

#[async_trait]
impl Suppressions for CqlStore {
    async fn suppressions(&self, addresses: &[SuppressedAddress]) -> Result<Vec<Option<Suppression>>, StoreError> {
        stream::iter(addresses.to_vec())
            .map(|address| async move {
                let values = suppression_key(&address);
                let statement = &self.statements.suppression;
                let row = self.runner.rows::<Body>("read a suppression", statement, &values).await?.pop();
                Ok(row.map(|(body,)| codec::decode_suppression(&body)).transpose()?.flatten())
            })
            .buffered(ABREAST)
            .try_collect()
            .await
    }

    async fn write_suppressions(&self, changes: Vec<SuppressionChange>) -> Result<(), StoreError> {
        // Of each address once, the last: see `write_users`.
        let last: HashMap<SuppressedAddress, Option<Suppression>> = changes.into_iter().collect();
        let rows = last.into_iter().map(|(address, suppression)| {
            let mut values = suppression_key(&address).to_vec();
            values.push(blob(codec::encode_suppression(suppression.as_ref())));
            let part = part(&SuppressionPlace::of(&address));
            Row { partition: lists::user(&address.tenant, "") ^ u128::from(part), values }
        });
        let mut rows: Vec<Row> = rows.collect();
        rows.sort_by_key(|row| row.partition);
        self.runner.write("write suppressions", Traffic::Writes, &self.statements.add_suppression, rows).await
    }

    async fn all_suppressions(
        &self,
        tenant: &str,
        after: Option<SuppressionPlace>,
        limit: usize,
    ) -> Result<Vec<ListedSuppression>, StoreError> {
        let first = after.as_ref().map_or(0, part);
        let mut parts = stream::iter(first..PARTS)
            .map(|number| self.part_of_list(tenant, number, after.filter(|place| part(place) == number), limit))
            .buffered(PARTS_ABREAST);
        let mut listed = Vec::new();
        while listed.len() < limit
            && let Some(part) = parts.try_next().await?
        {
            listed.extend(part);
        }
        listed.truncate(limit);
        Ok(listed)
    }
}

impl CqlStore {
    /// Those of one part that hold, after a place in it if there is one.
    async fn part_of_list(
        &self,
        tenant: &str,
        part: u8,
        after: Option<SuppressionPlace>,
        limit: usize,
    ) -> Result<Vec<ListedSuppression>, StoreError> {
        type Cells = (i16, bytes::Bytes, bytes::Bytes);
        let (kind, hash) = match &after {
            Some(place) => (small(place.kind() as u8), blob(place.hash())),
            // Before every place: no hash is empty.
            None => (small(AddressKind::Email as u8), blob([])),
        };
        let values = [CqlValue::Text(tenant.to_owned()), part_value(part), kind, hash];
        // Pages until there are enough that were not lifted.
        let is_enough = |rows: &[Cells]| rows.iter().filter(|(_, _, body)| !is_lifted(body)).count() >= limit;
        let statement = &self.statements.suppressions;
        let rows = self.runner.rows_until::<Cells>("list suppressions", statement, &values, is_enough).await?;
        let mut listed = Vec::new();
        for (kind, hash, body) in rows {
            let Some(suppression) = codec::decode_suppression(&body)? else { continue };
            let bytes = [&[kind as u8][..], &hash[..]].concat();
            let place = SuppressionPlace::from_bytes(&bytes);
            let place = place.ok_or_else(|| StoreError::Unreadable("the key of a suppression".to_owned()))?;
            listed.push(ListedSuppression { place, suppression });
        }
        listed.truncate(limit);
        Ok(listed)
    }
}

fn is_lifted(body: &[u8]) -> bool {
    matches!(codec::decode_suppression(body), Ok(None))
}

/// The first six bits of the hash.
fn part(place: &SuppressionPlace) -> u8 {
    place.hash().first().map_or(0, |byte| byte >> 2)
}

fn part_value(part: u8) -> CqlValue {
    CqlValue::TinyInt(part as i8)
}

fn suppression_key(address: &SuppressedAddress) -> [CqlValue; 4] {
    let place = SuppressionPlace::of(address);
    [
        CqlValue::Text(address.tenant.to_string()),
        part_value(part(&place)),
        small(place.kind() as u8),
        blob(place.hash()),
    ]
}

const _: () = assert!(PARTS == u8::MAX / 4 + 1, "a part is the first six bits of a byte");
