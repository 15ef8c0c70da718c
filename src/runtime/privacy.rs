//! What is held of people: what that is made of on a node.

use std::sync::Arc;

use async_trait::async_trait;

use super::engine::Engine;
use super::operations::cancel;
use super::peers::Peers;
use crate::api::Cancelled;
use crate::campaigns::Lists;
use crate::clock::SharedClock;
use crate::domain::NotificationId;
use crate::inbox::Inbox;
use crate::privacy::{Cancels, NotCancelled, Privacy, PrivacyParts};
use crate::store::SharedStore;
use crate::subscriptions::Subscriptions;
use crate::users::Directory;

/// What is held of people, on a node that has this engine and these others.
pub(super) fn privacy(
    (store, clock): (SharedStore, SharedClock),
    users: Arc<Directory>,
    inbox: Arc<Inbox>,
    engine: Option<Arc<Engine>>,
    peers: Option<Arc<Peers>>,
) -> Arc<Privacy> {
    Privacy::new(PrivacyParts {
        subscriptions: Subscriptions::new(store.clone(), clock.clone()),
        lists: Arc::new(Lists::new(store.clone(), clock.clone())),
        cancels: Arc::new(Everybody { engine, peers }),
        store,
        users,
        inbox,
        clock,
    })
}

/// Cancels where the shard is.
struct Everybody {
    engine: Option<Arc<Engine>>,
    peers: Option<Arc<Peers>>,
}

#[async_trait]
impl Cancels for Everybody {
    async fn cancel(&self, id: NotificationId) -> Result<usize, NotCancelled> {
        match cancel(self.engine.as_ref(), self.peers.as_deref(), id).await {
            Ok(Cancelled::Cancelled { stopped, .. }) => Ok(stopped),
            Ok(Cancelled::TooLate { .. }) => Ok(0),
            Err(error) => Err(NotCancelled(error.to_string())),
        }
    }
}
