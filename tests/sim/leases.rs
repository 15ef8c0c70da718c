//! Leases as one node reaches them: they change by agreement, of which the answer may be lost. Signs of life are plain rows.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use fanfare::domain::ShardId;
use fanfare::store::{Beat, LeaseRow, LeaseRows, StoreError};

use super::cells::{NEVER, QUORUMS, second};
use super::host::Host;
use super::world::World;

pub struct SimLeases {
    world: Arc<World>,
    host: Arc<Host>,
}

/// The longest that an agreement whose answer was lost takes to come about: less than a lease waits for writes.
const LATE_MAX: u64 = 4000;

impl SimLeases {
    pub fn new(world: Arc<World>, host: Arc<Host>) -> Arc<Self> {
        Arc::new(Self { world, host })
    }

    async fn wait(&self, first: u64, last: u64) {
        let wait = self.world.rng().millis(first, last);
        tokio::time::sleep(wait).await;
    }

    async fn fail<T>(&self) -> Result<T, StoreError> {
        self.wait(1, 2000).await;
        self.host.pass().await;
        Err(StoreError::Failed("as the simulation wants it: leases".into()))
    }

    fn is_cut_off(&self) -> bool {
        self.world.is_cut_off(self.host.number)
    }
}

/// Puts `next` in the place of `seen`; whether that was there.
fn replace(world: &World, shard: ShardId, seen: Option<&LeaseRow>, next: &LeaseRow) -> bool {
    let mut tables = world.tables();
    if tables.leases.get(&shard) != seen {
        return false;
    }
    tables.set_lease(shard, next, world.now());
    drop(tables);
    world.note(format_args!("lease {shard} {} {} {}", next.owner, next.epoch, next.released));
    true
}

#[async_trait]
impl LeaseRows for SimLeases {
    async fn lease(&self, shard: ShardId) -> Result<Option<LeaseRow>, StoreError> {
        self.host.pass().await;
        if self.is_cut_off() || self.world.fails(0.02) {
            return self.fail().await;
        }
        self.wait(1, 6).await;
        let row = self.world.tables().leases.get(&shard).cloned();
        self.host.pass().await;
        Ok(row)
    }

    async fn replace_lease(
        &self,
        shard: ShardId,
        seen: Option<&LeaseRow>,
        next: &LeaseRow,
    ) -> Result<bool, StoreError> {
        self.host.pass().await;
        if self.is_cut_off() {
            return self.fail().await;
        }
        self.wait(1, 6).await;
        if !self.world.fails(0.06) {
            let replaced = replace(&self.world, shard, seen, next);
            self.wait(1, 6).await;
            self.host.pass().await;
            return Ok(replaced);
        }
        let fate = self.world.rng().below(3);
        if fate == 1 {
            replace(&self.world, shard, seen, next);
        } else if fate == 2 {
            let late = self.world.rng().millis(0, LATE_MAX);
            let (world, seen, next) = (self.world.clone(), seen.cloned(), next.clone());
            tokio::spawn(async move {
                tokio::time::sleep(late).await;
                replace(&world, shard, seen.as_ref(), &next);
            });
        }
        self.fail().await
    }

    async fn beat(&self, beat: &Beat) -> Result<(), StoreError> {
        self.host.pass().await;
        let stamp = self.host.stamp();
        let now = self.world.now();
        if self.is_cut_off() {
            return self.fail().await;
        }
        let mut arrivals = [0; 3].map(|_| now + self.world.rng().millis(1, 6));
        let fails = self.world.fails(0.04);
        if fails {
            let fate = self.world.rng().below(3);
            let late = self.world.rng().millis(0, 30_000);
            arrivals = match fate {
                0 => [NEVER; 3],
                1 => [arrivals[0], NEVER, NEVER],
                _ => arrivals.map(|at| at + late),
            };
        }
        self.world.tables().beats.entry(beat.node.clone()).or_default().put(stamp, beat.clone(), arrivals);
        if fails {
            return self.fail().await;
        }
        tokio::time::sleep(second(arrivals).saturating_sub(now)).await;
        self.host.pass().await;
        Ok(())
    }

    async fn beats(&self) -> Result<Vec<Beat>, StoreError> {
        self.host.pass().await;
        if self.is_cut_off() || self.world.fails(0.02) {
            return self.fail().await;
        }
        self.wait(1, 6).await;
        let quorum = self.world.rng().pick(&QUORUMS).copied().unwrap_or(QUORUMS[0]);
        let now: Duration = self.world.now();
        let beats = self.world.tables().beats.values().filter_map(|cell| cell.read(quorum, now)).cloned().collect();
        self.host.pass().await;
        Ok(beats)
    }
}
