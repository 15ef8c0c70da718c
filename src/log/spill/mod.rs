//! A log that goes on while it cannot be written: what comes meanwhile goes into a spill in the store.
//!
//! The spill is a log itself. A record that was accepted into it has its id from where it stands there, and is planned from there,
//! by whoever has the lease of its shard; nothing is ever copied to the log inside. Its shards have a generation of their own, and
//! as partition the slot of the process that writes them.
//!
//! Only what was certainly not given to the log inside goes to the spill. A record whose append failed there may be in it all the
//! same, and a second one would be a second notification: its caller is told to try again. Records of one user keep their order
//! within the log and within the spill, and not between the two. See docs/decisions/0016-spill.md.

mod breaker;
mod membership;
mod reader;
mod writer;

#[cfg(test)]
mod tests;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use futures_util::future::{Either, select};
use rustc_hash::FxHashMap;

use super::{Follower, Log, LogError, Membership, NewRecord, Outlet, OutsideTopics, Record, SharedLog, Told};
use crate::clock::SharedClock;
use crate::domain::{Position, Priority, ShardId};
use crate::store::{SpillRows, StoreError};
use crate::telemetry::CounterMetric;
use breaker::{Breaker, Pass};
use membership::SpillMembership;
use writer::Writer;

/// Requests that were accepted into the spill. Worry when it grows: the log is out.
const SPILLED: CounterMetric<1> =
    CounterMetric::new("fanfare_spilled_total", "Records taken into the spill of the store, by lane.", ["lane"]);

/// An append that takes longer sends those after it to the spill. An append takes milliseconds, and a change of leaders in a
/// cluster of brokers seldom so long.
const STALL: Duration = Duration::from_secs(3);

/// A log over another, which goes on in the store while that one cannot be written.
pub struct SpillingLog {
    inner: SharedLog,
    parts: Arc<Parts>,
    breaker: Arc<Breaker>,
    writer: Arc<Writer>,
}

/// What writers and readers of the spill share.
struct Parts {
    rows: Arc<dyn SpillRows>,
    clock: SharedClock,
    process: Box<str>,
    /// The ends of the spill's shards as far as this process knows: from its own appends, and from what it read.
    ends: Mutex<FxHashMap<ShardId, u64>>,
}

impl SpillingLog {
    /// `process`: a name that no other process has or had.
    pub fn over(inner: SharedLog, rows: Arc<dyn SpillRows>, clock: SharedClock, process: &str) -> SharedLog {
        let parts = Arc::new(Parts { rows, clock: clock.clone(), process: process.into(), ends: Mutex::default() });
        Arc::new(Self { inner, breaker: Breaker::new(clock), writer: Writer::new(parts.clone()), parts })
    }

    /// Appends to the log inside; one that takes long keeps the others from it.
    async fn append_inside(&self, records: Vec<NewRecord>, mut pass: Pass) -> Result<Vec<Position>, LogError> {
        let outcome = match select(self.inner.append(records), self.parts.clock.sleep(STALL)).await {
            Either::Left((outcome, _)) => outcome,
            Either::Right(((), appending)) => {
                pass.failed();
                appending.await
            }
        };
        match &outcome {
            Ok(_) => pass.succeeded(),
            Err(LogError::Busy) => pass.says_nothing(),
            Err(_) => pass.failed(),
        }
        outcome
    }
}

#[async_trait]
impl Log for SpillingLog {
    async fn append(&self, records: Vec<NewRecord>) -> Result<Vec<Position>, LogError> {
        if self.inner.writable().is_ok()
            && let Some(pass) = self.breaker.admit()
        {
            return self.append_inside(records, pass).await;
        }
        self.writer.append(records).await
    }

    async fn record(&self, position: Position) -> Result<Option<Record>, LogError> {
        if !position.shard.is_spill() {
            return self.inner.record(position).await;
        }
        let rows = self.parts.rows.read_spill(position.shard, position.offset, 1, usize::MAX).await.map_err(failed)?;
        let body = rows.into_iter().next().map(|(_, body)| body).filter(|body| !body.is_empty());
        Ok(body.map(|body| Record { position, body, foreign: None }))
    }

    fn end(&self, shard: ShardId) -> u64 {
        if shard.is_spill() { self.parts.end(shard) } else { self.inner.end(shard) }
    }

    async fn join(&self) -> Result<Box<dyn Membership>, LogError> {
        let inner = self.inner.join().await?;
        Ok(Box::new(SpillMembership::beside(inner, self.parts.clone())))
    }

    fn writable(&self) -> Result<(), LogError> {
        let Err(inner) = self.inner.writable() else { return Ok(()) };
        self.writer.writable().map_err(|spill| LogError::Failed(format!("{inner}; and {spill}")))
    }

    fn degraded(&self) -> Option<String> {
        match self.inner.writable() {
            Err(error) => Some(format!("requests go into the spill of the store: {error}")),
            Ok(()) if !self.breaker.is_closed() => {
                Some("requests go into the spill of the store: the log does not answer".to_owned())
            }
            Ok(()) => None,
        }
    }

    fn is_shared(&self) -> bool {
        self.inner.is_shared()
    }

    fn topic(&self, lane: Priority) -> String {
        self.inner.topic(lane)
    }

    fn events_topic(&self) -> String {
        self.inner.events_topic()
    }

    async fn join_events(&self) -> Result<Box<dyn Membership>, LogError> {
        self.inner.join_events().await
    }

    async fn tell(&self, told: Vec<Told>) -> Result<(), LogError> {
        self.inner.tell(told).await
    }

    fn outside(&self) -> Option<Arc<dyn OutsideTopics>> {
        self.inner.outside()
    }

    async fn follow(&self, outlet: Outlet) -> Result<Box<dyn Follower>, LogError> {
        self.inner.follow(outlet).await
    }
}

impl Parts {
    fn end(&self, shard: ShardId) -> u64 {
        self.ends.lock().unwrap_or_else(PoisonError::into_inner).get(&shard).copied().unwrap_or(0)
    }

    /// An end never goes back.
    fn raise_end(&self, shard: ShardId, end: u64) {
        let mut ends = self.ends.lock().unwrap_or_else(PoisonError::into_inner);
        let held = ends.entry(shard).or_default();
        *held = end.max(*held);
    }
}

fn failed(error: StoreError) -> LogError {
    LogError::Failed(error.to_string())
}
