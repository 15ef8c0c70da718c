//! Users and suppressions. What is taken back is removed: one process writes here, and its writes have an order.

use async_trait::async_trait;

use super::read::page;
use super::{EmbeddedStore, keys};
use crate::codec;
use crate::disk::{Disk, Traffic, Urgency};
use crate::domain::{SuppressedAddress, Suppression, User, UserKey};
use crate::store::users::last_entries;
use crate::store::{
    ListedSuppression, StoreError, SuppressionChange, SuppressionPlace, Suppressions, UserChange, Users,
};

/// A row to be put; no value: to be removed.
pub(super) type Row = (Vec<u8>, Option<Vec<u8>>);

/// Rows that are put together. More is several writes one after the other, so that what else is asked for gets its turn
/// between them.
const GROUP_BYTES: usize = 1 << 20;

#[async_trait]
impl Users for EmbeddedStore {
    async fn users(&self, keys: &[UserKey]) -> Result<Vec<Option<User>>, StoreError> {
        let keys = keys.to_vec();
        self.beside(move |disk| keys.iter().map(|key| read_user(disk, key)).collect()).await
    }

    async fn write_users(&self, changes: Vec<UserChange>) -> Result<(), StoreError> {
        let mut rows: Vec<Row> = Vec::new();
        for (key, entries) in last_entries(changes) {
            rows.extend(entries.iter().map(|(slot, entry)| {
                let value = (!entry.is_taken_back()).then(|| codec::encode_user_entry(entry));
                (keys::entry(&key, slot), value)
            }));
        }
        self.put(&self.disk.keyspaces.users, rows).await
    }

    async fn all_users(&self, after: Option<UserKey>, limit: usize) -> Result<Option<Vec<UserKey>>, StoreError> {
        self.beside(move |disk| {
            let mut users: Vec<UserKey> = Vec::new();
            let mut start = after.as_ref().map(keys::after_entries_of).unwrap_or_default();
            while users.len() < limit {
                let Some(row) = disk.keyspaces.users.range::<Vec<u8>, _>(start..).next() else { break };
                let (key, _) = row.into_inner().map_err(|cause| disk.read_error(&cause))?;
                let user = keys::read_user(&key);
                let user = user.ok_or_else(|| StoreError::Unreadable("the key of a user".to_owned()))?;
                start = keys::after_entries_of(&user);
                users.push(user);
            }
            Ok(Some(users))
        })
        .await
    }
}

fn read_user(disk: &Disk, key: &UserKey) -> Result<Option<User>, StoreError> {
    let mut entries = Vec::new();
    for row in disk.keyspaces.users.prefix(keys::entries_of(key)) {
        let value = row.value().map_err(|cause| disk.read_error(&cause))?;
        entries.push(codec::decode_user_entry(&value)?);
    }
    Ok(User::from_entries(entries))
}

#[async_trait]
impl Suppressions for EmbeddedStore {
    async fn suppressions(&self, addresses: &[SuppressedAddress]) -> Result<Vec<Option<Suppression>>, StoreError> {
        let rows: Vec<Vec<u8>> = addresses.iter().map(key_of).collect();
        self.beside(move |disk| {
            let read = |key: &Vec<u8>| {
                let value = disk.keyspaces.suppressions.get(key).map_err(|cause| disk.read_error(&cause))?;
                Ok(value.map(|value| codec::decode_suppression(&value)).transpose()?.flatten())
            };
            rows.iter().map(read).collect()
        })
        .await
    }

    async fn write_suppressions(&self, changes: Vec<SuppressionChange>) -> Result<(), StoreError> {
        let rows = changes.iter().map(|(address, suppression)| {
            let value = suppression.as_ref().map(|suppression| codec::encode_suppression(Some(suppression)));
            (key_of(address), value)
        });
        self.put(&self.disk.keyspaces.suppressions, rows.collect()).await
    }

    async fn all_suppressions(
        &self,
        tenant: &str,
        after: Option<SuppressionPlace>,
        limit: usize,
    ) -> Result<Vec<ListedSuppression>, StoreError> {
        let prefix = keys::suppressions_of(tenant);
        let start = after.map(|place| keys::suppression(tenant, &place));
        let rows = self.beside(move |disk| page(disk, &disk.keyspaces.suppressions, prefix, start, limit)).await?;
        let mut listed = Vec::with_capacity(rows.len());
        for (key, value) in rows {
            let place = keys::read_suppression(tenant, &key);
            let place = place.ok_or_else(|| StoreError::Unreadable("the key of a suppression".to_owned()))?;
            if let Some(suppression) = codec::decode_suppression(&value)? {
                listed.push(ListedSuppression { place, suppression });
            }
        }
        Ok(listed)
    }
}

fn key_of(address: &SuppressedAddress) -> Vec<u8> {
    keys::suppression(&address.tenant, &SuppressionPlace::of(address))
}

impl EmbeddedStore {
    /// Puts rows of one table, in their order.
    pub(super) async fn put(&self, table: &fjall::Keyspace, rows: Vec<Row>) -> Result<(), StoreError> {
        let mut rest = rows.into_iter().peekable();
        while rest.peek().is_some() {
            let (mut group, mut bytes) = (Vec::new(), 0);
            while bytes < GROUP_BYTES
                && let Some((key, value)) = rest.next()
            {
                bytes += key.len() + value.as_ref().map_or(0, Vec::len);
                group.push((key, value));
            }
            let table = table.clone();
            let written = self.disk.write(Traffic::Intake, Urgency::Shared, bytes, move |rows| {
                for (key, value) in group {
                    match value {
                        Some(value) => rows.insert(&table, key, value),
                        None => rows.remove(&table, key),
                    }
                }
            });
            written.await?;
        }
        Ok(())
    }
}
