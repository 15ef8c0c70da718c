//! A plan, its tasks, and the one table of a task's life.

use std::time::Duration;

use super::{
    Address, AttachmentReference, CampaignId, Channel, ClaimKey, Content, Decision, Event, EventKind, Group,
    NotificationId, Personal, Position, Priority, Routing, SkipReason, Source, Step, TaskId, Timestamp, Verdict,
};

/// What planning made of one request; frozen when it is written, so that a replay never decides anew.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    pub position: Position,
    pub tenant: Box<str>,
    pub user_id: Option<Box<str>>,
    pub category: Option<Box<str>>,
    pub source: Source,
    pub routing: Routing,
    pub accepted_at: Timestamp,
    pub expires_at: Option<Timestamp>,
    pub content: Content,
    /// JSON text of an object.
    pub data: Box<str>,
    /// JSON text of an object.
    pub metadata: Box<str>,
    pub decisions: Vec<Decision>,
    pub disposition: Disposition,
    /// Claims this notification holds: no other with the same keys is sent while they last.
    pub claims: Vec<PlanClaim>,
    /// Where it has to do with a group.
    pub group: Option<Group>,
    pub presentation: Presentation,
    pub delivery: Delivery,
    /// The campaign that it is one message of.
    pub campaign: Option<CampaignId>,
    pub personal: Personal,
}

/// What goes along with a message, besides what it says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Delivery {
    pub attachments: Vec<AttachmentReference>,
    /// As in [`super::NotificationRequest::collapse_key`].
    pub collapse_key: Option<Box<str>>,
}

impl Delivery {
    pub fn is_usual(&self) -> bool {
        *self == Self::default()
    }
}

/// How a message is to read, as far as it was settled when it was planned.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Presentation {
    /// The language tag that was asked for, or the user's; `None`: the usual one.
    pub locale: Option<Box<str>>,
    /// The user's time zone; `None`: the usual one.
    pub zone: Option<Box<str>>,
    /// Which text of the template's experiment; `None`: there was none.
    pub variant: Option<Box<str>>,
}

impl Presentation {
    pub fn is_usual(&self) -> bool {
        *self == Self::default()
    }
}

/// A claim that came with a plan: what the store writes next to it, with the plan's position as the owner.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PlanClaim {
    pub key: ClaimKey,
    pub expires_at: Timestamp,
    /// For a retry key: the hash of the body it came with; 0 elsewhere.
    pub body_hash: u64,
}

/// What becomes of a planned notification.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Disposition {
    /// These tasks, in the order of the channels; at least one.
    Tasks(Vec<TaskSpec>),
    /// Nothing is sent, and why.
    Skipped(SkipReason),
    /// Its leader's message says it as well.
    Merged { into: Position },
}

/// One message to one person on one channel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TaskSpec {
    pub channel: Channel,
    pub address: Address,
    /// Not before this; `None`: at once. Of a fallback only the first task heeds it.
    pub due: Option<Timestamp>,
    /// Which endpoint it goes to, for limits and breakers of its own: a hash of a webhook's origin, 0 elsewhere.
    pub endpoint: u32,
}

impl Plan {
    pub fn priority(&self) -> Priority {
        self.position.shard.lane
    }

    pub fn tasks(&self) -> &[TaskSpec] {
        match &self.disposition {
            Disposition::Tasks(tasks) => tasks,
            Disposition::Skipped(_) | Disposition::Merged { .. } => &[],
        }
    }

    pub fn task_id(&self, ordinal: usize) -> TaskId {
        TaskId { position: self.position, ordinal: ordinal as u8 }
    }

    pub fn id(&self) -> NotificationId {
        NotificationId(self.position)
    }

