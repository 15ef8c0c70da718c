//! What is known of users, and the addresses that nothing is sent to.

use async_trait::async_trait;

use super::StoreError;
use crate::domain::{SuppressedAddress, Suppression, User, UserEntry, UserKey};

/// Some of what is known of one user, to be written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UserChange {
    pub key: UserKey,
    pub entries: Vec<UserEntry>,
}

/// What is known of users. Each entry is a row by itself, so writers never read before they write; of two writes to one
/// entry the later counts.
#[async_trait]
pub trait Users: Send + Sync + 'static {
    /// In the order asked for; `None`: nothing is known of that user.
    async fn users(&self, keys: &[UserKey]) -> Result<Vec<Option<User>>, StoreError>;

    /// Durable on return. May be called again with the same changes after an error.
    async fn write_users(&self, changes: Vec<UserChange>) -> Result<(), StoreError>;
}

/// One address with what is known of it; `None`: nothing any more.
pub type SuppressionChange = (SuppressedAddress, Option<Suppression>);

/// The addresses that nothing is sent to.
#[async_trait]
pub trait Suppressions: Send + Sync + 'static {
    /// In the order asked for.
    async fn suppressions(&self, addresses: &[SuppressedAddress]) -> Result<Vec<Option<Suppression>>, StoreError>;

    /// Durable on return. May be called again with the same changes after an error.
    async fn write_suppressions(&self, changes: Vec<SuppressionChange>) -> Result<(), StoreError>;

    /// Those of a tenant in an order that never changes, after `after` (exclusive, as a former call gave it), at most `limit`;
    /// each with what to go on after.
    async fn all_suppressions(
        &self,
        tenant: &str,
        after: Option<&[u8]>,
        limit: usize,
    ) -> Result<Vec<(Vec<u8>, Suppression)>, StoreError>;
}
