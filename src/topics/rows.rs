//! Where rows of topics are: parts and names.
//!
//! The row of a topic is in the part of its home and not of its tenant, so that whoever takes a home over finds its topics in one walk;
//! a tenant's are a range of each home's.

use bytes::Bytes;

use super::ask::TopicName;
use crate::codec::{decode_topic_message, encode_topic};
use crate::domain::{MessageId, Topic, TopicMessage};
use crate::homes::home_of;
use crate::store::{KeyedKind, KeyedPart, KeyedRow, KeyedRows, StoreError};

/// Messages of one part: its rows say it, never changed.
pub(super) const BLOCK: u64 = 1024;

/// The row, among those of the groups, of how far the topic stands outside; no group can have its name.
pub(super) const COPIED: &[u8] = b"\0outside";

/// The home of a topic.
pub fn home_of_topic(name: &TopicName) -> u16 {
    home_of(&topic_row(name))
}

/// Where the topics of a home are.
pub(super) fn topics_part(home: u16) -> KeyedPart {
    KeyedPart::of(KeyedKind::Topics, &[b"home", &home.to_be_bytes()])
}

/// Where it is noted which topics of a home were deleted, until their rows are removed.
pub(super) fn gone_part(home: u16) -> KeyedPart {
    KeyedPart::of(KeyedKind::Topics, &[b"gone", &home.to_be_bytes()])
}

/// What the rows of a tenant's topics begin with.
pub(super) fn tenant_prefix(tenant: &str) -> Vec<u8> {
    let mut name = Vec::with_capacity(2 + tenant.len() + 100);
    name.extend_from_slice(&u16::try_from(tenant.len()).unwrap_or(u16::MAX).to_be_bytes());
    name.extend_from_slice(tenant.as_bytes());
    name
}

/// The name of the row of a topic.
pub(super) fn topic_row(name: &TopicName) -> Vec<u8> {
    let mut row = tenant_prefix(&name.tenant);
    row.extend_from_slice(name.name.as_bytes());
    row
}

/// The topic whose row has the name.
pub(super) fn read_topic_row(row: &[u8]) -> Option<TopicName> {
    let (length, rest) = row.split_first_chunk::<2>()?;
    let (tenant, name) = rest.split_at_checked(usize::from(u16::from_be_bytes(*length)))?;
    Some(TopicName::new(std::str::from_utf8(tenant).ok()?, std::str::from_utf8(name).ok()?))
}

/// Where the rows of one topic are.
#[derive(Debug, Clone)]
pub(super) struct Place {
    name: TopicName,
    incarnation: u64,
}

impl Place {
    pub(super) fn new(name: &TopicName, incarnation: u64) -> Self {
        Self { name: name.clone(), incarnation }
    }

    fn part(&self, kind: KeyedKind, more: &[u8]) -> KeyedPart {
        let words = [self.name.tenant.as_bytes(), self.name.name.as_bytes(), &self.incarnation.to_be_bytes(), more];
        KeyedPart::of(kind, &words)
    }

    /// The messages of one block.
    pub(super) fn block(&self, block: u64) -> KeyedPart {
        self.part(KeyedKind::TopicMessages, &block.to_be_bytes())
    }

    /// The messages that come later, in the order of their times.
    pub(super) fn delayed(&self) -> KeyedPart {
        self.part(KeyedKind::TopicDelayed, &[])
    }

    pub(super) fn groups(&self) -> KeyedPart {
        self.part(KeyedKind::TopicGroups, &[])
    }

    /// The note that the topic was deleted, and from where on it has left messages.
    pub(super) fn gone(&self, home: u16, topic: &Topic) -> KeyedRow {
        let mut name = topic_row(&self.name);
        name.extend_from_slice(&self.incarnation.to_be_bytes());
        KeyedRow { part: gone_part(home), name: name.into(), body: Some(encode_topic(topic).into()) }
    }

    /// The row of a message with a number.
    pub(super) fn message(&self, number: u64, body: Option<Bytes>) -> KeyedRow {
        KeyedRow { part: self.block(number / BLOCK), name: Box::new(number.to_be_bytes()), body }
    }

    /// The row of a message that comes later.
    pub(super) fn later(&self, id: MessageId, body: Option<Bytes>) -> KeyedRow {
        KeyedRow { part: self.delayed(), name: Box::new(id.0.to_be_bytes()), body }
    }

    /// Where it stands how far the topic is outside.
    pub(super) fn copied_name(&self) -> (KeyedPart, Box<[u8]>) {
        (self.groups(), COPIED.into())
    }

    pub(super) fn copied(&self, body: Bytes) -> KeyedRow {
        KeyedRow { part: self.groups(), name: COPIED.into(), body: Some(body) }
    }

    /// Messages from a number on, as far as they are in its block; fewer than asked for: there are no more.
    pub(super) async fn read_from(
        &self,
        store: &dyn KeyedRows,
        from: u64,
        max: usize,
    ) -> Result<Vec<(u64, TopicMessage)>, StoreError> {
        let block = from / BLOCK;
        let after = from.checked_sub(1).filter(|after| after / BLOCK == block).map(u64::to_be_bytes);
        let after = after.as_ref().map(<[u8; 8]>::as_slice);
        let rows = store.keyed_between(&self.block(block), after, None, max).await?;
        let read = rows.into_iter().filter_map(|(name, body)| {
            let number = read_number(&name)?;
            Some(decode_topic_message(&body).map(|message| (number, message)).map_err(StoreError::from))
        });
        read.collect()
    }

    pub(super) fn group(&self, name: &str, body: Option<Bytes>) -> KeyedRow {
        KeyedRow { part: self.groups(), name: name.as_bytes().into(), body }
    }
}

/// The number in the name of a message's row.
pub(super) fn read_number(name: &[u8]) -> Option<u64> {
    name.try_into().ok().map(u64::from_be_bytes)
}

/// The id in the name of the row of a message that comes later.
pub(super) fn read_id(name: &[u8]) -> Option<MessageId> {
    name.try_into().ok().map(|bytes| MessageId(u128::from_be_bytes(bytes)))
}
