//! What the API asks of the engine: of this node's, and where nodes share the work, of whichever has the shard.

use std::sync::Arc;

use async_trait::async_trait;

use super::engine::Engine;
use super::peers::Peers;
use crate::api::{Cancelled, OperationError, Operations, Replayed};
use crate::domain::{NotificationId, ShardId, TaskId};
use crate::insight::{self, Accounting};
use crate::outcomes::{Cancellation, Replay};
use crate::store::{DeadLetterKey, StoreError};

impl Engine {
    /// Whether the shard is this node's.
    pub(super) fn has(&self, shard: ShardId) -> bool {
        self.ownership.shard(shard).is_some()
    }

    /// The books of this node's shards.
    pub(super) async fn accounting_here(&self) -> Result<Accounting, StoreError> {
        insight::accounting(&self.store, &self.log, &self.ownership).await
    }
}

/// The engine of this node, the other nodes, or both.
pub(super) struct Everywhere {
    /// `None`: this process has the role `api` only.
    pub(super) engine: Option<Arc<Engine>>,
    /// `None`: there are no others.
    pub(super) peers: Option<Peers>,
}

impl Everywhere {
    fn peers(&self) -> Result<&Peers, OperationError> {
        self.peers.as_ref().ok_or_else(|| OperationError::Elsewhere("no node has the shard".into()))
    }

    fn having(&self, shard: ShardId) -> Option<&Arc<Engine>> {
        self.engine.as_ref().filter(|engine| engine.has(shard))
    }
}

#[async_trait]
impl Operations for Everywhere {
    async fn cancel(&self, id: NotificationId) -> Result<Cancelled, OperationError> {
        let Some(engine) = self.having(id.0.shard) else { return self.peers()?.cancel(id).await };
        match engine.cancellations.cancel(id).await? {
            Cancellation::Cancelled { stopped, too_late } => Ok(Cancelled::Cancelled { stopped, too_late }),
            Cancellation::TooLate { too_late } => Ok(Cancelled::TooLate { too_late }),
            Cancellation::NotOurs => self.peers()?.cancel(id).await,
        }
    }

    async fn replay(&self, key: &DeadLetterKey) -> Result<Replayed, OperationError> {
        let Some(engine) = self.having(key.task.position.shard) else { return self.peers()?.replay(key).await };
        Ok(match engine.replays.replay(key).await? {
            Replay::Requeued => Replayed::Requeued,
            Replay::NotReplayable => Replayed::NotReplayable,
        })
    }

    fn is_sending(&self, task: TaskId) -> bool {
        self.engine.as_ref().is_some_and(|engine| engine.ownership.is_sending(task))
    }

    async fn accounting(&self) -> Result<Accounting, OperationError> {
        let mut accounting = match &self.engine {
            Some(engine) => engine.accounting_here().await?,
            None => Accounting::default(),
        };
        if let Some(peers) = &self.peers {
            for other in peers.accounting().await {
                accounting.merge(other);
            }
        }
        Ok(accounting)
    }
}
