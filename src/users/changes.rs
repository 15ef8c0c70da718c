//! Announcements of changes, and who hears them.

use std::sync::{PoisonError, RwLock, Weak};
use std::time::Duration;

use async_trait::async_trait;
use ring::digest;

use crate::domain::{SuppressedAddress, UserKey};
use crate::log::LogError;

/// The oldest that a copy may be whose changes may have been missed.
pub const STALE_MAX: Duration = Duration::from_secs(1);

/// For so long after a change was announced nothing is kept of what is read of its key: longer than the write may take.
pub const DISTRUST: Duration = Duration::from_secs(10);

/// What is changed: a user or an address, as a hash, so that no personal datum is in it. A cryptographic one: with any other a
/// tenant could make names that stand for another tenant's users.
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
        let mut hash = digest::Context::new(&digest::SHA256);
        for field in [kind, tenant.as_bytes(), name.as_bytes()] {
            // The length keeps ("ab", "c") apart from ("a", "bc").
            hash.update(&(field.len() as u64).to_be_bytes());
            hash.update(field);
        }
        let hash = hash.finish();
        let half = hash.as_ref().first_chunk().expect("a SHA-256 hash has 32 bytes");
        Self(u128::from_be_bytes(*half))
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

    /// From now on `listener` is told, for as long as somebody else holds it.
    fn listen(&self, listener: Weak<dyn Listener>);

    /// Whether everything that was announced until [`STALE_MAX`] ago was heard here.
    fn is_current(&self) -> bool;
}

/// Those who are told, in this process.
#[derive(Default)]
pub(super) struct Listeners(RwLock<Vec<Weak<dyn Listener>>>);

impl Listeners {
    pub(super) fn add(&self, listener: Weak<dyn Listener>) {
        let mut listeners = self.0.write().unwrap_or_else(PoisonError::into_inner);
        listeners.retain(|listener| listener.strong_count() > 0);
        listeners.push(listener);
    }

    pub(super) fn tell(&self, keys: &[ChangeKey]) {
        for listener in self.0.read().unwrap_or_else(PoisonError::into_inner).iter().filter_map(Weak::upgrade) {
            listener.changed(keys);
        }
    }

    pub(super) fn tell_missed(&self) {
        for listener in self.0.read().unwrap_or_else(PoisonError::into_inner).iter().filter_map(Weak::upgrade) {
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

    fn listen(&self, listener: Weak<dyn Listener>) {
        self.listeners.add(listener);
    }

    fn is_current(&self) -> bool {
        true
    }
}
