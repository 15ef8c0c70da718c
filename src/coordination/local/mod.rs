//! Coordination within one process.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;

use super::memory::{Channels, InFlight, Present, SharedBucket};
use super::{
    Claims, Coordination, Fanout, Lease, Presence, PresentNodes, Rate, Subscription, TokenLeases, UserKey, Wanted,
};
use crate::clock::SharedClock;
use crate::domain::Position;

/// Coordination within one process: all of it in memory. What must survive a crash stands in the store.
pub struct LocalCoordination {
    clock: SharedClock,
    buckets: Mutex<HashMap<Box<str>, SharedBucket>>,
    claims: InFlight,
    present: Present,
    channels: Channels,
}

impl LocalCoordination {
    pub fn new(clock: SharedClock) -> Self {
        Self {
            clock,
            buckets: Mutex::default(),
            claims: InFlight::default(),
            present: Present::default(),
            channels: Channels::default(),
        }
    }

    fn with_bucket<T>(&self, name: &str, rate: Rate, work: impl FnOnce(&mut SharedBucket) -> T) -> T {
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        if !buckets.contains_key(name) {
            buckets.insert(name.into(), SharedBucket::new(rate, self.clock.now()));
        }
        let bucket = buckets.get_mut(name).expect("it was just put there");
        bucket.set_rate(rate);
        work(bucket)
    }
}

#[async_trait]
impl TokenLeases for LocalCoordination {
    async fn lease(&self, name: &str, rate: Rate, wanted: u32, critical: bool) -> Lease {
        let now = self.clock.now();
        self.with_bucket(name, rate, |bucket| bucket.lease(wanted, critical, now))
    }
}

#[async_trait]
impl Claims for LocalCoordination {
    /// What is claimed here ends with the process that claims.
    async fn claim_for(&self, wanted: &[Wanted], _held_for: Duration) -> Vec<Position> {
        self.claims.claim(wanted)
    }

    async fn release(&self, held: &[Wanted]) {
        self.claims.release(held);
    }
}

#[async_trait]
impl Presence for LocalCoordination {
    async fn set_present(&self, node: &str, users: &[(UserKey, u32)]) {
        self.present.set(node, users, self.clock.now());
    }

    async fn present_on(&self, users: &[UserKey]) -> PresentNodes {
        PresentNodes { nodes: self.present.nodes_of(users, self.clock.now()), is_all: true }
    }
}

#[async_trait]
impl Fanout for LocalCoordination {
    async fn publish(&self, node: &str, message: Bytes) -> bool {
        self.channels.publish(node, &message)
    }

    async fn subscribe(&self, node: &str) -> Subscription {
        self.channels.subscribe(node)
    }
}

impl Coordination for LocalCoordination {}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::LocalCoordination;
    use crate::coordination::conformance::coordination_conformance;

    coordination_conformance!(|clock| async { Some(Arc::new(LocalCoordination::new(clock))) });
}
