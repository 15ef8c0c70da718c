//! The newest messages of a topic as memory has them: their numbers by their ids, and the retry keys they were published under.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use xxhash_rust::xxh3::Xxh3Default;

use crate::domain::{MessageId, TopicMessage};
use crate::topics::ask::Published;

/// Messages that are remembered.
pub(super) const WINDOW: usize = 2048;

#[derive(Debug, Default)]
pub(super) struct Window {
    numbers: BTreeMap<MessageId, u64>,
    order: VecDeque<MessageId>,
    keys: BTreeMap<u64, Known>,
    key_order: VecDeque<u64>,
    /// Messages that were taken back.
    cancelled: BTreeSet<MessageId>,
    cancelled_order: VecDeque<MessageId>,
}

#[derive(Debug, Clone, Copy)]
struct Known {
    id: MessageId,
    number: Option<u64>,
    body: u64,
}

impl Window {
    /// It is in the topic (`number`), or comes later.
    pub(super) fn note(&mut self, message: &TopicMessage, number: Option<u64>) {
        if let Some(number) = number
            && self.numbers.insert(message.id, number).is_none()
        {
            self.order.push_back(message.id);
            if self.order.len() > WINDOW
                && let Some(oldest) = self.order.pop_front()
            {
                self.numbers.remove(&oldest);
            }
        }
        let Some(retry) = message.retry else { return };
        if self.keys.insert(retry, Known { id: message.id, number, body: body_hash(message) }).is_none() {
            self.key_order.push_back(retry);
            if self.key_order.len() > WINDOW
                && let Some(oldest) = self.key_order.pop_front()
            {
                self.keys.remove(&oldest);
            }
        }
    }

    pub(super) fn number(&self, id: MessageId) -> Option<u64> {
        self.numbers.get(&id).copied()
    }

    /// What was published under the key of a message, and whether it was the same message.
    pub(super) fn known(&self, message: &TopicMessage) -> Option<(Published, bool)> {
        let known = self.keys.get(&message.retry?)?;
        let published = Published { id: known.id, number: known.number, repeated: true };
        Some((published, known.body == body_hash(message)))
    }

    /// A message that never comes: its key is free.
    pub(super) fn cancelled(&mut self, message: &TopicMessage) {
        if let Some(retry) = message.retry {
            self.keys.remove(&retry);
            self.key_order.retain(|key| *key != retry);
        }
        if self.cancelled.insert(message.id) {
            self.cancelled_order.push_back(message.id);
            if self.cancelled_order.len() > WINDOW
                && let Some(oldest) = self.cancelled_order.pop_front()
            {
                self.cancelled.remove(&oldest);
            }
        }
    }

    /// Whether it is among the last that were taken back.
    pub(super) fn was_cancelled(&self, id: MessageId) -> bool {
        self.cancelled.contains(&id)
    }
}

/// What a publisher says, without when.
fn body_hash(message: &TopicMessage) -> u64 {
    let mut hash = Xxh3Default::new();
    let mut add = |text: &str| {
        hash.update(&(text.len() as u64).to_be_bytes());
        hash.update(text.as_bytes());
    };
    add(message.key.as_deref().unwrap_or_default());
    add(&message.data);
    for (name, value) in &message.attributes {
        add(name);
        add(value);
    }
    hash.digest()
}
