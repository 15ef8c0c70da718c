//! The shards of the spill beside those of the log: every engine is offered all of them, and leases decide who works them.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::Parts;
use super::reader::SpillReader;
use crate::domain::ShardId;
use crate::log::{Membership, OwnershipChange};

/// How often shards are looked for that are new: so long the first records of an outage wait at most.
const LOOK_INTERVAL: Duration = Duration::from_secs(10);

/// Shards that were found and not asked for yet; the looking waits above it.
const FOUND_MAX: usize = 64;

pub(super) struct SpillMembership {
    inner: Box<dyn Membership>,
    found: mpsc::Receiver<SpillReader>,
    looking: JoinHandle<()>,
}

impl SpillMembership {
    pub(super) fn beside(inner: Box<dyn Membership>, parts: Arc<Parts>) -> Self {
        let (finds, found) = mpsc::channel(FOUND_MAX);
        Self { inner, found, looking: tokio::spawn(look(parts, finds)) }
    }
}

/// Looks for shards until nobody wants to know.
async fn look(parts: Arc<Parts>, finds: mpsc::Sender<SpillReader>) {
    let mut known: HashSet<ShardId> = HashSet::new();
    loop {
        match parts.rows.spill_shards().await {
            Ok(shards) => {
                for (shard, committed) in shards {
                    if known.insert(shard)
                        && finds.send(SpillReader::new(parts.clone(), shard, committed)).await.is_err()
                    {
                        return;
                    }
                }
            }
            Err(error) => tracing::warn!(%error, "cannot look for shards of the spill: trying again"),
        }
        parts.clock.sleep(LOOK_INTERVAL).await;
    }
}

#[async_trait]
impl Membership for SpillMembership {
    async fn next(&mut self) -> Option<OwnershipChange> {
        tokio::select! {
            change = self.inner.next() => change,
            // The looking ends with this.
            Some(reader) = self.found.recv() => Some(OwnershipChange::Assigned(Box::new(reader))),
        }
    }
}

impl Drop for SpillMembership {
    fn drop(&mut self) {
        self.looking.abort();
    }
}
