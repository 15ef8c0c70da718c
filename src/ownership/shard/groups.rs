//! What a shard knows of its open groups.
//!
//! Written by planning, when a batch is durable, and by whoever closes a group. What is not here is looked up in the store, so
//! losing it costs reads and no more.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use rustc_hash::FxHashMap;

use super::Shard;
use crate::domain::{ClaimKey, OpenGroup, ShardId, Timestamp};
use crate::telemetry::{Gauge, GaugeMetric};

/// Worry when it grows without end: each takes some hundred bytes of memory until its window ends.
const GROUPS: GaugeMetric<2> = GaugeMetric::new(
    "fanfare_open_groups",
    "Groups of merged notifications that are known to be open, by priority and partition.",
    ["priority", "partition"],
);

/// Below as many nobody looks for windows that are over.
const LOOK_AT_MIN: usize = 1024;

pub(super) struct Groups {
    known: Mutex<FxHashMap<ClaimKey, OpenGroup>>,
    /// Held by who closes groups or takes somebody out of one.
    changing: tokio::sync::Mutex<()>,
    /// With so many, those that are over are looked for.
    look_at: AtomicUsize,
    count: Gauge,
}

impl std::fmt::Debug for Groups {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Groups").field("known", &self.known().len()).finish_non_exhaustive()
    }
}

impl Groups {
    pub(super) fn of(shard: ShardId) -> Self {
        let count = GROUPS.with([shard.lane.name(), &shard.partition.to_string()]);
        let (known, changing, look_at) = (Mutex::default(), tokio::sync::Mutex::new(()), AtomicUsize::new(LOOK_AT_MIN));
        Self { known, changing, look_at, count }
    }

    fn known(&self) -> MutexGuard<'_, FxHashMap<ClaimKey, OpenGroup>> {
        // Every section leaves the map whole.
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Shard {
    /// `None`: ask the store.
    pub fn group(&self, key: ClaimKey) -> Option<OpenGroup> {
        self.groups.known().get(&key).copied()
    }

    /// Takes over what a batch made of its groups, before the shard counts as planned up to its end. What was closed meanwhile
    /// stays closed, and what ended meanwhile does not come back. Windows that are over and wait for nobody are forgotten: those
    /// whose first was sent by itself, and those that were closed.
    pub fn set_groups(&self, groups: impl Iterator<Item = (ClaimKey, OpenGroup)>, now: Timestamp) {
        let first_of_batch = self.planned();
        // Who closes groups relies on finding them closed until it is done.
        let alone = self.groups.changing.try_lock().ok();
        let mut known = self.groups.known();
        for (key, mut group) in groups {
            let before = known.get(&key).filter(|before| before.leader == group.leader);
            let has_ended = group.is_closed && before.is_none() && group.leader < first_of_batch;
            if has_ended {
                continue;
            }
            group.is_closed |= before.is_some_and(|before| before.is_closed);
            known.insert(key, group);
        }
        if known.len() >= self.groups.look_at.load(Ordering::Relaxed) {
            let is_over = |group: &OpenGroup| group.is_first || (group.is_closed && alone.is_some());
            known.retain(|_, group| group.until > now || !is_over(group));
            self.groups.look_at.store((2 * known.len()).max(LOOK_AT_MIN), Ordering::Relaxed);
        }
        self.groups.count.set(known.len() as f64);
    }

    /// Forgets groups whose rows may say something else by now.
    pub fn forget_groups(&self, keys: impl Iterator<Item = ClaimKey>) {
        let mut known = self.groups.known();
        for key in keys {
            if known.get(&key).is_some_and(|group| !group.is_closed) {
                known.remove(&key);
            }
        }
    }

    /// From the next batch on nobody joins the group. A later one of the same key is left as it is; of an earlier one nobody would
    /// join.
    pub fn close_group(&self, key: ClaimKey, group: OpenGroup) {
        let mut known = self.groups.known();
        let known = known.entry(key).or_insert(group);
        if known.leader < group.leader {
            *known = group;
        }
        if known.leader == group.leader {
            known.is_closed = true;
        }
    }

    /// It is closed durably, or over: what is to be known of it stands in the store.
    pub fn end_group(&self, key: ClaimKey, leader: u64) {
        let mut known = self.groups.known();
        if known.get(&key).is_some_and(|group| group.leader == leader) {
            known.remove(&key);
        }
        self.groups.count.set(known.len() as f64);
    }

    /// Whether a batch was begun that is not planned.
    pub fn owes_batch(&self) -> bool {
        let state = self.state();
        state.begun > state.planned
    }

    /// Waits until the batch that is being planned, if there is one, is planned, or the shard is let go. A batch that is begun
    /// later sees what was closed before.
    pub async fn until_batch_planned(&self) {
        let begun = self.state().begun;
        if let Some(last) = begun.checked_sub(1) {
            self.until_planned(last).await;
        }
    }

    /// Nobody else closes a group of the shard meanwhile, or takes somebody out of one.
    pub async fn changing_groups(&self) -> tokio::sync::MutexGuard<'_, ()> {
        self.groups.changing.lock().await
    }
}
