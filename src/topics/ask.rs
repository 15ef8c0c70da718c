//! What is asked of a topic, and what it answers. All of it goes between nodes, as JSON.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::domain::{MessageId, Timestamp};

/// Which topic: a tenant's, by its name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct TopicName {
    pub tenant: Box<str>,
    /// `[a-z0-9][a-z0-9._-]*`, at most 100 bytes.
    pub name: Box<str>,
}

impl TopicName {
    pub fn new(tenant: &str, name: &str) -> Self {
        Self { tenant: tenant.into(), name: name.into() }
    }
}

/// How a topic is to be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TopicSettings {
    /// Messages older than so many seconds are removed, acknowledged or not: a minute to ten years.
    pub retention_seconds: u64,
    /// Above so many messages the oldest are removed, acknowledged or not: 1 to 100 million.
    pub messages_max: u64,
    /// Where the log is Kafka: each message is also written into the topic `<prefix>.topics.<tenant>.<name>` there.
    pub kafka: bool,
}

impl Default for TopicSettings {
    fn default() -> Self {
        Self { retention_seconds: 7 * 24 * 60 * 60, messages_max: 1_000_000, kafka: false }
    }
}

/// A message to be published.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewMessage {
    /// JSON text, at most [`super::DATA_BYTES_MAX`].
    pub data: String,
    /// What it is about, for those who read it: at most 255 bytes.
    pub key: Option<String>,
    /// At most 16, of at most 255 bytes each.
    #[serde(default)]
    pub attributes: BTreeMap<String, String>,
    /// When it is to come into the topic; `None`, or a time that is over: now.
    #[serde(with = "maybe_millis", default)]
    pub deliver_at: Option<Timestamp>,
    /// The hash of a key under which it is published once: published again under the same one it is the same message.
    #[serde(default)]
    pub retry: Option<u64>,
}

impl NewMessage {
    /// A message of this JSON text, at once.
    pub fn of(data: impl Into<String>) -> Self {
        Self { data: data.into(), ..Self::default() }
    }
}

/// A message that is durable now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Published {
    #[serde(with = "id_text")]
    pub id: MessageId,
    /// Its place in the topic; `None`: it comes later.
    pub number: Option<u64>,
    /// It was published before, under the same retry key.
    pub repeated: bool,
}

/// What became of a message that was to come later.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cancelled {
    /// It never comes.
    Cancelled,
    /// It is in the topic.
    TooLate,
}

/// Where a group that is new begins.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StartAt {
    /// At the oldest message that is there.
    #[default]
    Earliest,
    /// With what is published from now on.
    Latest,
}

/// What a reader of a group asks for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Receive {
    pub group: Box<str>,
    /// At most so many messages: 1 to [`super::RECEIVE_MAX`].
    pub max: usize,
    /// How long to wait while there are none, at most [`super::RECEIVE_WAIT_MAX`].
    pub wait: Duration,
    /// How long they are this reader's: after that the group gets them again, unless they were acknowledged. A second to twelve hours.
    pub visibility: Duration,
    /// Where the group begins if it is new.
    pub from: StartAt,
}

impl Receive {
    /// Up to ten messages that are there, for half a minute, from the oldest one on.
    pub fn of(group: &str) -> Self {
        let (wait, visibility) = (Duration::ZERO, Duration::from_secs(30));
        Self { group: group.into(), max: 10, wait, visibility, from: StartAt::Earliest }
    }
}

/// A message in a reader's hand.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Received {
    #[serde(with = "id_text")]
    pub id: MessageId,
    /// Its place in the topic.
    pub number: u64,
    #[serde(with = "millis")]
    pub published_at: Timestamp,
    pub key: Option<Box<str>>,
    /// JSON text.
    pub data: Box<str>,
    pub attributes: BTreeMap<Box<str>, Box<str>>,
    /// How often the group got it, this time included.
    pub deliveries: u32,
}

