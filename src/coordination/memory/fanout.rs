//! Messages from node to node, within this process.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use bytes::Bytes;
use tokio::sync::broadcast;

use crate::coordination::{Heard, Subscription};

/// Messages that a subscriber may be behind. Then it is told that it missed some: it asks the store what there is, which is
/// better than a queue without end.
const BEHIND_MAX: usize = 1024;

/// The channels of the nodes that someone in this process listens for.
#[derive(Debug, Default)]
pub(in crate::coordination) struct Channels {
    by_node: Mutex<HashMap<Box<str>, broadcast::Sender<Heard>>>,
}

impl Channels {
    pub(in crate::coordination) fn subscribe(&self, node: &str) -> Subscription {
        let mut channels = self.by_node.lock().unwrap_or_else(PoisonError::into_inner);
        let sender = channels.entry(node.into()).or_insert_with(|| broadcast::Sender::new(BEHIND_MAX));
        Subscription::new(sender.subscribe())
    }

    /// Hands a message to who listens here; whether someone does.
    pub(in crate::coordination) fn publish(&self, node: &str, message: &Bytes) -> bool {
        self.tell(node, Heard::Message(message.clone()))
    }

    /// Tells who listens here that something may have passed it by; whether someone does.
    pub(in crate::coordination) fn missed(&self, node: &str) -> bool {
        self.tell(node, Heard::Missed)
    }

    fn tell(&self, node: &str, heard: Heard) -> bool {
        let mut channels = self.by_node.lock().unwrap_or_else(PoisonError::into_inner);
        let listened = channels.get(node).is_some_and(|sender| sender.send(heard).is_ok());
        if !listened {
            channels.remove(node);
        }
        listened
    }
}
