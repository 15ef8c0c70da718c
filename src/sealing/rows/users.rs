//! Users. What an entry says is sealed; which entry it is stands in the row's key.

use async_trait::async_trait;

use super::{ENTRY, ToOpen, ToSeal, open_at, seal_at};
use crate::codec;
use crate::domain::{SealedEntry, User, UserEntry, UserKey};
use crate::sealing::SealedStore;
use crate::store::{StoreError, UserChange, UserSecret, Users};

#[async_trait]
impl Users for SealedStore {
    async fn users(&self, keys: &[UserKey]) -> Result<Vec<Option<User>>, StoreError> {
        let mut users = self.store.users(keys).await?;
        let mut to_open = ToOpen::default();
        for (key, user) in keys.iter().zip(&users) {
            for entry in user.iter().flat_map(|user| &user.sealed) {
                to_open.note(key, &entry.sealed)?;
            }
        }
        if to_open.is_empty() {
            return Ok(users);
        }
        let mut secrets = to_open.secrets(&self.keyring).await?;
        for user in &mut users {
            let Some(known) = user else { continue };
            for entry in std::mem::take(&mut known.sealed) {
                if let Some(secret) = secrets.of_next()? {
                    known.apply(open_entry(&secret, &entry)?);
                }
            }
            if *known == User::default() {
                *user = None;
            }
        }
        Ok(users)
    }

    async fn write_users(&self, mut changes: Vec<UserChange>) -> Result<(), StoreError> {
        let mut to_seal = ToSeal::default();
        for change in &changes {
            if change.entries.iter().any(UserEntry::is_personal) {
                to_seal.note(change.key.clone());
            }
        }
        if !to_seal.is_empty() {
            let mut secrets = to_seal.secrets(&self.keyring).await?;
            for change in &mut changes {
                if change.entries.iter().any(UserEntry::is_personal) {
                    seal_change(&secrets.of_next()?, change)?;
                }
            }
        }
        self.store.write_users(changes).await
    }

    async fn all_users(&self, after: Option<UserKey>, limit: usize) -> Result<Option<Vec<UserKey>>, StoreError> {
        self.store.all_users(after, limit).await
    }
}

fn seal_change(secret: &UserSecret, change: &mut UserChange) -> Result<(), StoreError> {
    for entry in change.entries.iter_mut().filter(|entry| entry.is_personal()) {
        let (kind, name) = entry.slot();
        let mut sealed = Vec::new();
        seal_at(secret, &place(kind, &name), &codec::encode_user_entry(entry), &mut sealed)?;
        *entry = UserEntry::Sealed(SealedEntry { kind, name: name.into(), sealed: sealed.into() });
    }
    Ok(())
}

fn open_entry(secret: &UserSecret, entry: &SealedEntry) -> Result<UserEntry, StoreError> {
    let plain = open_at(secret, &place(entry.kind, &entry.name), &entry.sealed)?;
    Ok(codec::decode_user_entry(&plain)?)
}

/// Which entry; whose it is the secret says.
fn place(kind: u8, name: &str) -> Vec<u8> {
    [&[ENTRY, kind], name.as_bytes()].concat()
}
