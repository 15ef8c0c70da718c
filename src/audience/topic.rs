//! Events that other programs write into the topic of events: read by all engine nodes as one group, handed in at the door in batches,
//! and committed once all that comes of them is durable.
//!
//! What comes again after a crash, or because a partition moved, is the same event by its id, of which the door makes nothing twice. A
//! record that cannot be used goes to the dead letters and holds nobody up; where nothing can be taken in, the partition waits, and what
//! is not read stays with the brokers.

mod partition;
mod record;

#[cfg(test)]
pub(super) mod testing;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use tokio::task::{JoinHandle, JoinSet};
use tokio_util::sync::CancellationToken;

use self::partition::Partition;
pub(super) use self::record::read_record;
use super::EventDoor;
use crate::clock::SharedClock;
use crate::domain::ShardId;
use crate::log::{LogError, Membership, OwnershipChange, SharedLog};
use crate::store::SharedStore;
use crate::telemetry::CounterMetric;

/// The pause after a failure; it doubles up to the other.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const PAUSE_MAX: Duration = Duration::from_secs(5);

/// Worry about any: something panicked. The same series as of the actors, of which this is one in all but name.
const RESTARTS: CounterMetric<1> =
    CounterMetric::new("fanfare_actor_restarts_total", "Actors that failed and were started anew, by kind.", ["kind"]);

/// Counts a failure inside that was outlived.
fn count_restart() {
    RESTARTS.with(["events"]).increment(1);
}

/// What reading the topic of events needs.
#[derive(Clone)]
pub struct EventTopicParts {
    /// Must be shared.
    pub log: SharedLog,
    pub store: SharedStore,
    pub door: Arc<dyn EventDoor>,
    pub clock: SharedClock,
    /// Bytes of an event, as at the API.
    pub body_max: usize,
}

/// A node's part in reading the topic of events, for as long as the node runs.
pub struct EventTopic {
    stop: CancellationToken,
    running: JoinHandle<()>,
}

impl EventTopic {
    /// Begins to take part. What fails in it is tried again, and never ends it.
    pub fn start(parts: EventTopicParts) -> Self {
        let stop = CancellationToken::new();
        let running = tokio::spawn(run(parts, stop.clone()));
        Self { stop, running }
    }

    /// Finishes the batches in hand, commits them, and leaves the group.
    pub async fn drain(self) {
        self.stop.cancel();
        if let Err(error) = self.running.await {
            tracing::error!(%error, "the reading of the topic of events ended with a panic");
        }
    }
}

async fn run(parts: EventTopicParts, stop: CancellationToken) {
    let mut pause = FIRST_PAUSE;
    while !stop.is_cancelled() {
        let taken_part = AssertUnwindSafe(take_part(&parts, &stop)).catch_unwind().await;
        match taken_part {
            Ok(Ok(())) => pause = FIRST_PAUSE,
            Ok(Err(error)) => tracing::error!(%error, "cannot read the topic of events: trying again"),
            Err(_) => {
                count_restart();
                tracing::error!("the reading of the topic of events failed inside: beginning anew; please report this");
            }
        }
        wait(&parts.clock, pause, &stop).await;
        pause = (pause * 2).min(PAUSE_MAX);
    }
}

/// Waits so long, or until the node stops.
async fn wait(clock: &SharedClock, pause: Duration, stop: &CancellationToken) {
    tokio::select! {
        () = clock.sleep(pause) => {}
        () = stop.cancelled() => {}
    }
}

/// Works on the partitions that the group gives this node, until it is told to stop or the group ends.
async fn take_part(parts: &EventTopicParts, stop: &CancellationToken) -> Result<(), LogError> {
    let mut membership = parts.log.join_events().await?;
    let mut workers = Workers { stops: HashMap::new(), running: JoinSet::new() };
    follow(&mut *membership, &mut workers, parts, stop).await;
    for (_, stop) in workers.stops.drain() {
        stop.cancel();
    }
    while workers.running.join_next().await.is_some() {}
    // Last, and off the runtime's threads: it commits, and waits until the group has let go.
    let left = tokio::task::spawn_blocking(move || drop(membership)).await;
    left.map_err(|_| LogError::Failed("leaving the readers of the topic of events failed inside".to_owned()))
}

/// Who works on which partition.
struct Workers {
    stops: HashMap<ShardId, CancellationToken>,
    running: JoinSet<()>,
}

async fn follow(
    membership: &mut dyn Membership,
    workers: &mut Workers,
    parts: &EventTopicParts,
    stop: &CancellationToken,
) {
    loop {
        let change = tokio::select! {
            () = stop.cancelled() => return,
            Some(_) = workers.running.join_next() => continue,
            change = membership.next() => change,
        };
        match change {
            Some(OwnershipChange::Assigned(reader)) => {
                let own = stop.child_token();
                let partition = Partition::new(parts.clone(), reader, own.clone());
                // One before it has been told to end already.
                workers.stops.insert(partition.shard(), own);
                workers.running.spawn(partition.run());
            }
            Some(OwnershipChange::Revoked(shard) | OwnershipChange::Lost(shard)) => {
                if let Some(own) = workers.stops.remove(&shard) {
                    own.cancel();
                }
            }
            None => return,
        }
    }
}
