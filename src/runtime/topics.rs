//! Topics wherever they are: this node's, or those of the node that has their home.

use std::sync::Arc;

use async_trait::async_trait;

use super::peers::Peers;
use crate::topics::{Ask, Desk, Told, TopicDesk, TopicError, TopicListed, TopicName};

/// The topics of all nodes.
pub(super) struct TopicsEverywhere {
    pub(super) desk: Arc<Desk>,
    /// `None`: there are no others.
    pub(super) peers: Option<Arc<Peers>>,
}

#[async_trait]
impl TopicDesk for TopicsEverywhere {
    async fn ask(&self, name: &TopicName, ask: Ask) -> Result<Told, TopicError> {
        match &self.peers {
            Some(peers) if !self.desk.has(name) => peers.ask_topic(name, ask).await,
            _ => self.desk.ask(name, ask).await,
        }
    }

    async fn list(&self, tenant: &str) -> Result<Vec<TopicListed>, TopicError> {
        self.desk.list(tenant).await
    }
}
