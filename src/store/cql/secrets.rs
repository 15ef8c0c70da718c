//! Secrets of users: rows of a table of their own, written over when they are destroyed.
//!
//! A row that was written over stays in the files of the database until they are merged: see docs/privacy.md for what an operator does
//! about it. Nothing is deleted and nothing expires, so that no replica that was away brings a secret back.

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt, stream};
use ring::rand::{SecureRandom, SystemRandom};
use scylla::value::CqlValue;
use xxhash_rust::xxh3::xxh3_128;

use super::CqlStore;
use super::runner::{Row, Traffic, big, blob};
use crate::domain::UserKey;
use crate::store::{SecretsOf, StoreError, UserSecret, UserSecrets};

/// Users that one call reads at once: half of the places for reads, so that another call finds some.
const ABREAST: usize = 32;

/// The name of the row of the key that addresses are hashed under.
const ADDRESS_KEY: &str = "addresses";

#[async_trait]
impl UserSecrets for CqlStore {
    async fn user_secrets(&self, users: &[UserKey]) -> Result<Vec<SecretsOf>, StoreError> {
        stream::iter(users.to_vec())
            .map(|user| async move { self.secrets_of(&user).await })
            .buffered(ABREAST)
            .try_collect()
            .await
    }

    async fn create_user_secrets(&self, users: &[UserKey]) -> Result<Vec<UserSecret>, StoreError> {
        let made: Vec<UserSecret> = users.iter().map(|_| new_secret()).collect::<Result<_, _>>()?;
        let rows = users.iter().zip(&made).map(|(user, secret)| row(user, secret.id, &secret.bytes));
        self.write_secrets(rows.collect()).await?;
        Ok(made)
    }

    async fn destroy_user_secrets(&self, user: &UserKey) -> Result<usize, StoreError> {
        let held = self.secrets_of(user).await?.there;
        if held.is_empty() {
            return Ok(0);
        }
        self.write_secrets(held.iter().map(|secret| row(user, secret.id, &[])).collect()).await?;
        // Of two writes that of the later clock counts: behind a clock that runs ahead this one changed nothing.
        let left = self.secrets_of(user).await?.there;
        match left.iter().any(|secret| held.contains(secret)) {
            true => Err(StoreError::Failed(
                "a secret was made by a node whose clock is ahead of this one's: it is destroyed when the clocks agree"
                    .to_owned(),
            )),
            false => Ok(held.len()),
        }
    }

    async fn address_key(&self) -> Result<[u8; UserSecret::BYTES], StoreError> {
        if let Some(key) = self.held_address_key().await? {
            return Ok(key);
        }
        let new = new_secret()?.bytes;
        let values = [CqlValue::Text(ADDRESS_KEY.to_owned()), blob(new)];
        let statement = &self.statements.first_installation_secret;
        self.runner.once("write the key of addresses", statement, &values).await?;
        // Of those who write at once one is first, and all take that one's.
        let missing = || StoreError::Failed("the key of addresses was written, and is not there".to_owned());
        self.held_address_key().await?.ok_or_else(missing)
    }
}

impl CqlStore {
    async fn held_address_key(&self) -> Result<Option<[u8; UserSecret::BYTES]>, StoreError> {
        let statement = &self.statements.installation_secret;
        let values = [CqlValue::Text(ADDRESS_KEY.to_owned())];
        let rows = self.runner.rows::<(Bytes,)>("read the key of addresses", statement, &values).await?;
        let unreadable = |_| StoreError::Unreadable("the key of addresses is of another length".to_owned());
        rows.first().map(|(key,)| key[..].try_into().map_err(unreadable)).transpose()
    }

    async fn secrets_of(&self, user: &UserKey) -> Result<SecretsOf, StoreError> {
        type Cells = (i64, Bytes);
        let [tenant, user_id] = [&user.tenant, &user.user_id].map(|text| CqlValue::Text(text.to_string()));
        let statement = &self.statements.user_secrets;
        let rows = self.runner.rows::<Cells>("read secrets of a user", statement, &[tenant, user_id]).await?;
        let mut held = SecretsOf::default();
        for (id, secret) in rows {
            let id = id as u64;
            match <[u8; UserSecret::BYTES]>::try_from(&secret[..]) {
                Ok(bytes) => held.there.push(UserSecret { id, bytes }),
                Err(_) if secret.is_empty() => held.destroyed.push(id),
                Err(_) => {
                    return Err(StoreError::Unreadable("a secret of a user of another length".to_owned()));
                }
            }
        }
        Ok(held)
    }

    async fn write_secrets(&self, rows: Vec<Row>) -> Result<(), StoreError> {
        self.runner.write("write secrets of users", Traffic::Writes, &self.statements.put_user_secret, rows).await
    }
}

fn row(user: &UserKey, id: u64, secret: &[u8]) -> Row {
    let [tenant, user_id] = [&user.tenant, &user.user_id].map(|text| CqlValue::Text(text.to_string()));
    let partition = xxh3_128(format!("{}\0{}", user.tenant, user.user_id).as_bytes());
    Row { partition, values: vec![tenant, user_id, big(id), blob(secret)] }
}

/// Random, its id as well: nodes make them without asking each other. An id has 63 bits, as numbers of the database.
fn new_secret() -> Result<UserSecret, StoreError> {
    let mut random = [0; 8 + UserSecret::BYTES];
    let filled = SystemRandom::new().fill(&mut random);
    filled.map_err(|_| StoreError::Failed("the system gives no random bytes".to_owned()))?;
    let (id, bytes) = random.split_first_chunk().expect("it is longer");
    let mut secret = UserSecret { id: u64::from_be_bytes(*id) >> 1, bytes: [0; UserSecret::BYTES] };
    secret.bytes.copy_from_slice(bytes);
    Ok(secret)
}
