//! Topics of programs: what is published there, and how far those who read it are.

use std::fmt;

use super::Timestamp;

/// Bits of an id below its time.
const HASH_BITS: u32 = 80;
/// How ids begin where people see them.
const PREFIX: &str = "msg_";

/// The id of a message: when it comes into its topic, in milliseconds (48 bits), and a hash. So delayed messages are in the order of
/// their times, and an id says which row is the message's while it waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MessageId(pub u128);

impl MessageId {
    pub fn new(due: Timestamp, hash: u128) -> Self {
        Self(u128::from(due.millis()) << HASH_BITS | (hash & ((1 << HASH_BITS) - 1)))
    }

    /// When it came into its topic, or comes.
    pub fn due(self) -> Timestamp {
        Timestamp((self.0 >> HASH_BITS) as u64)
    }

    /// Reads what `Display` wrote.
    pub fn parse(text: &str) -> Option<Self> {
        let digits = text.strip_prefix(PREFIX).filter(|digits| digits.len() == 32)?;
        let is_ours = digits.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte));
        is_ours.then(|| u128::from_str_radix(digits, 16).ok().map(Self)).flatten()
    }
}

impl fmt::Display for MessageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{PREFIX}{:032x}", self.0)
    }
}

/// A topic as its row has it. Where its messages end is found in their rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Topic {
    /// Another number for each topic of one name: what is left of a deleted one is never read as the new one's.
    pub incarnation: u64,
    pub created_at: Timestamp,
    /// Messages older than this are removed.
    pub retention_seconds: u64,
    /// Above so many the oldest are removed.
    pub messages_max: u64,
    /// Other programs find each message in the topic of Kafka that is called after this one, too.
    pub kafka: bool,
    /// A block that the last message may be in, or a block shortly after it.
    pub tail_block: u64,
    /// All messages below were removed.
    pub first: u64,
}

/// A message of a topic; its number is the row's name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicMessage {
    pub id: MessageId,
    pub published_at: Timestamp,
    /// The hash of the retry key that it was published under.
    pub retry: Option<u64>,
    /// What the publisher calls its subject.
    pub key: Option<Box<str>>,
    /// JSON text.
    pub data: Box<str>,
    /// Names and values.
    pub attributes: Vec<(Box<str>, Box<str>)>,
}

/// How far a group is: every message below `next` is acknowledged, but for those that are pending.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicGroup {
    pub created_at: Timestamp,
    pub next: u64,
    /// Numbers, ascending, and how often each was handed out.
    pub pending: Vec<(u64, u32)>,
}
