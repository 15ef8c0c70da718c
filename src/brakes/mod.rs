//! Brakes: what somebody stopped by hand, as this node knows it.
//!
//! In: brakes put on and taken off, by the API of any node. Out: a [`BrakeSet`] that costs its readers nothing, and word of each
//! change to whoever holds tasks because of it. Promise: a brake is durable before it is answered; every node goes by it within
//! [`INTERVAL`] and the time of one read; what cannot be read leaves what was known in force.

mod follow;

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;
use tokio::sync::watch;

pub use follow::{FollowActor, FollowArguments, FollowMessage, INTERVAL};

use crate::domain::{Brake, BrakeEffect, BrakeNames, BrakeScope, BrakeSet, ShardId, Timestamp};
use crate::store::{SharedStore, StoreError};

/// What a change came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BrakeChange {
    Made,
    /// It was so already, and nothing was written.
    AsBefore,
}

/// The brakes of all tenants.
pub struct Brakes {
    store: SharedStore,
    names: Arc<BrakeNames>,
    set: ArcSwap<BrakeSet>,
    /// One reading at a time, so that an older one never takes the place of a newer.
    reading: tokio::sync::Mutex<()>,
    /// Shards that have held tasks which may be free by now.
    to_look_at: Mutex<BTreeSet<ShardId>>,
    /// Told when the brakes changed, or a shard is to be looked at.
    told: watch::Sender<()>,
}

impl Brakes {
    /// With what the store has: nothing may be sent before it is known what must not be.
    pub async fn open(store: SharedStore, names: BrakeNames) -> Result<Arc<Self>, StoreError> {
        let brakes = store.brakes().await?;
        Ok(Self::with(store, names, brakes))
    }

    /// With those that were read before.
    pub fn with(store: SharedStore, names: BrakeNames, brakes: Vec<Brake>) -> Arc<Self> {
        let names = Arc::new(names);
        Arc::new(Self {
            store,
            set: ArcSwap::from_pointee(BrakeSet::new(brakes, 1, names.clone())),
            names,
            reading: tokio::sync::Mutex::default(),
            to_look_at: Mutex::default(),
            told: watch::Sender::new(()),
        })
    }

    /// The brakes as they are known now.
    pub fn set(&self) -> Arc<BrakeSet> {
        self.set.load_full()
    }

    pub fn names(&self) -> &BrakeNames {
        &self.names
    }

    /// Puts a brake on, or takes it off. Durable on return, and known to this node. What changes nothing is not written: all nodes
    /// would look through their shards because of it, and names that never were on would be kept for good.
    pub async fn change(
        &self,
        scope: BrakeScope,
        effect: BrakeEffect,
        is_on: bool,
        at: Timestamp,
        reason: Option<Box<str>>,
    ) -> Result<BrakeChange, StoreError> {
        let brake = Brake { scope, effect, is_on, at, reason };
        // Another node may have changed it since it was read here.
        self.refresh().await?;
        let Some(brake) = worth_writing(brake, self.set().brakes()) else { return Ok(BrakeChange::AsBefore) };
        self.store.write_brake(&brake).await?;
        if let Err(error) = self.refresh().await {
            tracing::warn!(%error, "a brake was written and could not be read: it is read again in a second");
        }
        Ok(BrakeChange::Made)
    }

    /// Reads them anew; tells of it if they changed.
    pub async fn refresh(&self) -> Result<(), StoreError> {
        let _one = self.reading.lock().await;
        let brakes = self.store.brakes().await?;
        let before = self.set();
        if brakes != before.brakes() {
            self.set.store(Arc::new(BrakeSet::new(brakes, before.number() + 1, self.names.clone())));
            self.told.send_replace(());
        }
        Ok(())
    }

    /// A task of the shard was just held or scheduled, judged by the brakes with the number `seen`: its plan is there, and nobody
    /// has it in hand any more. If the brakes changed meanwhile, whoever looked for what is free or recalled missed it.
    pub fn was_held(&self, shard: ShardId, seen: u64) {
        if self.set.load().number() != seen {
            self.to_look_at.lock().unwrap_or_else(PoisonError::into_inner).insert(shard);
            self.told.send_replace(());
        }
    }

    /// Whether the shard has held tasks that may have been missed; asked once.
    pub fn take_look_at(&self, shard: ShardId) -> bool {
        self.to_look_at.lock().unwrap_or_else(PoisonError::into_inner).remove(&shard)
    }

    /// Hears of every change from now on.
    pub fn told(&self) -> watch::Receiver<()> {
        self.told.subscribe()
    }
}

/// What is to be written for a change; `None`: it is so already.
fn worth_writing(mut brake: Brake, known: &[Brake]) -> Option<Brake> {
    let before = known.iter().find(|known| known.scope == brake.scope && known.effect == brake.effect);
    let Some(before) = before.filter(|before| before.is_on) else { return brake.is_on.then_some(brake) };
    if !brake.is_on {
        return Some(brake);
    }
    if brake.effect == BrakeEffect::Recall {
        // What was recalled stays so: the clock of who recalls it once more may be behind.
        brake.at = brake.at.max(before.at);
        return (brake.at > before.at || brake.reason != before.reason).then_some(brake);
    }
    (brake.reason != before.reason).then_some(brake)
}

#[cfg(test)]
mod tests;
