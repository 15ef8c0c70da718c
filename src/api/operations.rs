//! What the API asks of the running engine, beyond reading the store.

use std::collections::BTreeMap;

use async_trait::async_trait;

use crate::domain::{NotificationId, Priority, Source, TaskId};
use crate::store::{DeadLetterKey, StoreError};

/// The engine as the API sees it.
#[async_trait]
pub trait Operations: Send + Sync + 'static {
    /// Cancels what has not been sent; durable on return. The caller has checked that the notification is the tenant's.
    async fn cancel(&self, id: NotificationId) -> Result<Cancelled, StoreError>;

    /// Sends a dead letter again, as a further attempt of the same task; durable on return.
    async fn replay(&self, key: &DeadLetterKey) -> Result<Replayed, StoreError>;

    /// Whether a sender has the task in its hands now.
    fn is_sending(&self, task: TaskId) -> bool;

    /// The books of all shards.
    async fn accounting(&self) -> Result<Accounting, StoreError>;
}

/// What a cancellation did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cancelled {
    /// Nothing of it will be sent; for several tasks: `stopped` of them were stopped.
    Cancelled { stopped: usize },
    /// Everything had been sent or had ended before.
    TooLate,
}

/// What a replay did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Replayed {
    Requeued,
    /// The task is no longer failed or unknown (it was replayed already), or the record still cannot be used.
    NotReplayable,
}

/// in = sent + skipped + merged + failed + expired + cancelled + unknown + open.
#[derive(Debug, Clone, Default)]
pub struct Accounting {
    pub lines: Vec<AccountingLine>,
    /// By how much the books do not balance against what is really in hand; 0 when all is well.
    pub unaccounted: i64,
}

/// The books of one source and lane. One item is one task, or one notification without tasks.
#[derive(Debug, Clone)]
pub struct AccountingLine {
    pub source: Source,
    pub lane: Priority,
    pub accepted: i64,
    pub sent: i64,
    pub skipped: BTreeMap<&'static str, i64>,
    pub merged: i64,
    pub failed: i64,
    pub expired: i64,
    pub cancelled: i64,
    pub unknown: i64,
    pub open: i64,
    /// Of the open ones, those that wait for a time.
    pub scheduled: i64,
    /// Records that could not be used: not counted as accepted.
    pub rejected: i64,
}
