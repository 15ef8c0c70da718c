//! A plan, its tasks, and the one table of a task's life.

use super::{
    Address, Channel, ClaimKey, Content, Decision, Event, EventKind, Group, NotificationId, Position, Priority,
    Routing, SkipReason, Source, Step, TaskId, Timestamp, Verdict,
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
    /// The state of one task; `None` if the plan has no such task.
    pub fn state(&self, ordinal: usize) -> Option<TaskState> {
        let spec = self.plan.tasks().get(ordinal)?;
        let own = self.events.iter().filter(|event| usize::from(event.task.ordinal) == ordinal);
        let fallback = self.plan.routing == Routing::Fallback;
        // The time asked for is that of the first channel; those after it go as soon as they have their turn.
        let due = spec.due.filter(|_| !fallback || ordinal == 0);
        let state = fold(due, own);
        let waits = fallback
            && matches!(state, TaskState::Pending { .. } | TaskState::Scheduled { .. })
            && (0..ordinal).any(|before| self.state(before).is_some_and(TaskState::is_open));
        Some(if waits { TaskState::Waiting } else { state })
    }

    /// Whether a channel before the task in its fallback is known to have reached its user.
    pub fn is_confirmed_before(&self, ordinal: usize) -> bool {
        self.plan.routing == Routing::Fallback
            && (0..ordinal).any(|before| self.state(before) == Some(TaskState::Delivered))
    }

    /// Whether a brake holds the task, as far as its rows say: what it waits for is the end of that hold.
    pub fn is_held(&self, ordinal: usize) -> bool {
        if !matches!(self.state(ordinal), Some(TaskState::Scheduled { .. })) {
            return false;
        }
        let is_own = |event: &&Event| usize::from(event.task.ordinal) == ordinal && event.kind == EventKind::Scheduled;
        match self.events.iter().filter(is_own).max_by_key(|event| event.attempt) {
            Some(event) => event.reason.as_deref().is_some_and(|reason| reason.starts_with(HELD_REASON)),
            None => self.plan.is_held(ordinal),
        }
    }

    /// Whether it was merged into another's message and taken out again before that was sent.
    pub fn has_left(&self) -> bool {
        matches!(self.plan.disposition, Disposition::Merged { .. })
            && self.events.iter().any(|event| event.kind == EventKind::Cancelled)
    }

    /// The states of all tasks, in order.
    pub fn states(&self) -> Vec<TaskState> {
        (0..self.plan.tasks().len()).filter_map(|ordinal| self.state(ordinal)).collect()
    }
}

