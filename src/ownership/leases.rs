//! The leases of this node: takes them, keeps them by its beats, and lets them go.
//!
//! The log's assignment says who reads a partition; a lease says who plans and sends it, and it alone is a fence: a node that
//! was cut off does not know that its partitions are another's. A lease ends by the clock of who holds it before anybody else
//! may take it:
//!
//! - a beat that was acknowledged makes every lease of the node hold for [`LeaseKeeper::length`] from when the beat *began*;
//! - a lease is taken from a node only whose beat was seen unchanged for that long and [`WRITE_WAIT_MAX`] more, by a look that
//!   itself came after that time;
//! - a node whose leases ran out takes each of them anew, by compare-and-set, before it goes on: either it or the one who
//!   takes over wins, never both;
//! - a row that may say that a shard is this node's, and that nobody here wants, is let go with the next beats: while the node
//!   lives nobody else could take it.
//!
//! Only differences of the monotonic clock count, so clocks need not agree.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::{Either, select};
use tokio::sync::Notify;

use super::Standing;
use crate::clock::{Moment, SharedClock};
use crate::domain::ShardId;
use crate::store::{Beat, LeaseRow, LeaseRows, NodeName, StoreError};

/// The longest that a write may be under way and still take effect: what a lease must leave beside a send, and what is waited
/// for beyond the end of somebody else's.
pub const WRITE_WAIT_MAX: Duration = Duration::from_secs(5);

/// How often a lease that another node holds is looked at. A hand-over is felt for this long.
const LOOK_INTERVAL: Duration = Duration::from_millis(100);
/// The same, of a lease that has been waited for for a while.
const LOOK_INTERVAL_MAX: Duration = Duration::from_millis(500);

/// The same of the spill and of homes, which are offered to every node and mostly have an owner.
const SPILL_LOOK_INTERVAL_MAX: Duration = Duration::from_secs(5);

/// Beats in the time of one lease.
const BEATS_PER_LEASE: u32 = 10;

pub struct LeaseKeeper {
    rows: Arc<dyn LeaseRows>,
    clock: SharedClock,
    node: NodeName,
    address: Box<str>,
    length: Duration,
    standing: Arc<Standing>,
    state: Mutex<State>,
    was_lost: Notify,
}

#[derive(Debug, Default)]
struct State {
    count: u64,
    /// When the last beat that was acknowledged began.
    beat_at: Option<Moment>,
    /// How often the leases ran out.
    lapses: u64,
    /// The epochs of the leases that are ours.
    held: BTreeMap<ShardId, u64>,
    lost: BTreeSet<ShardId>,
    /// Shards that somebody waits for.
    wanted: BTreeSet<ShardId>,
    /// Rows by their epoch that may be ours and are to be let go, and since when.
    unwanted: BTreeMap<(ShardId, u64), Moment>,
    heard: HashMap<NodeName, Heard>,
}

/// The last sign of another node.
#[derive(Debug, Clone)]
struct Heard {
    count: u64,
    address: Box<str>,
    /// When it was first seen.
    since: Moment,
    /// When it was last seen to be unchanged: the look began then.
    looked_at: Moment,
}

impl LeaseKeeper {
    /// `length`: how long a lease holds. `address`: where other nodes reach this one.
    pub fn new(
        rows: Arc<dyn LeaseRows>,
        clock: SharedClock,
        node: NodeName,
        address: Box<str>,
        length: Duration,
    ) -> Self {
        let (standing, state) = (Arc::new(Standing::none()), Mutex::default());
        Self { rows, clock, node, address, length, standing, state, was_lost: Notify::new() }
    }

    pub fn standing(&self) -> &Arc<Standing> {
        &self.standing
    }

    pub fn beat_interval(&self) -> Duration {
        self.length / BEATS_PER_LEASE
    }

