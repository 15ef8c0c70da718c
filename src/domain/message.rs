//! What rendering makes and a provider takes.

use bytes::Bytes;

use super::{Channel, Platform, Priority, TaskId, Timestamp};

/// Where a message goes. The variant fits the channel: planning saw to that.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Address {
    Email(Box<str>),
    Phone(Box<str>),
    /// A token that came with the request: what runs behind it is not known.
    PushToken(Box<str>),
    /// A device of a user.
    Device(Platform, Box<str>),
    Url(Box<str>),
    /// The user within the product itself (in-app).
    User(Box<str>),
    /// Where the provider's own configuration says (a chat room's robot).
    Provider,
    /// With the chat provider of this name; behind a colon, to whom there: `ops-room`, `company:alice`.
    Chat(Box<str>),
}

impl Address {
    /// The address as text, for the wire only: it is personal data.
    pub fn as_str(&self) -> &str {
        match self {
            Address::Email(text)
            | Address::Phone(text)
            | Address::PushToken(text)
            | Address::Device(_, text)
            | Address::Url(text)
            | Address::User(text)
            | Address::Chat(text) => text,
            Address::Provider => "",
        }
    }

    /// The same way, to nobody: an address without what is personal of it. The id of a user is none of that.
    pub fn blank(&self) -> Self {
        match self {
            Address::Email(_) => Address::Email("".into()),
            Address::Phone(_) => Address::Phone("".into()),
            Address::PushToken(_) => Address::PushToken("".into()),
            Address::Device(platform, _) => Address::Device(*platform, "".into()),
            Address::Url(_) => Address::Url("".into()),
            Address::User(id) => Address::User(id.clone()),
            Address::Provider => Address::Provider,
            Address::Chat(_) => Address::Chat("".into()),
        }
    }

    /// What [`Address::blank`] takes away; `None`: nothing.
    pub fn personal(&self) -> Option<&str> {
        match self {
            Address::User(_) | Address::Provider => None,
            _ => Some(self.as_str()),
        }
    }

    /// A blank address with what was taken away.
    pub fn with_personal(&self, text: Box<str>) -> Self {
        match self {
            Address::Email(_) => Address::Email(text),
            Address::Phone(_) => Address::Phone(text),
            Address::PushToken(_) => Address::PushToken(text),
            Address::Device(platform, _) => Address::Device(*platform, text),
            Address::Url(_) => Address::Url(text),
            Address::Chat(_) => Address::Chat(text),
            Address::User(_) | Address::Provider => self.clone(),
        }
    }

    /// What a push service knows the device by.
    pub fn push_token(&self) -> Option<&str> {
        match self {
            Address::PushToken(token) | Address::Device(_, token) => Some(token),
            _ => None,
        }
    }

    /// The chat provider that it names, and to whom there.
    pub fn chat(&self) -> Option<(&str, Option<&str>)> {
        let Address::Chat(text) = self else { return None };
        Some(text.split_once(':').map_or((&**text, None), |(provider, to)| (provider, Some(to))))
    }
}

/// One rendered message, ready for a provider.
#[derive(Debug, Clone)]
pub struct Message {
    /// Stable over retries: what a provider that can tell repeats apart is given as its key.
    pub task: TaskId,
    /// 1 for the first try.
    pub attempt: u8,
    pub channel: Channel,
    pub priority: Priority,
    pub tenant: Box<str>,
    pub user_id: Option<Box<str>>,
    /// The kind of message it is; `None`: the default one.
    pub category: Option<Box<str>>,
    pub address: Address,
    /// The code of the template that it was made of; `None`: the texts came with the request.
    pub template: Option<Box<str>>,
    pub parts: Parts,
    /// Fetched and within their bounds.
    pub attachments: Vec<Attachment>,
    /// The address that takes its recipient off the list, with one click (RFC 8058); `None`: such messages cannot be switched off.
    pub unsubscribe: Option<Box<str>>,
    /// A later message with the same key takes the place of an earlier one that is still shown or under way.
    pub collapse_key: Option<Box<str>>,
    /// The request's `data` as JSON text; an object.
    pub data: Box<str>,
    /// The request's `metadata` as JSON text; an object.
    pub metadata: Box<str>,
    pub accepted_at: Timestamp,
    /// When it was planned to go out, which no retry changes; `accepted_at` if at once.
    pub due: Timestamp,
    pub expires_at: Option<Timestamp>,
}

/// A file that goes with a mail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attachment {
    /// Without directories and control characters.
    pub name: Box<str>,
    /// A media type as `application/pdf`.
    pub media_type: Box<str>,
    pub content: Bytes,
}

/// The rendered parts. `title` is one line; `body` is plain text.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Parts {
    pub title: String,
    pub body: String,
    pub html: Option<String>,
    pub sms: Option<String>,
    pub push: Option<PushPart>,
    /// What is spoken in a call.
    pub voice: Option<String>,
}

/// What a push message says where it differs from the rest, and what the application is handed with it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PushPart {
    pub title: Option<String>,
    pub body: Option<String>,
    /// By name, in order.
    pub data: Vec<(Box<str>, String)>,
}

impl Parts {
    /// What a text message says: its own part, or else the body.
    pub fn sms_text(&self) -> &str {
        self.sms.as_deref().unwrap_or(&self.body)
    }

    /// What is spoken: its own part, or else what a text message says.
    pub fn voice_text(&self) -> &str {
        self.voice.as_deref().unwrap_or_else(|| self.sms_text())
    }

    /// What a push message is headed with: its own title, or else that of the message.
    pub fn push_title(&self) -> &str {
        self.push.as_ref().and_then(|push| push.title.as_deref()).unwrap_or(&self.title)
    }

    /// What a push message says: its own body, or else that of the message.
    pub fn push_body(&self) -> &str {
        self.push.as_ref().and_then(|push| push.body.as_deref()).unwrap_or(&self.body)
    }
}
