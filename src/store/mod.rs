//! The store port: plans, events, timers, claims and the books, in partitions small enough to read whole.
//!
//! In: one [`WriteBatch`] per shard at a time, durable when the write returns. Out: ordered reads from a cursor.
//! Promise: every write is idempotent, nothing on the hot path reads before it writes, and a batch becomes visible as a
//! whole or, where a backend cannot do that, in the order of its fields.

mod assemble;
mod brakes;
mod budgets;
mod count;
mod cql;
mod definitions;
mod drops;
mod embedded;
mod groups;
mod keyed;
mod leases;
mod marks;
mod measured;
mod packed;
mod plan_rows;
mod received;
mod rows;
mod secrets;
mod spill;
mod templates;
mod users;

#[cfg(test)]
pub(crate) mod conformance;
#[cfg(test)]
pub(crate) mod conformance_brakes;
#[cfg(test)]
pub(crate) mod conformance_budgets;
#[cfg(test)]
pub(crate) mod conformance_definitions;
#[cfg(test)]
pub(crate) mod conformance_keyed;
#[cfg(test)]
pub(crate) mod conformance_leases;
#[cfg(test)]
pub(crate) mod conformance_marks;
#[cfg(test)]
pub(crate) mod conformance_received;
#[cfg(test)]
pub(crate) mod conformance_secrets;
#[cfg(test)]
pub(crate) mod conformance_templates;
#[cfg(test)]
pub(crate) mod conformance_users;

use std::sync::Arc;

use async_trait::async_trait;

pub use brakes::BrakeRows;
pub use budgets::{BudgetKey, BudgetRows};
pub use count::{Counted, Uncounted};
#[cfg(test)]
pub(crate) use cql::Place as CqlPlace;
pub use cql::{CqlStore, apply_schema, print_schema};
pub use definitions::DefinitionRows;
pub use drops::Drops;
pub use embedded::EmbeddedStore;
pub use groups::{GroupEntry, GroupRow, Groups, SealedEntry, closed, members, tells_of};
pub use keyed::{KeyedKind, KeyedPart, KeyedRow, KeyedRows, NamedRow, newest_first, read_newest_first};
pub use leases::{Beat, LeaseRow, LeaseRows, NodeName};
pub use marks::{MINUTE_MILLIS, SOURCES, read_touched, source_of, touched_blocks, touched_part, touched_row};
pub use measured::Measured;
pub use plan_rows::PlanRows;
pub(crate) use received::user_hash;
pub use received::{RECEIVED_MAX, ReceivedEntry, ReceivedRow, ReceivedRows};
pub use rows::{
    BookColumn, BookDelta, Books, ClaimRow, Cursors, DeadLetter, DeadLetterCause, DeadLetterKey, ForeignLetter,
    HistoryEntry, TIMER_BUCKET, TimerKey, TimerRow, timer_bucket,
};
pub use secrets::{SecretsOf, UserSecret, UserSecrets};
pub use spill::SpillRows;
pub use templates::{TemplateBodyPlace, TemplateRows};
pub use users::{ListedSuppression, SuppressionChange, SuppressionPlace, Suppressions, UserChange, Users};

use crate::codec::CodecError;
use crate::domain::{ClaimKey, Event, Plan, Position, ShardId, Story, Timestamp};

/// Why the store did not do what was asked.
#[derive(Debug, Clone, thiserror::Error)]
pub enum StoreError {
    /// Nothing more can be written at all; what was given is not stored.
    #[error("the disk under the store is full: free some space below `{path}`")]
    Full { path: String },
    #[error("the store failed: {0}")]
    Failed(String),
    /// It cannot be used as it is set up; the sentence says what to do.
    #[error("{0}")]
    Unusable(String),
    /// A row that this binary cannot read: written by a newer one, or damaged.
    #[error("cannot read a stored row: {0}")]
    Unreadable(String),
}

impl From<CodecError> for StoreError {
    fn from(error: CodecError) -> Self {
        StoreError::Unreadable(error.to_string())
    }
}

/// Rows of one shard that belong together. The order of the fields is the order of the writes where a backend has no
/// atomic batch: a timer before the event that relies on it, a plan before what comes of it, cursors last.
#[derive(Debug, Clone, Default)]
pub struct WriteBatch {
    pub timers: Vec<TimerRow>,
    /// Who joined is there before the plan that says so: whoever plans it again finds that it did.
    pub groups: Vec<GroupRow>,
    /// A plan's claims and its entry in the user's history are written with it.
    pub plans: Vec<Arc<Plan>>,
    /// What is written of the plans, where that is not all of them.
    pub plan_rows: PlanRows,
    /// What the plans' users will have got by them. Written before the plans where a backend has no atomic batch: one without its
    /// plan says too much, and is written over by whoever plans again.
    pub received: Vec<ReceivedRow>,
    pub events: Vec<Event>,
    pub dead_letters: Vec<DeadLetter>,
    /// Dead letters that were sent again or dismissed, and so leave the list.
    pub revived: Vec<DeadLetterKey>,
    /// Added to the shard's books together with the rows.
    pub books: BookDelta,
    pub cursors: Option<Cursors>,
}