    /// Gives a sign of life, which extends all leases, and looks for those of the others. Leases that had run out are taken
    /// anew first; those that another node took meanwhile are lost.
    pub async fn beat(&self) -> Result<(), StoreError> {
        let began = self.clock.moment();
        let count = {
            let mut state = self.state();
            state.count += 1;
            state.count
        };
        self.in_time(self.rows.beat(&Beat { node: self.node.clone(), count, address: self.address.clone() })).await?;
        let has_lapsed = {
            let mut state = self.state();
            let has_lapsed = state.beat_at.is_some_and(|at| began.since(at) >= self.length);
            if has_lapsed {
                state.lapses += 1;
            }
            has_lapsed
        };
        if has_lapsed {
            tracing::warn!("this node was not heard of for longer than its leases hold: taking them anew");
            self.retake().await?;
        }
        self.state().beat_at = Some(began);
        self.standing.extend(began + self.length);
        self.let_unwanted_go().await;
        self.listen().await
    }

    /// Takes every lease again that ran out.
    async fn retake(&self) -> Result<(), StoreError> {
        let held: Vec<(ShardId, u64)> = self.state().held.iter().map(|(shard, epoch)| (*shard, *epoch)).collect();
        for (shard, epoch) in held {
            let (seen, next) = (self.row(epoch), self.row(epoch + 1));
            let mut is_ours = self.in_time(self.rows.replace_lease(shard, Some(&seen), &next)).await?;
            if !is_ours {
                // Perhaps an earlier try took effect after all.
                is_ours = self.in_time(self.rows.lease(shard)).await? == Some(next);
            }
            let mut state = self.state();
            if is_ours {
                match state.held.get_mut(&shard) {
                    Some(held) => *held = epoch + 1,
                    // It was let go meanwhile.
                    None => drop(state.unwanted.insert((shard, epoch + 1), self.clock.moment())),
                }
            } else if state.held.remove(&shard).is_some() {
                tracing::warn!(%shard, "another node took the shard over meanwhile");
                self.standing.lose(shard);
                state.lost.insert(shard);
                drop(state);
                self.was_lost.notify_waiters();
            }
        }
        Ok(())
    }

    /// Looks for the signs of the others.
    pub async fn listen(&self) -> Result<(), StoreError> {
        let looked_at = self.clock.moment();
        let beats = self.in_time(self.rows.beats()).await?;
        let mut state = self.state();
        for beat in beats {
            match state.heard.get_mut(&beat.node) {
                // An older one comes up again where the last was not written to all replicas: that is no sign of life.
                Some(heard) if beat.count <= heard.count => heard.looked_at = looked_at,
                _ => {
                    // What was seen only now may have been written long ago; nobody is silent before a second look.
                    let now = self.clock.moment();
                    let heard = Heard { count: beat.count, address: beat.address, since: now, looked_at };
                    state.heard.insert(beat.node, heard);
                }
            }
        }
        let forgotten = self.length + WRITE_WAIT_MAX;
        state.heard.retain(|_, heard| looked_at.since(heard.looked_at) < forgotten);
        Ok(())
    }

    /// Waits until the lease of the shard is ours. Safe to drop and call again.
    pub async fn acquire(&self, shard: ShardId) {
        let mut attempts = Attempts::of(self, shard);
        let mut pause = LOOK_INTERVAL;
        // Of an owner that gives no sign at all, when that was first seen.
        let mut unheard: Option<(NodeName, Moment)> = None;
        let mut is_failing = false;
        loop {
            self.standing.until_holds(&*self.clock, WRITE_WAIT_MAX).await;
            match self.try_acquire(shard, &mut unheard, &mut attempts.epochs).await {
                Ok(true) => return attempts.succeed(),
                Ok(false) => is_failing = false,
                // The first of a row of failures: every shard that is waited for has its own.
                Err(error) if !is_failing => {
                    tracing::warn!(%error, %shard, "cannot take a lease: trying again");
                    is_failing = true;
                }
                Err(_) => {}
            }
            self.clock.sleep(pause).await;
            let pause_max =
                if shard.is_spill() || shard.is_home() { SPILL_LOOK_INTERVAL_MAX } else { LOOK_INTERVAL_MAX };
            pause = (pause + pause / 10).min(pause_max);
        }
    }

