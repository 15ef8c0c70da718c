//! What happened to a task. Events are only ever added; a task's state is a fold over them.

use super::{Channel, TaskId, Timestamp};

/// One thing that happened. Written twice it is the same row: see [`Event::fact`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    pub task: TaskId,
    /// The attempt this is about, 1 for the first. For [`EventKind::Scheduled`]: the attempt to come.
    pub attempt: u8,
    pub kind: EventKind,
    pub at: Timestamp,
    pub channel: Option<Channel>,
    pub provider: Option<Box<str>>,
    pub provider_message_id: Option<Box<str>>,
    /// Why, for people; never an address.
    pub reason: Option<Box<str>>,
    /// For [`EventKind::Scheduled`]: not before this.
    pub due: Option<Timestamp>,
    /// Of what may happen to a message more often than once, opened and clicked: which of the times it is, a hash of what tells it from
    /// the others. 0: of all other kinds, and where nobody can tell.
    pub occasion: u64,
    /// A program did it, as a mail scanner opens what it checks, and no person, as far as can be told.
    pub by_machine: bool,
    /// For [`EventKind::Sent`]: what the provider takes for it, in millionths of the unit that `cost` is configured in.
    pub cost: u64,
}

/// The kinds of events. The numbers are those of the rows and never change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum EventKind {
    Accepted = 0,
    Merged = 1,
    Scheduled = 2,
    Sent = 3,
    Delivered = 4,
    Opened = 5,
    Clicked = 6,
    Bounced = 7,
    Complained = 8,
    Unsubscribed = 9,
    Read = 10,
    Failed = 11,
    Skipped = 12,
    Cancelled = 13,
    Expired = 14,
    /// The provider was given the bytes and never answered.
    Unknown = 15,
    /// The user did what the message was for, as a program of the tenant tells.
    Converted = 16,
}

impl EventKind {
    pub const ALL: [EventKind; 17] = [
        EventKind::Accepted,
        EventKind::Merged,
        EventKind::Scheduled,
        EventKind::Sent,
        EventKind::Delivered,
        EventKind::Opened,
        EventKind::Clicked,
        EventKind::Bounced,
        EventKind::Complained,
        EventKind::Unsubscribed,
        EventKind::Read,
        EventKind::Failed,
        EventKind::Skipped,
        EventKind::Cancelled,
        EventKind::Expired,
        EventKind::Unknown,
        EventKind::Converted,
    ];

    pub fn from_index(index: usize) -> Option<Self> {
        Self::ALL.get(index).copied()
    }

    /// Whether it is told of after the send, by the provider or by who got the message. It says what became of the message and
    /// nothing of what the engine still has to do: the books and the timers go by the other kinds.
    pub fn is_receipt(self) -> bool {
        matches!(
            self,
            EventKind::Delivered
                | EventKind::Opened
                | EventKind::Clicked
                | EventKind::Bounced
                | EventKind::Complained
                | EventKind::Unsubscribed
                | EventKind::Read
                | EventKind::Converted
        )
    }

    pub fn name(self) -> &'static str {
        [
            "accepted",
            "merged",
            "scheduled",
            "sent",
            "delivered",
            "opened",
            "clicked",
            "bounced",
            "complained",
            "unsubscribed",
            "read",
            "failed",
            "skipped",
            "cancelled",
            "expired",
            "unknown",
            "converted",
        ][self as usize]
    }
}

impl Event {
    /// In the place of the attempt, where it is not known: a receipt names the task and not which of its attempts. So the same
    /// receipt is the same row, however often and whenever it comes.
    pub const NO_ATTEMPT: u8 = 0;

    /// An event with nothing but its key and time.
    pub fn new(task: TaskId, attempt: u8, kind: EventKind, at: Timestamp) -> Self {
        Self {
            task,
            attempt,
            kind,
            at,
            channel: None,
            provider: None,
            provider_message_id: None,
            reason: None,
            due: None,
            occasion: 0,
            by_machine: false,
            cost: 0,
        }
    }

    /// Of its task's events, its place: by attempt, and then by kind.
    pub fn sequence(&self) -> u16 {
        u16::from(self.attempt) << 8 | self.kind as u16
    }

    /// What tells it from all other events of its notification: a retried write of the same fact meets the same row.
    pub fn fact(&self) -> (u8, u16, u64) {
        (self.task.ordinal, self.sequence(), self.occasion)
    }
}
