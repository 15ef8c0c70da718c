//! Reads, and changes that are announced first.

use std::sync::Arc;
use std::time::Duration;

use super::changes::{ChangeKey, Changes, DISTRUST};
use crate::domain::{SuppressedAddress, Suppression, User, UserKey};
use crate::log::LogError;
use crate::store::{ListedSuppression, SharedStore, StoreError, SuppressionChange, SuppressionPlace, UserChange};

/// The longest that a change may take once it is announced. What is left of [`DISTRUST`] is for a write that the store still
/// carries out when nobody waits for it any more.
pub const WRITE_WAIT_MAX: Duration = Duration::from_secs(8);

const _: () = assert!(WRITE_WAIT_MAX.as_secs() < DISTRUST.as_secs(), "a write ends before copies are kept again");

/// Why the directory did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum DirectoryError {
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Nothing was written.
    #[error("the change could not be announced to the other nodes")]
    Announcement(#[source] LogError),
    /// It may be written or not; the same change may be made again.
    #[error("the store did not write the change in time")]
    TooLate,
}

/// What is known of users and of addresses. See the module's head for what it promises.
pub struct Directory {
    store: SharedStore,
    changes: Arc<dyn Changes>,
}

impl Directory {
    pub fn new(store: SharedStore, changes: Arc<dyn Changes>) -> Self {
        Self { store, changes }
    }

    /// Where changes are heard of.
    pub fn changes(&self) -> &Arc<dyn Changes> {
        &self.changes
    }

    pub async fn user(&self, key: &UserKey) -> Result<Option<User>, StoreError> {
        Ok(self.users(std::slice::from_ref(key)).await?.pop().flatten())
    }

    /// As the store has them now, in the order asked for. Of whom nothing is known but that they were erased is nobody.
    pub async fn users(&self, keys: &[UserKey]) -> Result<Vec<Option<User>>, StoreError> {
        let users = self.store.users(keys).await?;
        Ok(users.into_iter().map(|user| user.filter(User::is_somebody)).collect())
    }

    /// Durable on return. May be called again with the same changes after an error.
    pub async fn write_users(&self, changes: Vec<UserChange>) -> Result<(), DirectoryError> {
        let keys: Vec<ChangeKey> = changes.iter().map(|change| ChangeKey::of_user(&change.key)).collect();
        self.announced(&keys, self.store.write_users(changes)).await
    }

    /// As the store has them now, in the order asked for.
    pub async fn suppressions(&self, addresses: &[SuppressedAddress]) -> Result<Vec<Option<Suppression>>, StoreError> {
        self.store.suppressions(addresses).await
    }

    /// A page of a tenant's: see [`crate::store::Suppressions::all_suppressions`].
    pub async fn all_suppressions(
        &self,
        tenant: &str,
        after: Option<SuppressionPlace>,
        limit: usize,
    ) -> Result<Vec<ListedSuppression>, StoreError> {
        self.store.all_suppressions(tenant, after, limit).await
    }

    /// Durable on return. May be called again with the same changes after an error.
    pub async fn write_suppressions(&self, changes: Vec<SuppressionChange>) -> Result<(), DirectoryError> {
        let keys: Vec<ChangeKey> = changes.iter().map(|(address, _)| ChangeKey::of_address(address)).collect();
        self.announced(&keys, self.store.write_suppressions(changes)).await
    }

    async fn announced(
        &self,
        keys: &[ChangeKey],
        write: impl Future<Output = Result<(), StoreError>>,
    ) -> Result<(), DirectoryError> {
        if keys.is_empty() {
            return Ok(());
        }
        self.changes.announce(keys).await.map_err(DirectoryError::Announcement)?;
        match tokio::time::timeout(WRITE_WAIT_MAX, write).await {
            Ok(written) => Ok(written?),
            Err(_) => Err(DirectoryError::TooLate),
        }
    }
}
