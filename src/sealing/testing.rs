//! Secrets of users as a plain map, for tests.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard};

use async_trait::async_trait;

use super::AddressKey;
use crate::domain::UserKey;
use crate::store::{SecretsOf, StoreError, UserSecret, UserSecrets};

/// What addresses are hashed under.
const ADDRESS_KEY: [u8; UserSecret::BYTES] = [0xad; UserSecret::BYTES];

/// The same, to hash by.
pub(crate) fn address_key() -> AddressKey {
    AddressKey::new(&ADDRESS_KEY)
}

/// Secrets in memory, and how often they were asked for.
#[derive(Debug, Default)]
pub(crate) struct FakeSecrets(Mutex<Held>);

#[derive(Debug, Default)]
pub(crate) struct Held {
    pub(crate) secrets: BTreeMap<UserKey, Vec<UserSecret>>,
    pub(crate) destroyed: BTreeMap<UserKey, Vec<u64>>,
    pub(crate) reads: usize,
    /// Whose cannot be destroyed.
    pub(crate) broken: Option<UserKey>,
    /// Every call fails.
    pub(crate) is_down: bool,
    next: u64,
}

impl Held {
    fn answers(&self) -> Result<(), StoreError> {
        if self.is_down { Err(StoreError::Failed("it is down".to_owned())) } else { Ok(()) }
    }
}

impl FakeSecrets {
    pub(crate) fn held(&self) -> MutexGuard<'_, Held> {
        self.0.lock().expect("no test panics while it holds the lock")
    }
}

#[async_trait]
impl UserSecrets for FakeSecrets {
    async fn user_secrets(&self, users: &[UserKey]) -> Result<Vec<SecretsOf>, StoreError> {
        let mut held = self.held();
        held.answers()?;
        held.reads += 1;
        let of = |user| SecretsOf {
            there: held.secrets.get(user).cloned().unwrap_or_default(),
            destroyed: held.destroyed.get(user).cloned().unwrap_or_default(),
        };
        Ok(users.iter().map(of).collect())
    }

    async fn create_user_secrets(&self, users: &[UserKey]) -> Result<Vec<UserSecret>, StoreError> {
        let mut held = self.held();
        held.answers()?;
        let mut made = Vec::with_capacity(users.len());
        for user in users {
            held.next += 1;
            let secret = UserSecret { id: held.next, bytes: [held.next as u8; UserSecret::BYTES] };
            held.secrets.entry(user.clone()).or_default().push(secret);
            made.push(secret);
        }
        Ok(made)
    }

    async fn destroy_user_secrets(&self, user: &UserKey) -> Result<usize, StoreError> {
        let mut held = self.held();
        held.answers()?;
        if held.broken.as_ref() == Some(user) {
            return Err(StoreError::Failed("it is broken".to_owned()));
        }
        let secrets = held.secrets.remove(user).unwrap_or_default();
        held.destroyed.entry(user.clone()).or_default().extend(secrets.iter().map(|secret| secret.id));
        Ok(secrets.len())
    }

    /// Asked for long before anything is down.
    async fn address_key(&self) -> Result<[u8; UserSecret::BYTES], StoreError> {
        Ok(ADDRESS_KEY)
    }
}
