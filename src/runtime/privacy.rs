//! What is held of people: what that is made of on a node.

use std::sync::Arc;

use async_trait::async_trait;

use super::engine::Engine;
use super::operations::cancel;
use super::peers::Peers;
use super::surface::SurfaceParts;
use crate::api::Cancelled;
use crate::campaigns::Lists;
use crate::domain::NotificationId;
use crate::privacy::{Cancels, NotCancelled, Privacy, PrivacyParts};
use crate::subscriptions::Subscriptions;

/// What is held of people, on a node that is made of this and knows these others.
pub(super) fn privacy(parts: &SurfaceParts, peers: Option<Arc<Peers>>) -> Arc<Privacy> {
    let (store, clock, engine) = (parts.store.clone(), parts.clock.clone(), parts.engine.clone());
    Privacy::new(PrivacyParts {
        subscriptions: Subscriptions::new(store.clone(), clock.clone()),
        lists: Arc::new(Lists::new(store.clone(), clock.clone())),
        cancels: Arc::new(Everybody { engine, peers }),
        store,
        users: parts.users.clone(),
        inbox: parts.live.inbox().clone(),
        clock,
        secrets: parts.secrets.clone(),
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