/// The only transition table. The order of the events does not matter, and the same event twice is the same as once:
/// what the provider took stays taken, what was ended stays ended, and of the rest the latest attempt counts.
pub(super) fn fold<'a>(due: Option<Timestamp>, events: impl Iterator<Item = &'a Event>) -> TaskState {
    let mut state = match due {
        Some(due) => TaskState::Scheduled { attempt: 1, due },
        None => TaskState::Pending { attempt: 1 },
    };
    let mut rank = (0, 0, 0);
    for event in events {
        let (next, next_rank) = match event.kind {
            EventKind::Delivered | EventKind::Opened | EventKind::Clicked | EventKind::Read => {
                (TaskState::Delivered, (3, 1, 0))
            }
            EventKind::Sent => (TaskState::Sent, (3, 0, 0)),
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
            EventKind::Accepted | EventKind::Bounced | EventKind::Complained | EventKind::Unsubscribed => continue,
        };
        if next_rank > rank {
            state = next;
            rank = next_rank;
        }
    }
    state
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::ShardId;
    use proptest::prelude::*;

    fn task() -> TaskId {
        let shard = ShardId { generation: 0, lane: Priority::Normal, partition: 0 };
        TaskId { position: Position::new(shard, 1), ordinal: 0 }
    }

    fn event(attempt: u8, kind: EventKind) -> Event {
        Event::new(task(), attempt, kind, Timestamp(u64::from(attempt)))
    }

    fn any_event() -> impl Strategy<Value = Event> {
        (1u8..5, 0usize..16).prop_map(|(attempt, kind)| event(attempt, EventKind::from_index(kind).expect("below 16")))
    }

    #[test]
    fn the_state_is_that_of_the_latest_attempt_unless_something_ended_it() {
        use EventKind::*;
        let check = |events: &[(u8, EventKind)], expected: &str| {
            let events: Vec<Event> = events.iter().map(|(attempt, kind)| event(*attempt, *kind)).collect();
            assert_eq!(fold(None, events.iter()).name(), expected, "{events:?}");
        };
        check(&[], "pending");
        check(&[(2, Scheduled)], "scheduled");
        check(&[(2, Scheduled), (2, Failed)], "failed");
        check(&[(2, Failed), (3, Scheduled)], "scheduled");
        check(&[(1, Unknown), (2, Scheduled)], "scheduled");
        check(&[(1, Unknown), (2, Scheduled), (2, Sent)], "sent");
        check(&[(1, Sent), (1, Failed), (1, Cancelled)], "sent");
        check(&[(2, Scheduled), (1, Cancelled)], "cancelled");
        check(&[(1, Sent), (1, Opened)], "delivered");
    }

    #[test]
    fn the_time_asked_for_is_that_of_the_first_channel_of_a_fallback() {
        let spec = |channel| TaskSpec { channel, address: Address::Provider, due: Some(Timestamp(90)), endpoint: 0 };
        let plan = |routing| Plan {
            position: task().position,
            tenant: "default".into(),
            user_id: None,
            category: None,
            source: Source::Http,
            routing,
            accepted_at: Timestamp(0),
            expires_at: None,
            content: Content::Template { code: "x".into() },
            data: "{}".into(),
            metadata: "{}".into(),
            decisions: Vec::new(),
            disposition: Disposition::Tasks(vec![spec(Channel::Email), spec(Channel::Sms)]),
            claims: Vec::new(),
            group: None,
            presentation: Default::default(),
        };
        let states = |routing| Story { plan: plan(routing), events: vec![event(1, EventKind::Failed)] }.states();
        assert_eq!(states(Routing::Fallback)[1], TaskState::Pending { attempt: 1 });
        assert_eq!(states(Routing::All)[1], TaskState::Scheduled { attempt: 1, due: Timestamp(90) });
    }

    #[test]
    fn the_message_of_a_group_waits_for_the_groups_time_and_not_for_a_brake() {
        let hold = Decision { step: Step::Brakes, channel: None, verdict: Verdict::Hold { until: Timestamp(500) } };
        let held = |group: Option<Group>, due| {
            let spec = TaskSpec { channel: Channel::Email, address: Address::Provider, due, endpoint: 0 };
            let mut plan = crate::store::conformance::plan(task().position);
            plan.decisions.push(hold.clone());
            plan.disposition = Disposition::Tasks(vec![spec]);
            plan.group = group;
            plan.is_held(0)
        };
        let group = |is_first| {
            let (key, until) = (ClaimKey(1), Timestamp(90));
            Some(Group { key, actor: None, until, is_first, gathered: None })
        };
        assert!(held(None, Some(Timestamp(90))) && !held(None, None));
        assert!(!held(group(false), Some(Timestamp(90))));
        assert!(held(group(true), Some(Timestamp(90))), "it is sent by itself");
    }

    proptest! {
        #[test]
        fn the_fold_does_not_depend_on_order_or_repetition(
            events in prop::collection::vec(any_event(), 0..12),
            seed in any::<u64>(),
        ) {
            let once = fold(None, events.iter());
            let mut shuffled: Vec<&Event> = events.iter().chain(events.iter()).collect();
            let length = shuffled.len().max(1);
            for index in 0..shuffled.len() {
                shuffled.swap(index, (seed as usize).wrapping_mul(index + 1) % length);
            }
            prop_assert_eq!(fold(None, shuffled.into_iter()), once);
        }

        #[test]
        fn what_the_provider_took_stays_taken(events in prop::collection::vec(any_event(), 0..12)) {
            let mut events = events;
            events.push(event(1, EventKind::Sent));
            prop_assert!(fold(None, events.iter()).is_taken());
        }
    }
}
