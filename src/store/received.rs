//! What users were planned to get, for the caps on it.

use async_trait::async_trait;
use ring::digest::{Context, SHA256};

use super::StoreError;
use crate::domain::{Position, Timestamp, UserKey};

/// One notification that was planned to be sent. Whether it was, its story tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct ReceivedEntry {
    pub position: Position,
    /// When it was to go out.
    pub at: Timestamp,
    /// A hash of what it is: its template, or its own content.
    pub message_type: u64,
    /// A hash of its category's name.
    pub category: u64,
}

/// An entry with its user, to be written with its plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReceivedRow {
    pub user: UserKey,
    pub entry: ReceivedEntry,
    /// Nothing looks at it from then on.
    pub expires_at: Timestamp,
}

/// Entries that one read gives of a user. No cap is near this, so who has more of them got many that were not sent after all.
pub const RECEIVED_MAX: usize = 10_000;

/// What users were planned to get.
#[async_trait]
pub trait ReceivedRows: Send + Sync + 'static {
    /// The entries of each user, in the order asked for; those of one user in no order, at most [`RECEIVED_MAX`]. One that has expired
    /// may be among them. Each position once: what is written again takes the place of what was there. By default nothing is kept.
    async fn received(&self, users: &[UserKey]) -> Result<Vec<Vec<ReceivedEntry>>, StoreError> {
        Ok(vec![Vec::new(); users.len()])
    }
}

/// A user of a tenant, without the names. A cryptographic hash: with any other a tenant could make users that use up what
/// another tenant's users may get.
pub(crate) fn user_hash(user: &UserKey) -> [u8; 16] {
    let mut hash = Context::new(&SHA256);
    // The length keeps ("ab", "c") apart from ("a", "bc").
    hash.update(&(user.tenant.len() as u64).to_be_bytes());
    hash.update(user.tenant.as_bytes());
    hash.update(user.user_id.as_bytes());
    *hash.finish().as_ref().first_chunk().expect("a SHA-256 hash has 32 bytes")
}
