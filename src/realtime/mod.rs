//! The live side: connections of users' programs, what they are told, and who is there.
//!
//! In: words about inboxes, from this node and from others; what programs say. Out: frames, and presence. Promise: what must arrive
//! stands in the inbox, and a connection only makes it arrive sooner: what its program has not said it has is sent again at the next
//! connect, and what a word passed by is found by looking. A program that does not read costs a bounded queue, and is told to look
//! anew.
//!
//! A [`Session`] is one connection, whatever carries its frames. The [`Hub`] knows those of this node. A courier tells other nodes
//! which have connections of a user, a listener hears from them, and the presence of users is said and looked at every few seconds.

mod courier;
mod hub;
mod metrics;
mod presence;
mod protocol;
mod session;
mod view;

#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::clock::SharedClock;
use crate::config::Realtime;
use crate::coordination::{PresentOn, SharedCoordination, UserKey as CoordinationKey};
use crate::domain::UserKey;
use crate::inbox::Inbox;
use crate::store::StoreError;

pub use hub::{Full, Hub};
pub use protocol::{Closing, Frame};
pub use session::{Session, Stir};
pub use view::EntryView;

/// How long connections may take to end when the node stops.
const EMPTY_WAIT_MAX: Duration = Duration::from_secs(5);

/// What the live side is made of.
pub struct LiveParts {
    pub inbox: Arc<Inbox>,
    pub hub: Arc<Hub>,
    pub coordination: SharedCoordination,
    pub clock: SharedClock,
    pub settings: Realtime,
    /// This node's name in coordination, another at each start.
    pub node: String,
    /// That of `http.public_url`, whatever a proxy makes of the host.
    pub own_origin: String,
}

/// The live side of a node.
pub struct Live {
    pub(crate) parts: LiveParts,
}

/// A user as coordination knows them.
pub(crate) fn coordination_key(user: &UserKey) -> CoordinationKey {
    CoordinationKey(u128::from_be_bytes(crate::store::user_hash(user)))
}

impl Live {
    pub fn new(parts: LiveParts) -> Arc<Self> {
        Arc::new(Self { parts })
    }

    pub fn inbox(&self) -> &Arc<Inbox> {
        &self.parts.inbox
    }

    pub fn settings(&self) -> &Realtime {
        &self.parts.settings
    }

    pub fn hub(&self) -> &Arc<Hub> {
        &self.parts.hub
    }

    /// How many connections a user has, on all nodes.
    pub async fn connections(&self, user: &UserKey) -> u32 {
        let nodes = self.parts.coordination.present_on(&[coordination_key(user)]).await;
        let others = nodes.iter().flatten().filter(|present| present.node != self.parts.node);
        let others: u32 = others.map(|present| present.connections).sum();
        others.saturating_add(self.parts.hub.connections(user))
    }

    /// Waits until no connection is left; not for ever.
    pub async fn emptied(&self) {
        let _ = tokio::time::timeout(EMPTY_WAIT_MAX, self.parts.hub.emptied()).await;
    }

    /// Who of these is connected, to whichever node.
    pub(crate) async fn online(&self, users: &[UserKey]) -> Vec<bool> {
        let keys: Vec<_> = users.iter().map(coordination_key).collect();
        let nodes = self.parts.coordination.present_on(&keys).await;
        // What this node has it knows better itself.
        let elsewhere = |nodes: &[PresentOn]| nodes.iter().any(|present| present.node != self.parts.node);
        let there = users.iter().zip(nodes);
        there.map(|(user, nodes)| elsewhere(&nodes) || self.parts.hub.connections(user) > 0).collect()
    }

    /// What goes on beside the connections, until `stop`.
    pub fn start(self: &Arc<Self>, stop: &CancellationToken) -> Running {
        let tasks = vec![
            courier::start_courier(self.clone(), stop.clone()),
            courier::start_listener(self.clone(), stop.clone()),
            presence::start(self.clone(), stop.clone()),
        ];
        Running { tasks }
    }

    /// Whether an origin may open connections and call from its pages; `None`: the caller is no page. `host`: whom it called.
    pub fn takes_origin(&self, origin: Option<&str>, host: Option<&str>) -> bool {
        let Some(origin) = origin else { return true };
        let is_own =
            || origin == self.parts.own_origin || origin.split_once("://").is_some_and(|(_, name)| Some(name) == host);
        self.parts.settings.allowed_origins.iter().any(|allowed| allowed == "*" || allowed == origin) || is_own()
    }
}

/// What goes on beside the connections.
pub struct Running {
    tasks: Vec<JoinHandle<()>>,
}

impl Running {
    /// Waits until it has ended, after its stop.
    pub async fn ended(self) {
        for task in self.tasks {
            if let Err(error) = task.await {
                tracing::error!(%error, "a task of the live side ended with a panic");
            }
        }
    }
}

/// Why a session could not begin.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error(transparent)]
    Full(#[from] Full),
    #[error(transparent)]
    Store(#[from] StoreError),
}
