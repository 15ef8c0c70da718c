//! Destroying the secrets of who was erased, and taking back what was written of them while that was told around.
//!
//! A node that began to write before it heard of the erasure may end after it, sealed under a secret that was made anew. So an erasure stays
//! open for [`SETTLE`], and then all is taken back once more, and destroyed, unless somebody is there under the name again: what is sealed
//! then may be theirs. Addresses are destroyed once: what goes there later, as word of the erasure, is not the user's.

use std::time::Duration;

use super::{Privacy, consents};
use crate::domain::{Erasure, UserKey};
use crate::store::StoreError;
use crate::users::{ChangeKey, DirectoryError, KnownChange};

/// After so long whoever still wrote of the user has ended, and has heard: longer than copies are distrusted, and than an old one of a
/// secret is used.
pub(super) const SETTLE: Duration = Duration::from_secs(30);

/// What was taken back of what stands in rows of its own.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct TakenBack {
    pub(super) inbox: usize,
    pub(super) subscriptions: usize,
    pub(super) consents: usize,
}

impl Privacy {
    /// Takes away the rows of the user besides their own. Before their secrets are destroyed: whose row cannot be read cannot be found.
    pub(super) async fn take_rows(&self, user: &UserKey) -> Result<TakenBack, StoreError> {
        let parts = &self.parts;
        Ok(TakenBack {
            inbox: parts.inbox.erase(user).await?,
            subscriptions: parts.subscriptions.remove_all(user).await?,
            consents: consents::erase(&parts.store, user).await?,
        })
    }

    /// Destroys the secrets of the user, and of the addresses that were theirs; how many there were. Told to all nodes before, so that none
    /// keeps a copy. May be called again.
    pub(super) async fn destroy(&self, erasure: &mut Erasure) -> Result<usize, DirectoryError> {
        let mut count = 0;
        let owners: Vec<&UserKey> = std::iter::once(&erasure.user).chain(&erasure.addresses).collect();
        let keys: Vec<ChangeKey> = owners.iter().map(|owner| ChangeKey::of_user(owner)).collect();
        self.parts.users.changes().announce(&keys).await.map_err(DirectoryError::Announcement)?;
        // Who was written behind the mark is somebody new, and is written again under a secret of their own.
        let returned = self.parts.users.user(&erasure.user).await?;
        for owner in owners {
            count += self.parts.secrets.destroy_user_secrets(owner).await?;
        }
        // Also those that somebody read and kept while that took long.
        self.parts.users.changes().announce(&keys).await.map_err(DirectoryError::Announcement)?;
        if let Some(user) = returned {
            let change = KnownChange::of(erasure.user.clone(), user.entries(), &user);
            self.parts.users.write_known(vec![change]).await?;
        }
        erasure.addresses.clear();
        erasure.is_destroyed = true;
        Ok(count)
    }

    /// What [`Privacy::erase`] does behind the mark, where it broke off.
    pub(super) async fn destroy_again(&self, erasure: &mut Erasure) -> Result<(), StoreError> {
        if self.parts.users.user(&erasure.user).await?.is_none() {
            self.take_rows(&erasure.user).await?;
        }
        self.destroy(erasure).await.map(|_| ()).map_err(failed)
    }

    /// What was written by who had not heard yet goes as well, unless the user is somebody again.
    pub(super) async fn settle(&self, erasure: &mut Erasure) -> Result<(), StoreError> {
        if self.parts.users.user(&erasure.user).await?.is_none() {
            self.destroy_again(erasure).await?;
        }
        erasure.is_settled = true;
        Ok(())
    }
}

fn failed(error: DirectoryError) -> StoreError {
    match error {
        DirectoryError::Store(error) => error,
        error @ (DirectoryError::Announcement(_) | DirectoryError::TooLate) => StoreError::Failed(error.to_string()),
    }
}
