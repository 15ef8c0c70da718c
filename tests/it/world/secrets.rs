//! The secrets of users of a node, which a test may let fail.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use fanfare::domain::UserKey;
use fanfare::store::{SecretsOf, StoreError, UserSecret, UserSecrets};

pub struct TestSecrets {
    inner: Arc<dyn UserSecrets>,
    /// So many more reads fail.
    pub failures: AtomicUsize,
}

impl TestSecrets {
    pub fn over(inner: Arc<dyn UserSecrets>) -> Arc<Self> {
        Arc::new(Self { inner, failures: AtomicUsize::new(0) })
    }
}

#[async_trait]
impl UserSecrets for TestSecrets {
    async fn user_secrets(&self, users: &[UserKey]) -> Result<Vec<SecretsOf>, StoreError> {
        let fails = self.failures.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_ok();
        if fails {
            return Err(StoreError::Failed("it is down".to_owned()));
        }
        self.inner.user_secrets(users).await
    }

    async fn create_user_secrets(&self, users: &[UserKey]) -> Result<Vec<UserSecret>, StoreError> {
        self.inner.create_user_secrets(users).await
    }

    async fn destroy_user_secrets(&self, user: &UserKey) -> Result<usize, StoreError> {
        self.inner.destroy_user_secrets(user).await
    }

    async fn address_key(&self) -> Result<[u8; UserSecret::BYTES], StoreError> {
        self.inner.address_key().await
    }
}
