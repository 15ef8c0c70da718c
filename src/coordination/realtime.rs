//! What the live side of nodes asks of each other: who is connected where, and a word to another node.

use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use tokio::sync::broadcast;

/// A user in coordination: a hash of tenant and user, so that neither stands in another system's memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UserKey(pub u128);

/// A node that has connections of a user.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct PresentOn {
    pub node: String,
    /// At least 1.
    pub connections: u32,
}

/// Who is where, as far as it can be told.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PresentNodes {
    /// In the order asked for; each user's by name.
    pub nodes: Vec<Vec<PresentOn>>,
    /// Whether that is all: while other nodes cannot be asked for it is this node's own connections alone.
    pub is_all: bool,
}

/// How long what a node said of its connections counts: a node that died is forgotten by then. Nodes say it again three
/// times as often.
pub const PRESENCE_TTL: Duration = Duration::from_secs(30);

/// Which nodes have connections of a user. A hint: a node that is named may have lost them, and one that has them may be
/// missing for as long as coordination is lost, or until it says so again.
#[async_trait]
pub trait Presence: Send + Sync + 'static {
    /// Says how many connections of each user the node has, for [`PRESENCE_TTL`]; 0 when the last is gone.
    async fn set_present(&self, node: &str, users: &[(UserKey, u32)]);

    /// The nodes that have connections of each user.
    async fn present_on(&self, users: &[UserKey]) -> PresentNodes;
}

/// A word to another node, at most once and kept nowhere: what must arrive stands in the store.
#[async_trait]
pub trait Fanout: Send + Sync + 'static {
    /// Hands the message to who listens for the node now. False: nobody is known to.
    async fn publish(&self, node: &str, message: Bytes) -> bool;

    /// What is published to the node from now on.
    async fn subscribe(&self, node: &str) -> Subscription;
}

/// What a subscriber hears.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Heard {
    Message(Bytes),
    /// Messages may have passed by: ask the store what there is.
    Missed,
}

/// The listening end of a node's channel.
#[derive(Debug)]
pub struct Subscription {
    receiver: broadcast::Receiver<Heard>,
}

impl Subscription {
    pub(super) fn new(receiver: broadcast::Receiver<Heard>) -> Self {
        Self { receiver }
    }

    /// The next message; `None` when the backend is gone. May be dropped while it waits, without losing one.
    pub async fn next(&mut self) -> Option<Heard> {
        match self.receiver.recv().await {
            Ok(heard) => Some(heard),
            Err(broadcast::error::RecvError::Lagged(_)) => Some(Heard::Missed),
            Err(broadcast::error::RecvError::Closed) => None,
        }
    }
}
