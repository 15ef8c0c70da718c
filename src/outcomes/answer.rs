//! What a sender reports of one task.

use std::sync::Arc;

use crate::domain::{BrakeKind, Outcome, Plan, SkipReason, TaskId, Timestamp};

/// The end of one attempt.
#[derive(Debug, Clone)]
pub struct Answer {
    pub task: TaskId,
    pub attempt: u8,
    pub plan: Arc<Plan>,
    /// Whether the task's row said, before this attempt, that it waits for a timer.
    pub was_scheduled: bool,
    pub provider: Arc<str>,
    /// When the provider was asked, or would have been.
    pub asked_at: Timestamp,
    pub at: Timestamp,
    pub kind: AnswerKind,
}

/// How it ended.
#[derive(Debug, Clone)]
pub enum AnswerKind {
    /// The provider was asked, or the message could not be made.
    Outcome(Outcome),
    /// Its time had passed before it was sent.
    Expired,
    /// A second look said that it is not to be sent on this channel.
    Skipped(SkipReason),
    /// A second look said that it is to wait until then.
    PutOff { until: Timestamp },
    /// A brake holds it, at most until then; the brakes' number when that was decided.
    Held { by: BrakeKind, until: Timestamp, seen: u64 },
    /// A receipt says that an attempt before, which was in doubt, was taken: by this id of the provider's, and whether it bounced.
    TakenAfterAll { message_id: Option<Box<str>>, has_bounced: bool },
    /// A channel before it in its fallback was confirmed while it waited for that.
    DeliveredElsewhere,
    /// Somebody recalled it, by this.
    Recalled { by: BrakeKind },
    /// It was to tell of a group that everybody has left.
    Emptied,
}