    async fn try_acquire(
        &self,
        shard: ShardId,
        unheard: &mut Option<(NodeName, Moment)>,
        attempts: &mut BTreeSet<u64>,
    ) -> Result<bool, StoreError> {
        let lapses = self.state().lapses;
        let seen = self.in_time(self.rows.lease(shard)).await?;
        if let Some(row) = seen.as_ref().filter(|row| !row.released && row.owner != self.node)
            && !self.is_silent(&row.owner, unheard).await?
        {
            return Ok(false);
        }
        // Above every row of ours that is to be let go: what lets that one go must not meet this one.
        let unwanted =
            self.state().unwanted.range((shard, 0)..=(shard, u64::MAX)).next_back().map_or(0, |(row, _)| row.1);
        let next = self.row(seen.as_ref().map_or(0, |row| row.epoch).max(unwanted) + 1);
        attempts.insert(next.epoch);
        if !self.in_time(self.rows.replace_lease(shard, seen.as_ref(), &next)).await? {
            return Ok(false);
        }
        let mut state = self.state();
        // Who was not heard of meanwhile may have lost it again already.
        let is_sure = state.lapses == lapses && self.standing.holds(&*self.clock, Duration::ZERO);
        if is_sure {
            state.held.insert(shard, next.epoch);
            state.lost.remove(&shard);
            self.standing.regain(shard);
            state.unwanted.retain(|(unwanted, _), _| *unwanted != shard);
        }
        Ok(is_sure)
    }

    /// Whether the node has certainly no lease any more.
    async fn is_silent(&self, node: &NodeName, unheard: &mut Option<(NodeName, Moment)>) -> Result<bool, StoreError> {
        let limit = self.length + WRITE_WAIT_MAX;
        let now = self.clock.moment();
        let heard = self.state().heard.get(node).cloned();
        let since = match (&heard, &*unheard) {
            (Some(heard), _) => heard.since,
            (None, Some((who, since))) if who == node => *since,
            (None, _) => {
                *unheard = Some((node.clone(), now));
                return Ok(false);
            }
        };
        if now.since(since) < limit {
            return Ok(false);
        }
        // The last look may be older than it seems: this process may have stood still since.
        self.listen().await?;
        let still = self.state().heard.get(node).cloned();
        Ok(match (heard, still) {
            (Some(heard), Some(still)) => heard.count == still.count,
            (_, None) => true,
            (None, Some(_)) => false,
        })
    }

    /// Lets a lease go, so that the next owner need not wait. What fails here is tried again with the next beats.
    pub async fn release(&self, shard: ShardId) {
        let now = self.clock.moment();
        let epoch = {
            let mut state = self.state();
            let Some(epoch) = state.held.remove(&shard) else { return };
            state.unwanted.insert((shard, epoch), now);
            epoch
        };
        self.let_go(shard, epoch).await;
    }

    async fn let_unwanted_go(&self) {
        let unwanted: Vec<(ShardId, u64)> = self.state().unwanted.keys().copied().collect();
        for (shard, epoch) in unwanted {
            self.let_go(shard, epoch).await;
        }
    }

    async fn let_go(&self, shard: ShardId, epoch: u64) {
        if let Err(error) = self.try_let_go(shard, epoch).await {
            tracing::warn!(%error, %shard, "cannot let a lease go: the next owner waits");
        }
    }