    /// Whether a brake was on when the task was planned, so that its due time is the end of that hold. The message of a group has
    /// the group's time, and is judged when that comes.
    pub fn is_held(&self, ordinal: usize) -> bool {
        let Some(spec) = self.tasks().get(ordinal) else { return false };
        let until = self.group.as_ref().filter(|_| self.is_leader()).map(|group| group.until);
        if until.is_some() && spec.due == until {
            return false;
        }
        let holds = |decision: &Decision| {
            decision.step == Step::Brakes
                && matches!(decision.verdict, Verdict::Hold { .. })
                && decision.channel.is_none_or(|channel| channel == spec.channel)
        };
        spec.due.is_some() && self.decisions.iter().any(holds)
    }
}

/// What the reason of a `scheduled` event begins with whose task a brake holds.
pub const HELD_REASON: &str = "brakes: ";

/// The reason of the `scheduled` event of a channel that waits for the one before it to be confirmed.
pub const CONFIRMATION_REASON: &str = "unless the channel before it is confirmed by then";

/// How far the clocks of two nodes may be apart that are kept in time.
const CLOCKS_APART_MAX: Duration = Duration::from_secs(5);

/// Where a task is in its life. [`TaskState::name`] is the word the API shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TaskState {
    /// To be sent, as this attempt.
    Pending {
        attempt: u8,
    },
    /// To be sent as this attempt, not before `due`.
    Scheduled {
        attempt: u8,
        due: Timestamp,
    },
    /// Waits for the channels before it in the fallback order.
    Waiting,
    Sent,
    Delivered,
    Merged,
    Skipped,
    Cancelled,
    Expired,
    Failed {
        attempt: u8,
    },
    Unknown {
        attempt: u8,
    },
}

impl TaskState {
    /// Whether something is still to be done.
    pub fn is_open(self) -> bool {
        matches!(self, TaskState::Pending { .. } | TaskState::Scheduled { .. } | TaskState::Waiting)
    }

    /// Whether the provider took it.
    pub fn is_taken(self) -> bool {
        matches!(self, TaskState::Sent | TaskState::Delivered)
    }

    pub fn name(self) -> &'static str {
        match self {
            TaskState::Pending { .. } | TaskState::Waiting => "pending",
            TaskState::Scheduled { .. } => "scheduled",
            TaskState::Sent => "sent",
            TaskState::Delivered => "delivered",
            TaskState::Merged => "merged",
            TaskState::Skipped => "skipped",
            TaskState::Cancelled => "cancelled",
            TaskState::Expired => "expired",
            TaskState::Failed { .. } => "failed",
            TaskState::Unknown { .. } => "unknown",
        }
    }
}

/// A plan with all that happened to its tasks since: everything the store holds of one notification.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Story {
    pub plan: Plan,
    /// In the order of their keys (ordinal, attempt, kind); [`fold`] does not depend on it.
    pub events: Vec<Event>,
}

impl Story {
    /// The state of one task, as people see it; `None` if the plan has no such task.
    pub fn state(&self, ordinal: usize) -> Option<TaskState> {
        self.in_turn(ordinal, self.fold(ordinal, |_| true)?)
    }

    /// The state of one task as the engine's own rows have it, without what was told later: what the books, the timers and the
    /// senders go by. A receipt is written by whichever node gets it, and must not change what the shard's owner counts.
    pub fn booked(&self, ordinal: usize) -> Option<TaskState> {
        self.in_turn(ordinal, self.fold(ordinal, |kind| !kind.is_receipt())?)
    }

    /// Folds the events of the kinds that count.
    fn fold(&self, ordinal: usize, counts: impl Fn(EventKind) -> bool) -> Option<TaskState> {
        let spec = self.plan.tasks().get(ordinal)?;
        let is_own = |event: &&Event| usize::from(event.task.ordinal) == ordinal && counts(event.kind);
        // The time asked for is that of the first channel; those after it go as soon as they have their turn.
        let due = spec.due.filter(|_| self.plan.routing != Routing::Fallback || ordinal == 0);
        Some(fold(due, self.events.iter().filter(is_own)))
    }

