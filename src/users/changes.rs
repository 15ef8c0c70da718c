//! Announcements of changes, and who hears them.

use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use async_trait::async_trait;
use xxhash_rust::xxh3::Xxh3;

use crate::domain::{SuppressedAddress, UserKey};
use crate::log::LogError;

/// The oldest that a copy may be whose changes may have been missed.
pub const STALE_MAX: Duration = Duration::from_secs(1);

/// For so long after a change was announced nothing is kept of what is read of its key: longer than the write may take.
pub const DISTRUST: Duration = Duration::from_secs(10);

/// What is changed: a user or an address, as a hash. Of two with one hash both are dropped where one would do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ChangeKey(pub u128);

impl ChangeKey {
    pub fn of_user(key: &UserKey) -> Self {
        Self::hashed(b"user", &key.tenant, &key.user_id)
    }

    pub fn of_address(address: &SuppressedAddress) -> Self {
        Self::hashed(address.kind.name().as_bytes(), &address.tenant, address.address())
    }

    fn hashed(kind: &[u8], tenant: &str, name: &str) -> Self {
        let mut hash = Xxh3::new();
        hash.update(kind);
        // The length keeps ("ab", "c") apart from ("a", "bc").
        hash.update(&(tenant.len() as u64).to_be_bytes());
        hash.update(tenant.as_bytes());
        hash.update(name.as_bytes());
        Self(hash.digest128())
    }
}

/// Who keeps copies.
pub trait Listener: Send + Sync + 'static {
    /// These are about to be written. Short: whoever announces waits for it.
    fn changed(&self, keys: &[ChangeKey]);

    /// Some may have been missed: no copy that was made before is to be believed.
    fn missed(&self);
}

/// Where changes are announced and heard of.
#[async_trait]
pub trait Changes: Send + Sync + 'static {
    /// Tells every listener of every node. On return those of this node have heard of it, and those of others have or are not
    /// current ([`Changes::is_current`]) within [`STALE_MAX`].
    async fn announce(&self, keys: &[ChangeKey]) -> Result<(), LogError>;

    /// From now on `listener` is told.
    fn listen(&self, listener: Arc<dyn Listener>);

    /// Whether everything that was announced until [`STALE_MAX`] ago was heard here.
    fn is_current(&self) -> bool;
}

/// Those who are told, in this process.
#[derive(Default)]
pub(super) struct Listeners(RwLock<Vec<Arc<dyn Listener>>>);

impl Listeners {
    pub(super) fn add(&self, listener: Arc<dyn Listener>) {
        self.0.write().unwrap_or_else(PoisonError::into_inner).push(listener);
    }

    pub(super) fn tell(&self, keys: &[ChangeKey]) {
        for listener in self.0.read().unwrap_or_else(PoisonError::into_inner).iter() {
            listener.changed(keys);
        }
    }

    pub(super) fn tell_missed(&self) {
        for listener in self.0.read().unwrap_or_else(PoisonError::into_inner).iter() {
            listener.missed();
        }
    }
}

/// For one process alone: who announces tells everybody there is.
#[derive(Default)]
pub struct LocalChanges {
    listeners: Listeners,
}

#[async_trait]
impl Changes for LocalChanges {
    async fn announce(&self, keys: &[ChangeKey]) -> Result<(), LogError> {
        self.listeners.tell(keys);
        Ok(())
    }

    fn listen(&self, listener: Arc<dyn Listener>) {
        self.listeners.add(listener);
    }

    fn is_current(&self) -> bool {
        true
    }
}