    async fn try_let_go(&self, shard: ShardId, epoch: u64) -> Result<(), StoreError> {
        let (seen, next) = (self.row(epoch), LeaseRow { released: true, ..self.row(epoch) });
        if self.in_time(self.rows.replace_lease(shard, Some(&seen), &next)).await? {
            self.state().unwanted.remove(&(shard, epoch));
            return Ok(());
        }
        let row = self.in_time(self.rows.lease(shard)).await?;
        let now = self.clock.moment();
        let mut state = self.state();
        // It may come to be there as long as the write that put it there may be under way.
        if state.unwanted.get(&(shard, epoch)).is_some_and(|since| now.since(*since) > WRITE_WAIT_MAX * 2) {
            state.unwanted.remove(&(shard, epoch));
        }
        let is_nobodys = !state.held.contains_key(&shard) && !state.wanted.contains(&shard);
        if let Some(row) = row.filter(|row| row.owner == self.node && !row.released && is_nobodys) {
            // A later one of ours, whose taking was not answered.
            state.unwanted.entry((shard, row.epoch)).or_insert(now);
        }
        Ok(())
    }

    /// Waits for a lease that another node took, while this one was not heard of.
    pub async fn next_lost(&self) -> ShardId {
        loop {
            let mut was_lost = std::pin::pin!(self.was_lost.notified());
            was_lost.as_mut().enable();
            if let Some(shard) = self.state().lost.pop_first() {
                return shard;
            }
            was_lost.await;
        }
    }

    /// How many nodes give signs of life, this one among them.
    pub fn live_nodes(&self) -> usize {
        let now = self.clock.moment();
        let state = self.state();
        let is_live = |heard: &&Heard| now.since(heard.since) < self.length;
        let others = state.heard.iter().filter(|(node, _)| **node != self.node);
        1 + others.map(|(_, heard)| heard).filter(is_live).count()
    }

    /// Where the other nodes that give signs of life are reached.
    pub fn peers(&self) -> Vec<Box<str>> {
        let now = self.clock.moment();
        let state = self.state();
        let others = state.heard.iter().filter(|(node, _)| **node != self.node);
        let live = others.filter(|(_, heard)| now.since(heard.since) < self.length);
        live.map(|(_, heard)| heard.address.clone()).filter(|address| !address.is_empty()).collect()
    }

    /// Where the owner of a shard is reached; `None`: nobody has it now, or it is not known where that node is.
    pub async fn address_of(&self, shard: ShardId) -> Result<Option<Box<str>>, StoreError> {
        let Some(row) = self.in_time(self.rows.lease(shard)).await?.filter(|row| !row.released) else {
            return Ok(None);
        };
        let known = |state: MutexGuard<'_, State>| state.heard.get(&row.owner).map(|heard| heard.address.clone());
        let mut address = known(self.state());
        if address.is_none() {
            self.listen().await?;
            address = known(self.state());
        }
        Ok(address.filter(|address| !address.is_empty()))
    }

    fn row(&self, epoch: u64) -> LeaseRow {
        LeaseRow { owner: self.node.clone(), epoch, released: false }
    }

    async fn in_time<T>(&self, call: impl Future<Output = Result<T, StoreError>>) -> Result<T, StoreError> {
        match select(std::pin::pin!(call), self.clock.sleep(WRITE_WAIT_MAX).fuse()).await {
            Either::Left((outcome, _)) => outcome,
            Either::Right(_) => Err(StoreError::Failed(format!("no answer about leases within {WRITE_WAIT_MAX:?}"))),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Every section leaves the state whole, so one that panicked elsewhere does not spoil it.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The epochs under which a lease may have become ours while it was waited for; whoever stops waiting lets them go.
struct Attempts<'a> {
    keeper: &'a LeaseKeeper,
    shard: ShardId,
    epochs: BTreeSet<u64>,
}

impl<'a> Attempts<'a> {
    fn of(keeper: &'a LeaseKeeper, shard: ShardId) -> Self {
        keeper.state().wanted.insert(shard);
        Self { keeper, shard, epochs: BTreeSet::new() }
    }

    fn succeed(mut self) {
        self.epochs.clear();
    }
}

impl Drop for Attempts<'_> {
    fn drop(&mut self) {
        let now = self.keeper.clock.moment();
        let mut state = self.keeper.state();
        state.wanted.remove(&self.shard);
        state.unwanted.extend(self.epochs.iter().map(|epoch| ((self.shard, *epoch), now)));
    }
}

#[cfg(test)]
mod tests;
