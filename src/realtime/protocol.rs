//! The frames: JSON texts with a `type`. Pure.

use serde::{Deserialize, Serialize};

use super::view::EntryView;
use crate::domain::{InboxEntry, NotificationId, Timestamp};

/// Ids that one frame may name.
const IDS_MAX: usize = 500;

/// A frame to a program, written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    /// Its `type`.
    pub kind: &'static str,
    pub text: String,
}

/// Why a connection is ended, by its WebSocket status (RFC 6455, 7.4).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Closing {
    /// Its pass has ended.
    Expired,
    /// More was said than may be.
    TooMuch,
    /// What was said is larger than a frame may be.
    TooLarge,
    /// The node ends: another takes it.
    Restart,
}

impl Closing {
    pub fn code(self) -> u16 {
        match self {
            Self::Expired => 4001,
            Self::TooMuch => 1008,
            Self::TooLarge => 1009,
            Self::Restart => 1012,
        }
    }

    /// For people.
    pub fn reason(self) -> &'static str {
        match self {
            Self::Expired => "the token has expired: connect with a new one",
            Self::TooMuch => "too many messages",
            Self::TooLarge => "the message is too large",
            Self::Restart => "the server restarts: connect again",
        }
    }
}

#[derive(Debug, Serialize)]
#[serde(tag = "type")]
pub(super) enum Say<'a> {
    #[serde(rename = "hello")]
    Hello {
        connection_id: String,
        user_id: &'a str,
        unread_count: usize,
        heartbeat_seconds: u64,
        expires_at: String,
        server_time: String,
    },
    #[serde(rename = "notification")]
    Notification { notification: EntryView<'a> },
    #[serde(rename = "unread_count")]
    UnreadCount { unread_count: usize },
    #[serde(rename = "notification:read:ack")]
    ReadAck {
        #[serde(skip_serializing_if = "Option::is_none")]
        ids: Option<Vec<String>>,
        #[serde(skip_serializing_if = "std::ops::Not::not")]
        all: bool,
        read_at: String,
    },
    #[serde(rename = "notification:archived")]
    Archived { ids: Vec<String> },
    #[serde(rename = "user:online")]
    Online { user_id: &'a str },
    #[serde(rename = "user:offline")]
    Offline { user_id: &'a str },
    #[serde(rename = "resync")]
    Resync { reason: &'static str },
    #[serde(rename = "pong")]
    Pong { server_time: String },
    #[serde(rename = "error")]
    Error { code: &'static str, detail: &'a str },
}

impl Say<'_> {
    fn kind(&self) -> &'static str {
        match self {
            Self::Hello { .. } => "hello",
            Self::Notification { .. } => "notification",
            Self::UnreadCount { .. } => "unread_count",
            Self::ReadAck { .. } => "notification:read:ack",
            Self::Archived { .. } => "notification:archived",
            Self::Online { .. } => "user:online",
            Self::Offline { .. } => "user:offline",
            Self::Resync { .. } => "resync",
            Self::Pong { .. } => "pong",
            Self::Error { .. } => "error",
        }
    }

    pub(super) fn written(&self) -> Frame {
        // Texts, numbers and lists of them can always be written into memory.
        Frame { kind: self.kind(), text: serde_json::to_string(self).unwrap_or_default() }
    }
}

pub(super) fn notification(entry: &InboxEntry) -> Frame {
    Say::Notification { notification: EntryView::from(entry) }.written()
}

pub(super) fn printed(ids: &[NotificationId]) -> Vec<String> {
    ids.iter().map(NotificationId::to_string).collect()
}

pub(super) fn read_ack(ids: Option<&[NotificationId]>, at: Timestamp) -> Frame {
    Say::ReadAck { ids: ids.map(printed), all: ids.is_none(), read_at: at.to_string() }.written()
}

/// What a program says.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Said {
    Subscribe(Vec<Box<str>>),
    Ack(Vec<NotificationId>),
    Read(Vec<NotificationId>),
    ReadAll,
    Ping,
}

/// What is wrong with what it said.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Wrong {
    pub(super) code: &'static str,
    pub(super) detail: String,
}

#[derive(Deserialize)]
struct Head<'a> {
    #[serde(rename = "type", borrow)]
    kind: std::borrow::Cow<'a, str>,
    #[serde(default)]
    id: Option<String>,
    #[serde(default)]
    ids: Vec<String>,
    #[serde(default)]
    all: bool,
    #[serde(default)]
    users: Vec<Box<str>>,
}

pub(super) fn read(text: &str) -> Result<Said, Wrong> {
    let head: Head<'_> = serde_json::from_str(text).map_err(|_| Wrong {
        code: "bad_frame",
        detail: "a frame is a JSON object with a `type`, and `id`, `ids`, `all` or `users`".to_owned(),
    })?;
    match &*head.kind {
        "ping" => Ok(Said::Ping),
        "subscribe" if head.users.len() <= IDS_MAX => Ok(Said::Subscribe(head.users)),
        "ack" => head.ids().map(Said::Ack),
        "notification:read" if head.all => Ok(Said::ReadAll),
        "notification:read" => head.ids().map(Said::Read),
        "subscribe" => Err(too_many()),
        other => {
            let shown: String = other.chars().take(40).collect();
            let detail = format!("`{shown}` is no type of frame: say subscribe, ack, notification:read or ping");
            Err(Wrong { code: "unknown_type", detail })
        }
    }
}

fn too_many() -> Wrong {
    Wrong { code: "too_many", detail: format!("one frame names at most {IDS_MAX}") }
}

impl Head<'_> {
    fn ids(self) -> Result<Vec<NotificationId>, Wrong> {
        if self.ids.len() > IDS_MAX {
            return Err(too_many());
        }
        let ids: Option<Vec<_>> = self.ids.into_iter().chain(self.id).map(|id| id.parse().ok()).collect();
        let unknown =
            || Wrong { code: "bad_id", detail: "say the ids of notifications, `ntf_…`, in `ids`".to_owned() };
        ids.filter(|ids| !ids.is_empty()).ok_or_else(unknown)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{Position, Priority, ShardId};

    #[test]
    fn frames_are_read_and_what_is_wrong_with_them_is_said() {
        let id = NotificationId(Position::new(ShardId { generation: 0, lane: Priority::Low, partition: 1 }, 7));
        assert_eq!(read(r#"{"type":"ping","extra":1}"#), Ok(Said::Ping));
        assert_eq!(read(&format!(r#"{{"type":"ack","ids":["{id}"]}}"#)), Ok(Said::Ack(vec![id])));
        assert_eq!(read(&format!(r#"{{"type":"notification:read","id":"{id}"}}"#)), Ok(Said::Read(vec![id])));
        assert_eq!(read(r#"{"type":"notification:read","all":true}"#), Ok(Said::ReadAll));
        assert_eq!(read(r#"{"type":"subscribe","users":["bob"]}"#), Ok(Said::Subscribe(vec!["bob".into()])));
        let check = |text: &str, code: &str| assert_eq!(read(text).expect_err(text).code, code, "{text}");
        check("", "bad_frame");
        check("[]", "bad_frame");
        check("{\"type\":7}", "bad_frame");
        check(r#"{"type":"shout"}"#, "unknown_type");
        check(r#"{"type":"ack"}"#, "bad_id");
        check(r#"{"type":"ack","ids":["x"]}"#, "bad_id");
        let many = serde_json::json!({"type": "subscribe", "users": vec!["u"; IDS_MAX + 1]}).to_string();
        check(&many, "too_many");
    }
}
