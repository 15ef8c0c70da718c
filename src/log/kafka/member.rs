//! This node's membership in the group: a consumer for each lane, each polled by a thread of its own, whatever the engine
//! does. So bulk traffic has no hand on what critical is read by, and the group deals each lane out evenly: a consumer of
//! several topics may get all partitions of one, which can be the one that is busy.
//!
//! A thread that polls always answers the group in time, so a slow engine is never taken for a dead one. What it does not
//! read waits in bounded queues, one for each partition.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use rdkafka::ClientConfig;
use rdkafka::config::FromClientConfigAndContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use tokio::sync::Notify;

use super::desk::{Desk, is_passing};
use super::rebalance::Rebalances;
use super::{Parts, locked, settings};
use crate::domain::{Priority, ShardId};
use crate::log::{LogError, Membership, OwnershipChange};

/// The longest a thread waits for an event before it looks whether it is to stop or to commit.
const POLL: Duration = Duration::from_millis(100);

/// How often what is done is committed.
const COMMIT_INTERVAL: Duration = Duration::from_secs(1);

/// How long leaving may take before the node ends without it; the group notices by itself after the session's time.
const LEAVE_WAIT_MAX: Duration = Duration::from_secs(5);

/// What happened to the partitions and was not looked at. Bounded: a partition has one entry for its coming and one for its
/// going, and who goes unseen takes the coming along.
#[derive(Default)]
pub(super) struct Inbox {
    changes: Mutex<VecDeque<OwnershipChange>>,
    wake: Notify,
}

impl Inbox {
    pub(super) fn push(&self, change: OwnershipChange) {
        locked(&self.changes).push_back(change);
        self.wake.notify_one();
    }

    /// The partition goes: `going` is told, unless nobody has seen it come.
    pub(super) fn withdraw(&self, shard: ShardId, going: OwnershipChange) {
        let unseen = {
            let mut changes = locked(&self.changes);
            let is_coming = |change: &OwnershipChange| matches!(change, OwnershipChange::Assigned(reader) if reader.shard() == shard);
            let place = changes.iter().position(is_coming);
            place.and_then(|place| changes.remove(place))
        };
        if unseen.is_none() {
            self.push(going);
        }
    }
}

pub(super) struct Member {
    inbox: Arc<Inbox>,
    stop: Arc<AtomicBool>,
    /// Closed by the threads as they end.
    ended: Mutex<Receiver<()>>,
}

/// Joins the group.
pub(super) fn join(parts: &Arc<Parts>, desk: &Arc<Desk>) -> Result<Member, LogError> {
    let (inbox, stop) = (Arc::<Inbox>::default(), Arc::<AtomicBool>::default());
    let (alive, ended) = sync_channel(1);
    // Dropped on an error, so that a first thread does not stay without its second.
    let member = Member { inbox: inbox.clone(), stop: stop.clone(), ended: Mutex::new(ended) };
    let group = settings::group(&parts.kafka);
    let config = settings::member(&parts.kafka, group, parts.topics.shards().count());
    for lane in Priority::ALL {
        let consumer = subscribe(&config, Rebalances::new(parts, desk, &inbox), parts.topics.lane(lane))?;
        start(format!("fanfare-log-{lane}"), consumer, stop.clone(), alive.clone())?;
    }
    Ok(member)
}

/// What is prefetched of the topic of events is this part (one in so many) of what is prefetched of the lanes.
const EVENTS_PART: usize = 4;

/// Joins the group that reads the topic of events.
pub(super) fn join_events(parts: &Arc<Parts>, desk: &Arc<Desk>) -> Result<Member, LogError> {
    let (inbox, stop) = (Arc::<Inbox>::default(), Arc::<AtomicBool>::default());
    let (alive, ended) = sync_channel(1);
    let partitions = parts.topics.event_shards().count() * EVENTS_PART;
    let config = settings::member(&parts.kafka, settings::events_group(&parts.kafka), partitions.max(EVENTS_PART));
    let consumer = subscribe(&config, Rebalances::new(parts, desk, &inbox), parts.topics.events())?;
    start("fanfare-log-events".to_owned(), consumer, stop.clone(), alive)?;
    Ok(Member { inbox, stop, ended: Mutex::new(ended) })
}

fn subscribe(
    config: &ClientConfig,
    rebalances: Rebalances,
    topic: &str,
) -> Result<Arc<BaseConsumer<Rebalances>>, LogError> {
    let consumer = BaseConsumer::from_config_and_context(config, rebalances)
        .map_err(|error| settings::failed("set up a consumer", &error))?;
    let consumer = Arc::new(consumer);
    consumer.context().belongs_to(&consumer);
    consumer.subscribe(&[topic]).map_err(|error| settings::failed("subscribe to a topic", &error))?;
    Ok(consumer)
}

fn start(
    name: String,
    consumer: Arc<BaseConsumer<Rebalances>>,
    stop: Arc<AtomicBool>,
    alive: SyncSender<()>,
) -> Result<(), LogError> {
    let started = std::thread::Builder::new().name(name).spawn(move || poll(consumer, &stop, alive));
    started.map(drop).map_err(|error| LogError::Failed(format!("cannot start a thread: {error}")))
}

/// Polls until the member is to leave.
fn poll(consumer: Arc<BaseConsumer<Rebalances>>, stop: &AtomicBool, alive: SyncSender<()>) {
    let mut commit_at = Instant::now() + COMMIT_INTERVAL;
    while !stop.load(Ordering::Relaxed) {
        match consumer.poll(POLL) {
            // Each partition has a queue of its own. One that is not read is here: its records stay where they are.
            None | Some(Ok(_)) => {}
            Some(Err(error)) if is_passing(&error) => {
                tracing::debug!(reason = settings::reason(&error), "the group waits");
            }
            Some(Err(error)) => tracing::error!(reason = settings::reason(&error), "cannot take part in the group"),
        }
        if Instant::now() >= commit_at {
            commit_at = Instant::now() + COMMIT_INTERVAL;
            consumer.context().commit_done(&consumer);
            consumer.context().place(&consumer);
        }
    }
    consumer.context().release_all(&consumer);
    // No queue holds it any more: this leaves the group, and waits until that is done.
    drop(consumer);
    drop(alive);
}

#[async_trait]
impl Membership for Member {
    async fn next(&mut self) -> Option<OwnershipChange> {
        loop {
            let change = locked(&self.inbox.changes).pop_front();
            if change.is_some() {
                return change;
            }
            self.inbox.wake.notified().await;
        }
    }
}

impl Drop for Member {
    /// Leaves the group, so that the others take over at once; readers that are not dropped yet read nothing more.
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        // Nobody looks any more: what was not seen is not waited for.
        drop(std::mem::take(&mut *locked(&self.inbox.changes)));
        let _ = locked(&self.ended).recv_timeout(LEAVE_WAIT_MAX);
    }
}