    /// Of a fallback, a task that would have its turn waits for those before it.
    fn in_turn(&self, ordinal: usize, state: TaskState) -> Option<TaskState> {
        let is_open = |before| self.fold(before, |kind| !kind.is_receipt()).is_some_and(TaskState::is_open);
        let waits = self.plan.routing == Routing::Fallback
            && matches!(state, TaskState::Pending { .. } | TaskState::Scheduled { .. })
            && (0..ordinal).any(is_open);
        Some(if waits { TaskState::Waiting } else { state })
    }

    /// Whether a receipt says that the provider took the task, which the engine's own rows have as still to be sent: it was in doubt,
    /// or the node crashed before it could write what was answered. It must not be sent again, and is to be settled as sent. Of what
    /// cannot have gone no receipt is written down: see [`Story::may_be_under_way`].
    pub fn is_taken_after_all(&self, ordinal: usize) -> bool {
        let is_to_be_sent =
            matches!(self.booked(ordinal), Some(TaskState::Pending { .. } | TaskState::Scheduled { .. }));
        is_to_be_sent && self.state(ordinal).is_some_and(TaskState::is_taken)
    }

    /// Whether the task may be with a provider right now, for all that its rows say: it is its turn, or a receipt has given it one
    /// early. Nodes' clocks differ a little, and the row of what was sent may come after what is told of it.
    pub fn may_be_under_way(&self, ordinal: usize, now: Timestamp) -> bool {
        match self.booked(ordinal) {
            Some(TaskState::Pending { .. }) => true,
            Some(TaskState::Scheduled { due, .. }) => due <= now + CLOCKS_APART_MAX || self.is_answered(ordinal),
            _ => false,
        }
    }

    /// Whether the provider told that the task's message did not arrive, and nobody saw it all the same.
    pub fn has_bounced(&self, ordinal: usize) -> bool {
        let is_bounce = |event: &Event| usize::from(event.task.ordinal) == ordinal && event.kind == EventKind::Bounced;
        self.events.iter().any(is_bounce) && self.state(ordinal) != Some(TaskState::Delivered)
    }

    /// Whether what a channel of a fallback waits for is known before its time: the one before it is confirmed, or did not arrive.
    pub fn is_answered(&self, ordinal: usize) -> bool {
        self.awaits_confirmation(ordinal)
            && (self.is_confirmed_before(ordinal)
                || ordinal.checked_sub(1).is_some_and(|before| self.has_bounced(before)))
    }

    /// Whether the task waits for the channel before it to be confirmed, and for nothing else.
    fn awaits_confirmation(&self, ordinal: usize) -> bool {
        matches!(self.booked(ordinal), Some(TaskState::Scheduled { .. }))
            && self.last_scheduled(ordinal).is_some_and(|event| event.reason.as_deref() == Some(CONFIRMATION_REASON))
    }

    fn last_scheduled(&self, ordinal: usize) -> Option<&Event> {
        let is_own = |event: &&Event| usize::from(event.task.ordinal) == ordinal && event.kind == EventKind::Scheduled;
        self.events.iter().filter(is_own).max_by_key(|event| event.attempt)
    }

    /// Whether a channel before the task in its fallback is known to have reached its user.
    pub fn is_confirmed_before(&self, ordinal: usize) -> bool {
        self.plan.routing == Routing::Fallback
            && (0..ordinal).any(|before| self.state(before) == Some(TaskState::Delivered))
    }

    /// Whether a brake holds the task, as far as its rows say: what it waits for is the end of that hold.
    pub fn is_held(&self, ordinal: usize) -> bool {
        if !matches!(self.booked(ordinal), Some(TaskState::Scheduled { .. })) {
            return false;
        }
        match self.last_scheduled(ordinal) {
            Some(event) => event.reason.as_deref().is_some_and(|reason| reason.starts_with(HELD_REASON)),
            None => self.plan.is_held(ordinal),
        }
    }

