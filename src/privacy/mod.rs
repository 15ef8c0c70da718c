//! What is held of people: handed out to them, taken away, and who did what with it.
//!
//! In: a user's id, and what somebody does with a key. Out: all that is held of the user as one document, or nothing of it any more and a
//! receipt; and lines of the audit log. Promise: an erasure that was answered is carried to its end, by whichever node; nothing that was
//! accepted before it is sent after it; what was sealed before it is unreadable on every node half a minute after it at the latest; memory
//! does not grow with what is held of a user; and an act that was answered stands in the log.
//!
//! Each kind of what is held is walked in one place: [`export`] has a stage for each, and [`erase`] a step.

mod audit;
mod cancelling;
mod consents;
mod destroying;
mod erase;
mod erasures;
mod export;
mod metrics;

use std::sync::Arc;

use async_trait::async_trait;

pub use audit::{Audit, AuditLine, AuditName, AuditPage, AuditQuery};
pub use consents::consent_history;
pub use erase::{Erased, NOT_ERASED, OpenTasks};
pub use erasures::ErasureWork;
pub use export::{Export, Notifications};

use crate::campaigns::Lists;
use crate::clock::SharedClock;
use crate::domain::NotificationId;
use crate::homes::Wake;
use crate::inbox::Inbox;
use crate::sealing::LazyAddressKey;
use crate::store::{SharedStore, UserSecrets};
use crate::subscriptions::Subscriptions;
use crate::users::Directory;

/// Of each sort of lists so many are looked through for a user: one read each.
const LISTS_MAX: usize = 1_000;

/// Why a notification could not be cancelled now. It may be all the same.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct NotCancelled(pub String);

/// Cancels what has not been sent, on whichever node it is.
#[async_trait]
pub trait Cancels: Send + Sync + 'static {
    /// How many tasks were stopped, now or before; durable on return.
    async fn cancel(&self, id: NotificationId) -> Result<usize, NotCancelled>;
}

/// What all of it is made of.
pub struct PrivacyParts {
    pub store: SharedStore,
    pub users: Arc<Directory>,
    pub subscriptions: Arc<Subscriptions>,
    pub inbox: Arc<Inbox>,
    pub lists: Arc<Lists>,
    pub cancels: Arc<dyn Cancels>,
    pub clock: SharedClock,
    /// What the data of users is sealed under; `None`: nothing is sealed.
    pub secrets: Arc<dyn UserSecrets>,
}

/// What is held of people.
pub struct Privacy {
    parts: PrivacyParts,
    address_key: LazyAddressKey,
    wake: Wake,
}

impl Privacy {
    pub fn new(parts: PrivacyParts) -> Arc<Self> {
        let address_key = LazyAddressKey::new(parts.secrets.clone());
        Arc::new(Self { parts, address_key, wake: Wake::default() })
    }
}
