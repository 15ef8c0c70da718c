//! A word to another node, over a channel of Redis. What this process listens for itself never leaves it.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt;

use super::link::Link;
use super::metrics::Operation;
use crate::coordination::Subscription;
use crate::coordination::memory::Channels;

/// How long after a lost connection the next one is tried.
const RETRY: Duration = Duration::from_millis(500);

/// The longest that subscribing may take.
const SUBSCRIBE_WAIT_MAX: Duration = Duration::from_secs(2);

#[derive(Default)]
pub(super) struct Fan {
    channels: Channels,
    /// The nodes that this process listens for, each with a task that does.
    own: Mutex<HashSet<Box<str>>>,
}

impl Fan {
    pub(super) async fn publish(&self, link: &Link, node: &str, message: Bytes) -> bool {
        if self.own().contains(node) {
            return self.channels.publish(node, &message);
        }
        let mut command = redis::cmd("PUBLISH");
        command.arg(channel(link, node)).arg(&*message);
        let ask = |mut connection| async move { command.query_async::<u64>(&mut connection).await };
        link.ask(Operation::Publish, ask).await.is_ok_and(|listeners| listeners > 0)
    }

    /// Subscribed when this returns, unless Redis is lost: then the subscription begins with [`Heard::Missed`] later.
    ///
    /// [`Heard::Missed`]: crate::coordination::Heard::Missed
    pub(super) async fn subscribe(self: &Arc<Self>, link: &Arc<Link>, node: &str) -> Subscription {
        let subscription = self.channels.subscribe(node);
        if self.own().insert(node.into()) {
            let pubsub = open(link, node).await;
            tokio::spawn(listen(Arc::downgrade(self), Arc::downgrade(link), node.into(), pubsub));
        }
        subscription
    }

    fn own(&self) -> std::sync::MutexGuard<'_, HashSet<Box<str>>> {
        self.own.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether someone heard it; if nobody listens any more the node is given up.
    fn told(&self, node: &str, tell: impl FnOnce(&Channels) -> bool) -> bool {
        let mut own = self.own();
        let heard = tell(&self.channels);
        if !heard {
            own.remove(node);
        }
        heard
    }
}

fn channel(link: &Link, node: &str) -> String {
    link.key("node", node)
}

/// A connection of its own that hears what is published to the node.
async fn open(link: &Link, node: &str) -> Option<redis::aio::PubSub> {
    if link.is_lost() {
        return None;
    }
    let opening = async {
        let mut pubsub = link.client.get_async_pubsub().await?;
        pubsub.subscribe(channel(link, node)).await?;
        Ok::<_, redis::RedisError>(pubsub)
    };
    let opened = tokio::time::timeout(SUBSCRIBE_WAIT_MAX, opening).await;
    let pubsub = opened.ok().and_then(Result::ok);
    if pubsub.is_none() {
        link.count_failure(Operation::Subscribe);
    }
    pubsub
}

/// Hands on what is heard, and comes back when the connection breaks; ends with the last listener or the backend.
async fn listen(
    fan: std::sync::Weak<Fan>,
    link: std::sync::Weak<Link>,
    node: Box<str>,
    mut pubsub: Option<redis::aio::PubSub>,
) {
    loop {
        if let Some(open) = pubsub.take() {
            let mut messages = open.into_on_message();
            while let Some(message) = messages.next().await {
                let Some(fan) = fan.upgrade() else { return };
                let message = Bytes::copy_from_slice(message.get_payload_bytes());
                if !fan.told(&node, |channels| channels.publish(&node, &message)) {
                    return;
                }
            }
        }
        let Some(held) = link.upgrade() else { return };
        pubsub = open(&held, &node).await;
        if pubsub.is_none() {
            let wait = held.clock.sleep(RETRY);
            drop(held);
            wait.await;
        } else {
            let Some(fan) = fan.upgrade() else { return };
            if !fan.told(&node, |channels| channels.missed(&node)) {
                return;
            }
        }
    }
}
