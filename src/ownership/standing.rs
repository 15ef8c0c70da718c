//! Whether this node may plan and send at all: until when its leases certainly hold.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::sync::Notify;

use crate::clock::{Clock, Moment};
use crate::domain::ShardId;

/// The end of this node's leases, all of which are extended by one beat. Read before every send, without a lock.
#[derive(Debug)]
pub struct Standing {
    /// In microseconds of the monotonic clock; `u64::MAX`: for ever.
    until: AtomicU64,
    extended: Notify,
    /// Shards whose leases another node took, until they are this node's again. Written by the leases' keeper, before the others
    /// are extended: whoever waits for that must not go on with one of these.
    lost: ArcSwap<BTreeSet<ShardId>>,
}

impl Standing {
    /// Of a node that shares its shards with nobody.
    pub fn for_ever() -> Self {
        Self::until(u64::MAX)
    }

    /// Of a node that has not been heard of yet.
    pub fn none() -> Self {
        Self::until(0)
    }

    fn until(micros: u64) -> Self {
        Self { until: AtomicU64::new(micros), extended: Notify::new(), lost: ArcSwap::default() }
    }

    /// Another node has the shard.
    pub fn lose(&self, shard: ShardId) {
        self.lost.rcu(|lost| {
            let mut lost = BTreeSet::clone(lost);
            lost.insert(shard);
            lost
        });
    }

    /// The shard is this node's again.
    pub fn regain(&self, shard: ShardId) {
        if self.is_lost(shard) {
            self.lost.rcu(|lost| {
                let mut lost = BTreeSet::clone(lost);
                lost.remove(&shard);
                lost
            });
        }
    }

    pub fn is_lost(&self, shard: ShardId) -> bool {
        self.lost.load().contains(&shard)
    }

    /// Whether the lease of a shard that was taken over holds for as long as `room` from now on.
    pub fn holds_for(&self, shard: ShardId, clock: &dyn Clock, room: Duration) -> bool {
        self.holds(clock, room) && !self.is_lost(shard)
    }

    pub fn extend(&self, until: Moment) {
        self.until.fetch_max(micros(until), Ordering::AcqRel);
        self.extended.notify_waiters();
    }

    /// Whether the leases hold for as long as `room` from now on.
    pub fn holds(&self, clock: &dyn Clock, room: Duration) -> bool {
        let until = self.until.load(Ordering::Acquire);
        until == u64::MAX || micros(clock.moment() + room) < until
    }

    /// Waits until the leases hold for as long as `room`.
    pub async fn until_holds(&self, clock: &dyn Clock, room: Duration) {
        loop {
            let mut extended = std::pin::pin!(self.extended.notified());
            extended.as_mut().enable();
            if self.holds(clock, room) {
                return;
            }
            extended.await;
        }
    }
}

fn micros(moment: Moment) -> u64 {
    u64::try_from(moment.0.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;
    use crate::clock::ManualClock;
    use crate::domain::Timestamp;

    const ROOM: Duration = Duration::from_secs(15);

    #[test]
    fn leases_hold_while_there_is_room_left_and_until_they_are_extended_nobody_passes() {
        let clock = ManualClock::starting_at(Timestamp(0));
        let standing = Standing::none();
        let mut waiting = Box::pin(standing.until_holds(&*clock, ROOM));
        assert!((&mut waiting).now_or_never().is_none());
        standing.extend(clock.moment() + Duration::from_secs(20));
        assert!((&mut waiting).now_or_never().is_some());
        clock.advance(Duration::from_secs(6));
        assert!(!standing.holds(&*clock, ROOM));
        assert!(standing.holds(&*clock, Duration::from_secs(10)));
        standing.extend(Moment::default());
        assert!(standing.holds(&*clock, Duration::from_secs(10)), "nothing takes a lease back");
    }

    #[test]
    fn a_node_that_shares_with_nobody_always_may() {
        let clock = ManualClock::starting_at(Timestamp(0));
        clock.advance(Duration::from_secs(1 << 40));
        assert!(Standing::for_ever().holds(&*clock, ROOM));
    }
}
