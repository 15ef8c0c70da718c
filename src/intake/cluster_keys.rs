//! Retry keys among the API processes of a cluster.
//!
//! Where processes share the log, the one that accepts a record is seldom the one that plans it. What one of them is appending,
//! the others learn from coordination: the process claims the key, under another name than planning does, until its row is in the
//! store. From then on the store says whose the key is, and nobody needs to remember it. A key goes this way:
//!
//! 1. it is claimed in coordination; whoever does not get it waits, for a limited time;
//! 2. the store is asked: a row that another process wrote was written before that one let go of the claim;
//! 3. the record is appended, its row is written, the claim is let go.
//!
//! While the store does not answer, requests are accepted all the same: planning decides between two records of one key, so
//! only one of them is sent. This process then remembers the key, and keeps its claim so that no other process answers a retry
//! with another id before the claim ends by itself.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::runtime::Handle;

use super::AcceptedKeys;
use super::metrics::UNCHECKED_KEYS;
use super::patience::Patience;
use crate::clock::SharedClock;
use crate::coordination::{SharedCoordination, Wanted};
use crate::domain::{ClaimKey, Position, Priority, ShardId};
use crate::store::{ClaimRow, SharedStore};
use crate::telemetry::Counter;

/// The pause before a key that another process holds is asked for again: about as long as an append takes.
const LOOK_INTERVAL: Duration = Duration::from_millis(25);
const LOOK_INTERVAL_MAX: Duration = Duration::from_millis(200);

/// Keys whose rows could not be written yet, about 100 bytes each. Above it the oldest are forgotten.
const LATE_MAX: usize = 100_000;

/// Late rows that are written along with those of one request.
const LATE_AT_ONCE: usize = 256;

/// How long a key stays taken whose process died: so long it is answered "come again" elsewhere, while a campaign that goes on at
/// another node waits. Much more than an append takes; where one takes longer, planning decides between two records of one key.
pub(super) const APPEND_HOLD: Duration = Duration::from_secs(15);

/// Tells the keys of the door from those of planning, which claims the plain ones.
const DOOR: u128 = 0x646f_6f72_5f6b_6579_646f_6f72_5f6b_6579;

/// No log has this generation of topics here: it marks owners that are processes and not records.
const PROCESS_GENERATION: u8 = 254;

/// The retry keys that this process shares with the others.
pub struct ClusterKeys {
    coordination: SharedCoordination,
    store: SharedStore,
    clock: SharedClock,
    /// How long a retry key holds, from when its request was accepted.
    window: Duration,
    /// This process, as an owner of claims.
    owner: Position,
    patience: Patience,
    /// Written and read by calls that hold keys: the rows that the store does not have yet, the oldest first.
    late: Mutex<VecDeque<ClaimRow>>,
    unchecked: Counter,
}

impl ClusterKeys {
    /// `window`: how long a retry key holds. `process`: a number that no other process has.
    pub fn new(
        coordination: SharedCoordination,
        store: SharedStore,
        clock: SharedClock,
        window: Duration,
        process: u64,
    ) -> Arc<Self> {
        let shard =
            ShardId { generation: PROCESS_GENERATION, lane: Priority::Critical, partition: (process >> 48) as u16 };
        let patience = Patience::new(clock.clone(), "retry keys are taken without the store, and planning decides");
        Arc::new(Self {
            coordination,
            store,
            clock,
            window,
            owner: Position::new(shard, process & ((1 << 48) - 1)),
            patience,
            late: Mutex::default(),
            unchecked: UNCHECKED_KEYS.with([]),
        })
    }

    pub(super) fn window(&self) -> Duration {
        self.window
    }

    /// Claims all keys among the processes, waiting for those that have some of them; `None`: they still had after `wait_max`.
    /// Where this process dies, the keys are free again after `held_for`.
    pub(super) async fn reserve(
        self: &Arc<Self>,
        keys: Vec<ClaimKey>,
        wait_max: Duration,
        held_for: Duration,
    ) -> Option<ClusterHold> {
        let wanted: Vec<Wanted> =
            keys.iter().map(|key| Wanted { key: ClaimKey(key.0 ^ DOOR), owner: self.owner }).collect();
        let began = self.clock.moment();
        let mut pause = LOOK_INTERVAL;
        loop {
            // From before they are asked for: who goes away meanwhile lets go of what it gets.
            let mut hold = ClusterHold { keys: self.clone(), held: wanted.clone(), held_for };
            let holders = self.coordination.claim_for(&wanted, held_for).await;
            let is_ours = |(_, holder): &(&Wanted, &Position)| **holder == self.owner;
            hold.held = wanted.iter().zip(&holders).filter(is_ours).map(|(wanted, _)| *wanted).collect();
            if hold.held.len() == wanted.len() {
                return Some(hold);
            }
            // All or none: two calls that wait for each other would both wait in vain.
            hold.release().await;
            if self.clock.moment().since(began) >= wait_max {
                return None;
            }
            self.clock.sleep(pause).await;
            pause = (pause * 2).min(LOOK_INTERVAL_MAX);
        }
    }

