//! What the data of each user is sealed under, and how it is destroyed.

use async_trait::async_trait;

use super::StoreError;
use crate::domain::UserKey;

/// A secret of one user: what is sealed under it can be read for as long as it is there.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct UserSecret {
    /// Which of the user's: no other of the same store ever has it.
    pub id: u64,
    pub bytes: [u8; UserSecret::BYTES],
}

impl UserSecret {
    /// A key of AES-256.
    pub const BYTES: usize = 32;
}

impl std::fmt::Debug for UserSecret {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("UserSecret").field("id", &self.id).finish_non_exhaustive()
    }
}

/// What a store has of one user's secrets. An id that is in neither list was never made, or is lost, or is not here yet.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SecretsOf {
    pub there: Vec<UserSecret>,
    /// The ids of those that were destroyed.
    pub destroyed: Vec<u64>,
}

/// The secrets of users. Where several nodes meet a user at once each may make one, and all of them count.
#[async_trait]
pub trait UserSecrets: Send + Sync + 'static {
    /// Those of each user, in the order asked for.
    async fn user_secrets(&self, users: &[UserKey]) -> Result<Vec<SecretsOf>, StoreError>;

    /// A new one of each user, in the order asked for, random and durable on return.
    async fn create_user_secrets(&self, users: &[UserKey]) -> Result<Vec<UserSecret>, StoreError>;

    /// Destroys all secrets of a user, and says how many there were. On return they are on no disk of this process's any more, and no
    /// node reads them from the store; may be called again.
    async fn destroy_user_secrets(&self, user: &UserKey) -> Result<usize, StoreError>;

    /// What addresses are hashed under where only a hash of them is to stand: made by whoever asks first, durable on return, and from then
    /// on the same for all nodes and for ever.
    async fn address_key(&self) -> Result<[u8; UserSecret::BYTES], StoreError>;
}
