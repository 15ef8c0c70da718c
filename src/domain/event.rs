//! What happened to a task. Events are only ever added; a task's state is a fold over them.

use super::{Channel, TaskId, Timestamp};

/// One thing that happened. Written twice it is the same row: its key is the task, the attempt and the kind.
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
}

impl EventKind {
    pub const ALL: [EventKind; 16] = [
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
        }
    }

    /// The last part of the row's key: a retried write of the same fact meets the same row.
    pub fn sequence(&self) -> u16 {
        u16::from(self.attempt) << 8 | self.kind as u16
    }
}
