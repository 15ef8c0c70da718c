//! What the API asks of the running engine, beyond reading the store.

use async_trait::async_trait;

use crate::domain::{NotificationId, TaskId};
use crate::insight::Accounting;
use crate::outcomes::Early;
use crate::store::{DeadLetterKey, StoreError};

/// The engine as the API sees it.
#[async_trait]
pub trait Operations: Send + Sync + 'static {
    /// Cancels what has not been sent; durable on return. The caller has checked that the notification is the tenant's.
    async fn cancel(&self, id: NotificationId) -> Result<Cancelled, OperationError>;

    /// Sends a dead letter again, as a further attempt of the same task; durable on return.
    async fn replay(&self, key: &DeadLetterKey) -> Result<Replayed, OperationError>;

    /// Has these tasks looked at before their time, by whose they are. Where nobody hears it they go on at their time.
    async fn look_early(&self, early: Vec<Early>);

    /// Whether a sender has the task in its hands now.
    fn is_sending(&self, task: TaskId) -> bool;

    /// The books of all shards.
    async fn accounting(&self) -> Result<Accounting, OperationError>;
}

/// Why the engine did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum OperationError {
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Another node works on it and does not answer, or nobody does for the moment. It may have been done all the same.
    #[error("{0}")]
    Elsewhere(String),
}

/// What a cancellation did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cancelled {
    /// So many of its tasks were stopped, now or before; so many others had been sent or had ended. A notification that was
    /// not planned yet has none: all of it is stopped.
    Cancelled { stopped: usize, too_late: usize },
    /// Everything had been sent or had ended before.
    TooLate { too_late: usize },
}

/// What a replay did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Replayed {
    Requeued,
    /// The task is no longer failed or unknown (it was replayed already), or the record still cannot be used.
    NotReplayable,
}