/// What to do with messages that were received.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Settle {
    /// They are done: the group never gets them again.
    Ack,
    /// They are not: the group gets them again after this.
    Nack(Duration),
    /// They are still being worked on: this much longer from now.
    Extend(Duration),
}

/// Which message: by its number, or by its id while it is in hand or was published lately.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Which {
    Number(u64),
    Id(#[serde(with = "id_text")] MessageId),
}

/// What became of what was to be settled.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Settled {
    /// For so many it is as asked.
    pub done: usize,
    /// Of these nothing is known, or they are in nobody's hand: the group gets them again, or has acknowledged them.
    pub unknown: Vec<Which>,
}

/// A topic in a list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TopicListed {
    pub name: Box<str>,
    #[serde(with = "millis")]
    pub created_at: Timestamp,
    pub settings: TopicSettings,
}

/// How a topic is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TopicState {
    pub listed: TopicListed,
    /// Messages that are there.
    pub messages: u64,
    #[serde(with = "maybe_millis")]
    pub oldest_published_at: Option<Timestamp>,
    /// Messages that come later.
    pub delayed: u64,
    /// When the first of them comes.
    #[serde(with = "maybe_millis")]
    pub next_due: Option<Timestamp>,
    pub groups: Vec<GroupState>,
    /// Where it is written outside as well.
    #[serde(default)]
    pub copy: Option<CopyState>,
    /// What is wrong, in sentences; nothing: all is well.
    pub troubles: Vec<Box<str>>,
}

/// How far a topic is outside.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CopyState {
    /// Its name there.
    pub topic: Box<str>,
    /// Messages that are not there yet.
    pub behind: u64,
    /// Why nothing is written at the moment.
    pub trouble: Option<Box<str>>,
}

/// How a group is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GroupState {
    pub name: Box<str>,
    #[serde(with = "millis")]
    pub created_at: Timestamp,
    /// Messages that it has not acknowledged.
    pub lag: u64,
    /// Of those, in somebody's hand.
    pub in_hand: usize,
    /// Readers that wait for messages.
    pub waiting: usize,
    /// When the oldest that it has not acknowledged was published.
    #[serde(with = "maybe_millis")]
    pub oldest_unacknowledged: Option<Timestamp>,
}

/// Everything that may be asked of a topic, in one shape, as it goes to the node that has it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ask {
    Create(TopicSettings),
    Delete,
    Show,
    Publish(Vec<NewMessage>),
    Cancel(#[serde(with = "id_text")] MessageId),
    Receive(Receive),
    Settle { group: Box<str>, settle: Settle, which: Vec<Which> },
    DeleteGroup(Box<str>),
}

impl Ask {
    /// How long the answer may be waited for by itself; what is longer than allowed is refused by whoever has the topic.
    pub fn wait(&self) -> Duration {
        match self {
            Ask::Receive(receive) => receive.wait.min(super::RECEIVE_WAIT_MAX),
            _ => Duration::ZERO,
        }
    }
}

/// The answer to an [`Ask`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Told {
    Done,
    Topic(Box<TopicState>),
    Published(Vec<Published>),
    Cancelled(Cancelled),
    Received(Vec<Received>),
    Settled(Settled),
}

mod millis {
    use super::Timestamp;
    use serde::{Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(at: &Timestamp, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_u64(at.millis())
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Timestamp, D::Error> {
        u64::deserialize(from).map(Timestamp)
    }
}

mod maybe_millis {
    use super::Timestamp;
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub(super) fn serialize<S: Serializer>(at: &Option<Timestamp>, to: S) -> Result<S::Ok, S::Error> {
        at.map(Timestamp::millis).serialize(to)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Timestamp>, D::Error> {
        Ok(Option::<u64>::deserialize(from)?.map(Timestamp))
    }
}

mod id_text {
    use super::MessageId;
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub(super) fn serialize<S: Serializer>(id: &MessageId, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(id)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<MessageId, D::Error> {
        let text = String::deserialize(from)?;
        MessageId::parse(&text).ok_or_else(|| D::Error::custom("is no id of a message"))
    }
}
