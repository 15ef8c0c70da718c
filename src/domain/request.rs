//! What a caller wants, as validated: the API, the log's producers and campaigns all end in this type.

use super::{Aggregate, CampaignId, Channel, Priority, TimeOfDay, Timestamp, UserKey};

/// One accepted request. Its texts were checked (lengths, no control characters where a header may be made of them).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotificationRequest {
    pub tenant: Box<str>,
    pub user_id: Option<Box<str>>,
    pub to: Recipient,
    pub content: Content,
    /// JSON text of an object: what the templates are filled from.
    pub data: Box<str>,
    pub category: Option<Box<str>>,
    /// The language tag of the message; `None`: the user's.
    pub locale: Option<Box<str>>,
    pub priority: Priority,
    /// Empty: the engine chooses.
    pub channels: Vec<Channel>,
    pub routing: Routing,
    /// `delay_seconds` and `deliver_at`, made one; `None`: at once.
    pub deliver_at: Option<Timestamp>,
    /// In the place of `deliver_at`: when the clock of the user next shows this, from the time of acceptance on.
    pub local_time: Option<TimeOfDay>,
    pub expires_at: Option<Timestamp>,
    pub dedup_key: Option<Box<str>>,
    /// `None`: the configured window.
    pub dedup_window_seconds: Option<u32>,
    /// Merged with others of its key; `None`: sent by itself, unless its category says otherwise.
    pub aggregate: Option<Aggregate>,
    /// With mails.
    pub attachments: Vec<AttachmentReference>,
    /// A later message with the same key takes the place of an earlier one that is still shown or under way.
    pub collapse_key: Option<Box<str>>,
    /// From the header `Idempotency-Key`.
    pub idempotency: Option<Idempotency>,
    /// JSON text of an object, handed on untouched.
    pub metadata: Box<str>,
    /// The campaign that it is one message of.
    pub campaign: Option<CampaignId>,
    pub source: Source,
    pub accepted_at: Timestamp,
}

/// What of a request stands in clear where the rest of it is sealed: whose it is, and what must be known of it once the rest cannot be
/// read any more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestHead {
    /// Under whose secret the rest is.
    pub owner: UserKey,
    /// Whether the owner is the user that the request names, and not an address.
    pub is_of_user: bool,
    pub source: Source,
    pub accepted_at: Timestamp,
    pub campaign: Option<CampaignId>,
    pub idempotency: Option<Idempotency>,
}

impl RequestHead {
    /// The request without the rest: nothing of it could be sent.
    pub fn without_rest(self, priority: Priority) -> NotificationRequest {
        let UserKey { tenant, user_id } = self.owner;
        NotificationRequest {
            tenant,
            user_id: self.is_of_user.then_some(user_id),
            to: Recipient::default(),
            content: Content::nothing(),
            data: NO_FIELDS.into(),
            category: None,
            locale: None,
            priority,
            channels: Vec::new(),
            routing: Routing::All,
            deliver_at: None,
            local_time: None,
            expires_at: None,
            dedup_key: None,
            dedup_window_seconds: None,
            aggregate: None,
            attachments: Vec::new(),
            collapse_key: None,
            idempotency: self.idempotency,
            metadata: NO_FIELDS.into(),
            campaign: self.campaign,
            source: self.source,
            accepted_at: self.accepted_at,
        }
    }
}

/// JSON text of an object with nothing in it.
pub const NO_FIELDS: &str = "{}";

/// Addresses given with the request; they override the user's own.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Recipient {
    pub email: Option<Box<str>>,
    pub phone: Option<Box<str>>,
    pub push_token: Option<Box<str>>,
    pub url: Option<Box<str>>,
    /// A chat provider of the configuration, and behind a colon to whom there.
    pub chat: Option<Box<str>>,
}

/// A file that is fetched when the mail it goes with is sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AttachmentReference {
    /// An http or https address.
    pub url: Box<str>,
    /// What the recipient sees; without directories.
    pub name: Box<str>,
    /// A media type; `None`: what the address answers.
    pub media_type: Option<Box<str>>,
}

/// What the message says.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Content {
    /// A template by its code.
    Template { code: Box<str> },
    /// Parts given with the request; they are templates too, over `data`.
    Inline { title: Box<str>, body: Box<str>, html: Option<Box<str>>, sms: Option<Box<str>> },
}

impl Content {
    /// What is left of a message that cannot be read any more.
    pub fn nothing() -> Self {
        Self::Inline { title: "".into(), body: "".into(), html: None, sms: None }
    }
}

/// How several channels are used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Routing {
    /// One message on every channel.
    #[default]
    All,
    /// In the order given, until one is delivered.
    Fallback,
}

impl Routing {
    pub fn name(self) -> &'static str {
        match self {
            Routing::All => "all",
            Routing::Fallback => "fallback",
        }
    }
}

/// A retry key with the body it was first used with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Idempotency {
    /// Over tenant, key and index within the batch.
    pub key: ClaimKey,
    /// Over the body: another body under the same key is a conflict.
    pub body_hash: u64,
    /// The key of the batch as a whole, which one of its items carries: so the header cannot be used again for a batch whose
    /// valid items stand elsewhere.
    pub batch: Option<ClaimKey>,
}

impl Idempotency {
    /// All keys that a request with this one holds, under one body.
    pub fn keys(&self) -> impl Iterator<Item = ClaimKey> + use<> {
        [Some(self.key), self.batch].into_iter().flatten()
    }
}

/// Names a thing that only one notification may do: 128 bits of a hash, so that no personal datum is in a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClaimKey(pub u128);

/// Which door a request came through.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Source {
    Http = 0,
    Kafka = 1,
    Campaign = 2,
    Schedule = 3,
}

impl Source {
    pub const ALL: [Source; 4] = [Source::Http, Source::Kafka, Source::Campaign, Source::Schedule];

    pub fn index(self) -> usize {
        self as usize
    }

    pub fn from_index(index: usize) -> Option<Self> {
        Self::ALL.get(index).copied()
    }

    pub fn name(self) -> &'static str {
        ["http", "kafka", "campaign", "schedule"][self.index()]
    }
}