impl WriteBatch {
    pub fn is_empty(&self) -> bool {
        self.timers.is_empty()
            && self.groups.is_empty()
            && self.plans.is_empty()
            && self.received.is_empty()
            && self.events.is_empty()
            && self.dead_letters.is_empty()
            && self.revived.is_empty()
            && self.books.is_empty()
            && self.cursors.is_none()
    }
}

/// Plans and events: what is known of every notification.
#[async_trait]
pub trait TaskLog: Send + Sync + 'static {
    /// Writes the batch; durable on return. May be called again with the same batch after an error.
    async fn write(&self, shard: ShardId, batch: WriteBatch) -> Result<(), StoreError>;

    /// What is held of each position, in the order asked for.
    async fn stories(&self, positions: &[Position]) -> Result<Vec<Option<Story>>, StoreError>;

    /// The plan of each position, in the order asked for: what is held of it without what happened to it, which may cost much less. What is
    /// personal of it may be missing.
    async fn plans_at(&self, positions: &[Position]) -> Result<Vec<Option<Plan>>, StoreError> {
        let stories = self.stories(positions).await?;
        Ok(stories.into_iter().map(|story| story.map(|story| story.plan)).collect())
    }

    /// The same as [`TaskLog::stories`] for who only counts and looks at states: what is personal may be missing.
    async fn bare_stories(&self, positions: &[Position]) -> Result<Vec<Option<Story>>, StoreError> {
        self.stories(positions).await
    }

    /// The same as [`TaskLog::block`] for who only counts and looks at states: what is personal may be missing.
    async fn bare_block(&self, shard: ShardId, block: u64) -> Result<Vec<Story>, StoreError> {
        self.block(shard, block).await
    }

    /// Everything planned in one block of [`crate::domain::BLOCK_OFFSETS`] offsets, in the order of the offsets.
    async fn block(&self, shard: ShardId, block: u64) -> Result<Vec<Story>, StoreError>;

    /// Events in a block that belong to a notification and to none of its tasks: cancellations that came before planning.
    async fn loose_events(&self, shard: ShardId, block: u64) -> Result<Vec<Event>, StoreError>;

    /// This process writes the shard from now on, whose log ends at `end`: what it remembers of it may be another's past, and is
    /// read anew; and what another wrote and had no time to count comes into the books.
    async fn take_over(&self, shard: ShardId, end: u64) -> Result<(), StoreError> {
        let _ = (shard, end);
        Ok(())
    }

    async fn cursors(&self, shard: ShardId) -> Result<Cursors, StoreError>;

    async fn books(&self, shard: ShardId) -> Result<Books, StoreError>;
}

/// What waits for a time.
#[async_trait]
pub trait Timers: Send + Sync + 'static {
    /// The rows of a shard after `after` (exclusive) that are due before `until`, in the order of their keys, at most
    /// `limit`: fewer only if there are no more.
    async fn timers(
        &self,
        shard: ShardId,
        after: TimerKey,
        until: Timestamp,
        limit: usize,
    ) -> Result<Vec<TimerRow>, StoreError>;
}

/// Who holds a claim.
#[async_trait]
pub trait ClaimRows: Send + Sync + 'static {
    /// The row of each key, expired or not, in the order asked for.
    async fn claims(&self, keys: &[ClaimKey]) -> Result<Vec<Option<ClaimRow>>, StoreError>;

    /// Writes the rows of records that are in the log and not planned yet, for other processes to see. A row that a plan came
    /// with is never replaced, and writing twice changes nothing. A store that one process has for itself keeps none of them:
    /// that process remembers its keys.
    async fn hold(&self, _: &[ClaimRow]) -> Result<(), StoreError> {
        Ok(())
    }
}

/// A user's notifications.
#[async_trait]
pub trait History: Send + Sync + 'static {
    /// Newest first, those before `before` (exclusive), at most `limit`.
    async fn history(
        &self,
        tenant: &str,
        user_id: &str,
        before: Option<HistoryEntry>,
        limit: usize,
    ) -> Result<Vec<HistoryEntry>, StoreError>;
}

/// What could not be delivered or used.
#[async_trait]
pub trait DeadLetters: Send + Sync + 'static {
    /// Newest first, those before `before` (exclusive), at most `limit`. Records that could not be decoded have no tenant
    /// and are listed under the empty one.
    async fn dead_letters(
        &self,
        tenant: &str,
        before: Option<DeadLetterKey>,
        limit: usize,
    ) -> Result<Vec<DeadLetter>, StoreError>;

    async fn dead_letter(&self, key: &DeadLetterKey) -> Result<Option<DeadLetter>, StoreError>;
}

/// All of the store; stages ask for the trait they use.
pub trait Store:
    TaskLog
    + Timers
    + ClaimRows
    + ReceivedRows
    + BudgetRows
    + Groups
    + History
    + DeadLetters
    + Users
    + Suppressions
    + BrakeRows
    + TemplateRows
    + DefinitionRows
    + KeyedRows
    + Drops
{
}

impl<T> Store for T where
    T: TaskLog
        + Timers
        + ClaimRows
        + ReceivedRows
        + BudgetRows
        + Groups
        + History
        + DeadLetters
        + Users
        + Suppressions
        + BrakeRows
        + TemplateRows
        + DefinitionRows
        + KeyedRows
        + Drops
{
}

/// A store as it is handed around.
pub type SharedStore = Arc<dyn Store>;
