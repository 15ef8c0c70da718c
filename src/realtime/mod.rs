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

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::clock::{Moment, SharedClock};
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
    /// Until then nobody knows who has no connection to another node: it could not be asked for, or the nodes have not all said it again.
    unknown_until: Mutex<Moment>,
}

/// A user as coordination knows them.
pub(crate) fn coordination_key(user: &UserKey) -> CoordinationKey {
    CoordinationKey(u128::from_be_bytes(crate::store::user_hash(user)))
}

impl Live {
    pub fn new(parts: LiveParts) -> Arc<Self> {
        let unknown_until = Mutex::new(parts.clock.moment());
        Arc::new(Self { parts, unknown_until })
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

    /// How many connections a user has, on all nodes that are known of; `None`: none here, and other nodes cannot be asked for now.
    pub async fn connections(&self, user: &UserKey) -> Option<u32> {
        let (nodes, is_all) = self.elsewhere(&[coordination_key(user)]).await;
        let others: u32 = nodes.iter().flatten().map(|present| present.connections).sum();
        let count = others.saturating_add(self.parts.hub.connections(user));
        (count > 0 || is_all).then_some(count)
    }

    /// Waits until no connection is left; not for ever.
    pub async fn emptied(&self) {
        let _ = tokio::time::timeout(EMPTY_WAIT_MAX, self.parts.hub.emptied()).await;
    }

    /// Who of these is connected, to whichever node; `None`: nobody can tell now.
    pub(crate) async fn online(&self, users: &[UserKey]) -> Vec<Option<bool>> {
        let keys: Vec<_> = users.iter().map(coordination_key).collect();
        let (nodes, is_all) = self.elsewhere(&keys).await;
        let there = users.iter().zip(nodes);
        let is_there = there.map(|(user, nodes)| !nodes.is_empty() || self.parts.hub.connections(user) > 0);
        is_there.map(|is_there| (is_there || is_all).then_some(is_there)).collect()
    }

    /// The other nodes that have connections of each user: what this node has it knows better itself. And whether these are all.
    async fn elsewhere(&self, keys: &[CoordinationKey]) -> (Vec<Vec<PresentOn>>, bool) {
        let mut seen = self.parts.coordination.present_on(keys).await;
        for nodes in &mut seen.nodes {
            nodes.retain(|present| present.node != self.parts.node);
        }
        let now = self.parts.clock.moment();
        let mut until = self.unknown_until.lock().unwrap_or_else(PoisonError::into_inner);
        if !seen.is_all {
            *until = now + presence::SAY_INTERVAL * 2;
        }
        (seen.nodes, seen.is_all && *until <= now)
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
