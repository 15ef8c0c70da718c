//! What the API asks of the engine: of this node's, and where nodes share the work, of whichever has the shard.

use std::sync::Arc;

use async_trait::async_trait;

use super::engine::Engine;
use super::peers::Peers;
use crate::api::{Cancelled, OperationError, Operations, Replayed};
use crate::audience::EventReplays;
use crate::domain::{NotificationId, ShardId, TaskId};
use crate::insight::{self, Accounting};
use crate::outcomes::{Cancellation, Early, Replay};
use crate::store::{DeadLetterKey, StoreError, TimerKey, TimerRow};

impl Engine {
    /// Whether the shard is this node's.
    pub(super) fn has(&self, shard: ShardId) -> bool {
        self.ownership.shard(shard).is_some()
    }

    /// Has those of these tasks looked at now whose timers are this node's.
    pub(super) fn look_early(&self, early: &[Early]) {
        let now = self.clock().now();
        for of_shard in early.chunk_by(|a, b| a.task.position.shard == b.task.position.shard) {
            let row = |early: &Early| {
                let (offset, ordinal) = (early.task.position.offset, early.task.ordinal);
                let key = TimerKey { due: now, offset, ordinal, attempt: early.attempt };
                TimerRow { key, channel: early.channel, endpoint: early.endpoint }
            };
            let mut rows: Vec<TimerRow> = of_shard.iter().map(row).collect();
            let shard = of_shard[0].task.position.shard;
            let _expected = self.timers.expect(shard, &mut rows);
            self.timers.add(shard, rows);
        }
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
    pub(super) peers: Option<Arc<Peers>>,
    /// Records of the topic of events are in nobody's shard: any node takes them in again.
    pub(super) event_replays: EventReplays,
}

/// Cancels by this node's engine, or by whoever has the shard.
pub(super) async fn cancel(
    engine: Option<&Arc<Engine>>,
    peers: Option<&Peers>,
    id: NotificationId,
) -> Result<Cancelled, OperationError> {
    let peers = || peers.ok_or_else(|| OperationError::Elsewhere("no node has the shard".into()));
    let Some(engine) = engine.filter(|engine| engine.has(id.0.shard)) else { return peers()?.cancel(id).await };
    match engine.cancellations.cancel(id).await? {
        Cancellation::Cancelled { stopped, too_late } => Ok(Cancelled::Cancelled { stopped, too_late }),
        Cancellation::TooLate { too_late } => Ok(Cancelled::TooLate { too_late }),
        Cancellation::NotOurs => peers()?.cancel(id).await,
    }
}

impl Everywhere {
    fn peers(&self) -> Result<&Peers, OperationError> {
        self.peers.as_deref().ok_or_else(|| OperationError::Elsewhere("no node has the shard".into()))
    }

    fn having(&self, shard: ShardId) -> Option<&Arc<Engine>> {
        self.engine.as_ref().filter(|engine| engine.has(shard))
    }
}

#[async_trait]
impl Operations for Everywhere {
    async fn cancel(&self, id: NotificationId) -> Result<Cancelled, OperationError> {
        cancel(self.engine.as_ref(), self.peers.as_deref(), id).await
    }

    async fn replay(&self, key: &DeadLetterKey) -> Result<Replayed, OperationError> {
        let shard = key.task.position.shard;
        if shard.is_events() {
            return Ok(match self.event_replays.replay(key).await? {
                true => Replayed::Requeued,
                false => Replayed::NotReplayable,
            });
        }
        let Some(engine) = self.having(shard) else { return self.peers()?.replay(key).await };
        Ok(match engine.replays.replay(key).await? {
            Replay::Requeued => Replayed::Requeued,
            Replay::NotReplayable => Replayed::NotReplayable,
        })
    }

    async fn look_early(&self, early: Vec<Early>) {
        let is_here = |early: &Early| self.having(early.task.position.shard).is_some();
        let (here, elsewhere): (Vec<Early>, Vec<Early>) = early.into_iter().partition(is_here);
        if let Some(engine) = &self.engine {
            engine.look_early(&here);
        }
        if let Some(peers) = self.peers.as_ref().filter(|_| !elsewhere.is_empty()) {
            peers.look_early(&elsewhere).await;
        }
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
