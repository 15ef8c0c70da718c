//! What came to a user within the product itself.

use std::time::Duration;

use super::{AUDIT_KEPT, NotificationId, Priority, TaskId, Timestamp};

/// How long it is known which blocks were written, so that whoever counts them may be away: as long as most messages are kept.
const TOUCHED_KEPT: Duration = Duration::from_secs(30 * 86_400);

/// How long what is kept by its date is kept: entries of inboxes.
pub const DATED_KEPT: Duration = Duration::from_secs(180 * 86_400);

/// How long rows with a date are kept, by what they are of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DatedKept {
    /// Entries of inboxes: at most [`DATED_KEPT`].
    pub inbox: Duration,
    /// Lines of the audit log: at most [`AUDIT_KEPT`].
    pub audit: Duration,
}

impl DatedKept {
    /// How long rows of a kind, by its number in the store, stay after the time that their names begin with; `None`: they stay, and have none.
    pub fn of_kind(self, kind: u8) -> Option<Duration> {
        match kind {
            15..=18 => Some(self.inbox),
            20 => Some(TOUCHED_KEPT),
            23 => Some(DATED_KEPT),
            26 => Some(self.audit),
            _ => None,
        }
    }
}

impl Default for DatedKept {
    fn default() -> Self {
        Self { inbox: DATED_KEPT, audit: AUDIT_KEPT }
    }
}

/// Where an entry stands in its user's inbox: by when it was due, the latest first, and by its task.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct InboxPlace {
    pub at: Timestamp,
    pub task: TaskId,
}

impl InboxPlace {
    pub fn notification(&self) -> NotificationId {
        NotificationId(self.task.position)
    }
}

/// One message in an inbox, as it was rendered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InboxEntry {
    pub place: InboxPlace,
    pub priority: Priority,
    pub category: Option<Box<str>>,
    /// The code of the template that it was made of; `None`: its texts came with the request.
    pub template: Option<Box<str>>,
    pub title: Box<str>,
    /// Plain text.
    pub body: Box<str>,
    /// The request's `data` as JSON text; an object.
    pub data: Box<str>,
    /// The request's `metadata` as JSON text; an object.
    pub metadata: Box<str>,
    pub expires_at: Option<Timestamp>,
    /// When its user read it first.
    pub read_at: Option<Timestamp>,
    /// When its user put it away.
    pub archived_at: Option<Timestamp>,
}

/// A word from node to node about a user's inbox, for whoever has connections of that user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum InboxWord {
    /// It came just now; `is_repeated`: it may have come before.
    Came { entry: Box<InboxEntry>, is_repeated: bool },
    /// These were read, by whichever of the user's programs.
    Read { notifications: Vec<NotificationId>, at: Timestamp },
    /// Everything was read that had come by then.
    ReadAll { at: Timestamp },
    /// These were put away.
    Archived { notifications: Vec<NotificationId> },
}
