//! Bare loops: how fast this machine can deliver at all, with nothing between client and provider. An engine is
//! measured against these figures, taken in the same run, because a machine's speed wanders.

mod shape;
mod http;
mod kafka;
mod smtp;

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::Result;

use crate::http_client::Url;
use crate::mock::Kind;
pub(crate) use shape::Shape;

/// What a bare loop sends.
#[derive(Debug, Clone)]
pub(crate) struct BareLoop {
    pub(crate) count: u64,
    /// Connections kept open, each with one delivery under way; over HTTP/2 deliveries under way on one connection.
    pub(crate) connections: usize,
}

impl BareLoop {
    /// POSTs webhooks to `target`; the time from the first to the last answer.
    pub(crate) async fn webhooks(&self, target: &Url) -> Result<Duration> {
        http::run(self, Shape::webhook(&target.authority, &target.path)?).await
    }

    /// Sends messages to the mock at `authority` by the API of a provider.
    pub(crate) async fn messages(&self, kind: Kind, authority: &str) -> Result<Duration> {
        http::run(self, Shape::of(kind, authority)?).await
    }

    /// POSTs what stands in a topic of Kafka to `target`, each record as it is, until `count` were answered. When it began and ended
    /// is known at the target: a consumer is seconds old before its first record comes.
    pub(crate) async fn relay(&self, brokers: &str, topic: &str, target: &Url) -> Result<()> {
        kafka::run(self, brokers, topic, target).await
    }

    /// Sends mails to the server at `address`; the time from the first to the last answer.
    pub(crate) async fn mails(&self, address: &str) -> Result<Duration> {
        smtp::run(self, address).await
    }
}

/// Hands out the deliveries to whoever is free.
struct Tickets {
    next: AtomicU64,
    count: u64,
}

impl Tickets {
    fn new(count: u64) -> Self {
        Self { next: AtomicU64::new(0), count }
    }

    fn take(&self) -> Option<u64> {
        let ticket = self.next.fetch_add(1, Ordering::Relaxed);
        (ticket < self.count).then_some(ticket)
    }
}

/// As long as a task's id.
const ID_BYTES: usize = 24;

/// An id that no other delivery has, as long as the engine's.
fn id(number: u64) -> [u8; ID_BYTES] {
    let mut id = *b"tsk_bare0000000000000000";
    let mut rest = number;
    for digit in id[8..].iter_mut().rev() {
        *digit = b"0123456789abcdef"[(rest & 15) as usize];
        rest >>= 4;
    }
    id
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_ticket_is_given_out_once() {
        let tickets = Tickets::new(3);
        let taken: Vec<u64> = std::iter::from_fn(|| tickets.take()).collect();
        assert_eq!(taken, [0, 1, 2]);
        assert_eq!(tickets.take(), None);
    }

    #[test]
    fn numbers_have_ids_of_their_own() {
        assert_eq!(&id(0x2f), b"tsk_bare000000000000002f");
        assert_eq!(&id(u64::MAX), b"tsk_bareffffffffffffffff");
    }
}
