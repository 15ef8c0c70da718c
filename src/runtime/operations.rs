//! What the API asks of the running engine.

use std::sync::Arc;

use async_trait::async_trait;

use super::engine::Engine;
use crate::api::{Cancelled, Operations, Replayed};
use crate::domain::{NotificationId, TaskId};
use crate::insight::{self, Accounting};
use crate::outcomes::{Cancellation, Replay};
use crate::store::{DeadLetterKey, StoreError};

#[async_trait]
impl Operations for Engine {
    async fn cancel(&self, id: NotificationId) -> Result<Cancelled, StoreError> {
        Ok(match self.cancellations.cancel(id).await? {
            Cancellation::Cancelled { stopped, too_late } => Cancelled::Cancelled { stopped, too_late },
            Cancellation::TooLate { too_late } => Cancelled::TooLate { too_late },
            Cancellation::NotOurs => {
                return Err(StoreError::Failed("another node owns the partition of this notification".into()));
            }
        })
    }

    async fn replay(&self, key: &DeadLetterKey) -> Result<Replayed, StoreError> {
        Ok(match self.replays.replay(key).await? {
            Replay::Requeued => Replayed::Requeued,
            Replay::NotReplayable => Replayed::NotReplayable,
        })
    }

    fn is_sending(&self, task: TaskId) -> bool {
        self.ownership.is_sending(task)
    }

    async fn accounting(&self) -> Result<Accounting, StoreError> {
        insight::accounting(&self.store, &self.log, &Arc::clone(&self.ownership)).await
    }
}