    /// What the store has of the keys, in their order; nothing, where it does not answer soon.
    pub(super) async fn look(&self, keys: &[ClaimKey]) -> Vec<Option<ClaimRow>> {
        match self.patience.answer(keys.len(), self.store.claims(keys)).await {
            Some(rows) => rows,
            None => {
                self.unchecked.increment(keys.len() as u64);
                vec![None; keys.len()]
            }
        }
    }

    /// The records of these rows are in the log: writes the rows, so that every process knows them and this one need not. Where
    /// that fails, this process goes on to remember them, and the claims are left to end by themselves.
    pub(super) async fn keep(&self, rows: Vec<ClaimRow>, hold: Option<ClusterHold>, memory: &AcceptedKeys) {
        let late = self.take_late();
        let all: Vec<ClaimRow> = rows.iter().chain(&late).copied().collect();
        if self.patience.answer(all.len(), self.store.hold(&all)).await.is_some() {
            let keys: Vec<ClaimKey> = all.iter().map(|row| row.key).collect();
            memory.planned(&keys);
            self.let_go(late.iter().map(|row| row.key)).await;
            return;
        }
        if let Some(hold) = hold {
            hold.keep().await;
        }
        let dropped = self.put_late(late, rows);
        memory.planned(&dropped);
        self.let_go(dropped.into_iter()).await;
    }

    async fn let_go(&self, keys: impl Iterator<Item = ClaimKey>) {
        let held: Vec<Wanted> = keys.map(|key| Wanted { key: ClaimKey(key.0 ^ DOOR), owner: self.owner }).collect();
        if !held.is_empty() {
            self.coordination.release(&held).await;
        }
    }

    fn take_late(&self) -> Vec<ClaimRow> {
        let mut late = self.late();
        let some = late.len().min(LATE_AT_ONCE);
        late.drain(..some).collect()
    }

    /// Puts rows back, and new ones to them; returns the keys for which there is no room.
    fn put_late(&self, before: Vec<ClaimRow>, new: Vec<ClaimRow>) -> Vec<ClaimKey> {
        let mut late = self.late();
        for row in before.into_iter().rev() {
            late.push_front(row);
        }
        late.extend(new);
        let too_many = late.len().saturating_sub(LATE_MAX);
        late.drain(..too_many).map(|row| row.key).collect()
    }

    fn late(&self) -> MutexGuard<'_, VecDeque<ClaimRow>> {
        self.late.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Keys that this process has among the others, for one call. Dropped, it lets go of them.
pub(super) struct ClusterHold {
    keys: Arc<ClusterKeys>,
    held: Vec<Wanted>,
    held_for: Duration,
}

impl ClusterHold {
    /// From now on they are held for their time again.
    pub(super) async fn renew(&self) {
        self.keys.coordination.claim_for(&self.held, self.held_for).await;
    }

    async fn release(mut self) {
        let held = std::mem::take(&mut self.held);
        if !held.is_empty() {
            self.keys.coordination.release(&held).await;
        }
    }

    /// Keeps the keys for as long as can be: they end by themselves, or with the rows that are written later.
    async fn keep(mut self) {
        self.keys.coordination.claim(&self.held).await;
        self.held.clear();
    }
}

impl Drop for ClusterHold {
    fn drop(&mut self) {
        let held = std::mem::take(&mut self.held);
        // Outside a runtime the process ends, and its claims with their time.
        if let (false, Ok(runtime)) = (held.is_empty(), Handle::try_current()) {
            let coordination = self.keys.coordination.clone();
            runtime.spawn(async move { coordination.release(&held).await });
        }
    }
}

#[cfg(test)]
mod tests;