    /// Whether it was merged into another's message and taken out again before that was sent.
    pub fn has_left(&self) -> bool {
        matches!(self.plan.disposition, Disposition::Merged { .. })
            && self.events.iter().any(|event| event.kind == EventKind::Cancelled)
    }

    /// Whether it came, or is to come, to its user in the product.
    pub fn is_in_product(&self) -> bool {
        self.plan.tasks().iter().any(|task| task.channel == Channel::InApp)
    }

    /// When it was read first, by whichever way it tells.
    pub fn read_at(&self) -> Option<Timestamp> {
        self.events.iter().filter(|event| event.kind == EventKind::Read).map(|event| event.at).min()
    }

    /// The states of all tasks, in order, as people see them.
    pub fn states(&self) -> Vec<TaskState> {
        (0..self.plan.tasks().len()).filter_map(|ordinal| self.state(ordinal)).collect()
    }

    /// The same as the engine's own rows have them: see [`Story::booked`].
    pub fn booked_states(&self) -> Vec<TaskState> {
        (0..self.plan.tasks().len()).filter_map(|ordinal| self.booked(ordinal)).collect()
    }
}

/// The only transition table. The order of the events does not matter, and the same event twice is the same as once:
/// what the provider took stays taken, what was ended stays ended, and of the rest the latest attempt counts.
///
/// An owner that lost the shard while it stood still may write late what it was about to: its next attempt, of a task that the owner
/// after it has seen fail meanwhile. That one is older than the failure, and a task that is sent again from the dead letters younger.
pub(super) fn fold<'a>(due: Option<Timestamp>, events: impl Iterator<Item = &'a Event> + Clone) -> TaskState {
    let is_outdated = |scheduled: &Event| {
        let mut all = events.clone();
        all.any(|event| event.kind == EventKind::Failed && event.attempt < scheduled.attempt && event.at > scheduled.at)
    };
    let mut state = match due {
        Some(due) => TaskState::Scheduled { attempt: 1, due },
        None => TaskState::Pending { attempt: 1 },
    };
    let mut rank = (0, 0, 0);
    for event in events.clone() {
        let (next, next_rank) = match event.kind {
            EventKind::Scheduled if is_outdated(event) => continue,
            // It stands before the mailbox, and may still refuse what it opens.
            EventKind::Opened | EventKind::Clicked if event.by_machine => (TaskState::Sent, (3, 0, 0)),
            // Who reports it or takes themselves off the list has seen it.
            EventKind::Delivered
            | EventKind::Opened
            | EventKind::Clicked
            | EventKind::Read
            | EventKind::Complained
            | EventKind::Unsubscribed
            | EventKind::Converted => (TaskState::Delivered, (3, 1, 0)),
            // What did not arrive was sent; that it did not is said by its event.
            EventKind::Sent | EventKind::Bounced => (TaskState::Sent, (3, 0, 0)),
            EventKind::Cancelled => (TaskState::Cancelled, (2, 3, 0)),
            EventKind::Expired => (TaskState::Expired, (2, 2, 0)),
            EventKind::Merged => (TaskState::Merged, (2, 1, 0)),
            EventKind::Skipped => (TaskState::Skipped, (2, 0, 0)),
            EventKind::Scheduled => (
                TaskState::Scheduled { attempt: event.attempt, due: event.due.unwrap_or(event.at) },
                (1, event.attempt, 1),
            ),
            EventKind::Unknown => (TaskState::Unknown { attempt: event.attempt }, (1, event.attempt, 2)),
            EventKind::Failed => (TaskState::Failed { attempt: event.attempt }, (1, event.attempt, 3)),
            EventKind::Accepted => continue,
        };
        if next_rank > rank {
            state = next;
            rank = next_rank;
        }
    }
    state
}

#[cfg(test)]
mod tests;
