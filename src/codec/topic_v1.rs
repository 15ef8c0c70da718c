//! Version 1 of topics, their messages and their groups, frozen: never edit a field here, make a `topic_v2.rs`. Names and numbers are the
//! rows' keys.

use bincode::{Decode, Encode};

use crate::domain::{self, MessageId, Timestamp};

#[derive(Encode, Decode)]
pub(super) struct Topic {
    incarnation: u64,
    created_at: u64,
    retention_seconds: u64,
    messages_max: u64,
    kafka: bool,
    tail_block: u64,
    first: u64,
}

impl From<&domain::Topic> for Topic {
    fn from(topic: &domain::Topic) -> Self {
        Self {
            incarnation: topic.incarnation,
            created_at: topic.created_at.millis(),
            retention_seconds: topic.retention_seconds,
            messages_max: topic.messages_max,
            kafka: topic.kafka,
            tail_block: topic.tail_block,
            first: topic.first,
        }
    }
}

impl Topic {
    pub(super) fn into_domain(self) -> domain::Topic {
        domain::Topic {
            incarnation: self.incarnation,
            created_at: Timestamp(self.created_at),
            retention_seconds: self.retention_seconds,
            messages_max: self.messages_max,
            kafka: self.kafka,
            tail_block: self.tail_block,
            first: self.first,
        }
    }
}

#[derive(Encode)]
pub(super) struct MessageOut<'a> {
    id: [u8; 16],
    published_at: u64,
    retry: Option<u64>,
    key: Option<&'a str>,
    data: &'a str,
    attributes: &'a [(Box<str>, Box<str>)],
}

#[derive(Decode)]
pub(super) struct Message {
    id: [u8; 16],
    published_at: u64,
    retry: Option<u64>,
    key: Option<Box<str>>,
    data: Box<str>,
    attributes: Vec<(Box<str>, Box<str>)>,
}

impl<'a> From<&'a domain::TopicMessage> for MessageOut<'a> {
    fn from(message: &'a domain::TopicMessage) -> Self {
        Self {
            id: message.id.0.to_be_bytes(),
            published_at: message.published_at.millis(),
            retry: message.retry,
            key: message.key.as_deref(),
            data: &message.data,
            attributes: &message.attributes,
        }
    }
}

impl Message {
    pub(super) fn into_domain(self) -> domain::TopicMessage {
        domain::TopicMessage {
            id: MessageId(u128::from_be_bytes(self.id)),
            published_at: Timestamp(self.published_at),
            retry: self.retry,
            key: self.key,
            data: self.data,
            attributes: self.attributes,
        }
    }
}

#[derive(Encode)]
pub(super) struct GroupOut<'a> {
    created_at: u64,
    next: u64,
    pending: &'a [(u64, u32)],
}

#[derive(Decode)]
pub(super) struct Group {
    created_at: u64,
    next: u64,
    pending: Vec<(u64, u32)>,
}

impl<'a> From<&'a domain::TopicGroup> for GroupOut<'a> {
    fn from(group: &'a domain::TopicGroup) -> Self {
        Self { created_at: group.created_at.millis(), next: group.next, pending: &group.pending }
    }
}

impl Group {
    pub(super) fn into_domain(self) -> domain::TopicGroup {
        domain::TopicGroup { created_at: Timestamp(self.created_at), next: self.next, pending: self.pending }
    }
}
