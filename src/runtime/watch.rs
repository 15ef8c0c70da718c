//! What is looked at every few seconds, for `/readyz` and the gauges that no stage can set by itself.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::{Either, select};

use super::engine::Engine;
use crate::clock::SharedClock;
use crate::log::{LogError, SharedLog};
use crate::ownership::LeaseKeeper;
use crate::store::StoreError;
use crate::telemetry::{Condition, Gauge, GaugeMetric, Health};

/// Worry about anything but 0 when the engine is idle: something is in no place, or in two.
const UNACCOUNTED: GaugeMetric<0> =
    GaugeMetric::new("fanfare_unaccounted", "By how much the books do not balance against what is in hand.", []);
/// Tasks that wait for a time.
const SCHEDULED: GaugeMetric<0> = GaugeMetric::new("fanfare_scheduled_tasks", "Tasks that wait for a time.", []);
/// Worry when it nears `dispatch.backlog_max`: intake of the lower lanes pauses there.
const BACKLOG: GaugeMetric<0> = GaugeMetric::new("fanfare_backlog_tasks", "Tasks ready in memory, all channels.", []);
/// Worry when the nodes' do not add up to all shards of the log: some are in nobody's hands.
const SHARDS: GaugeMetric<0> = GaugeMetric::new("fanfare_owned_shards", "Shards that this node works on.", []);

/// 1 while requests are accepted though this part is out: `log`, they go into the spill of the store; `store`, the log keeps
/// them. Worry while it is 1.
const DEGRADED: GaugeMetric<1> =
    GaugeMetric::new("fanfare_degraded", "Whether a part is out, by part: log or store.", ["part"]);

const INTERVAL: Duration = Duration::from_secs(2);

/// The longest that one look at the books may take: a database that stands still answers much later, and `/readyz` is to say so
/// before that.
const LOOK_WAIT_MAX: Duration = Duration::from_secs(5);

/// What is looked at.
pub(super) struct Watched {
    pub(super) engine: Option<Arc<Engine>>,
    pub(super) log: SharedLog,
    pub(super) keeper: Option<Arc<LeaseKeeper>>,
    pub(super) health: Health,
    pub(super) clock: SharedClock,
}

struct Gauges {
    unaccounted: Gauge,
    scheduled: Gauge,
    backlog: Gauge,
    shards: Gauge,
    log_out: Gauge,
    store_out: Gauge,
}

/// Looks until it is aborted.
pub(super) async fn watch(watched: Watched) {
    let gauges = Gauges {
        unaccounted: UNACCOUNTED.with([]),
        scheduled: SCHEDULED.with([]),
        backlog: BACKLOG.with([]),
        shards: SHARDS.with([]),
        log_out: DEGRADED.with(["log"]),
        store_out: DEGRADED.with(["store"]),
    };
    loop {
        watched.look_at_log();
        match &watched.engine {
            Some(engine) => watched.look_at_engine(engine, &gauges).await,
            None => watched.look_at_store().await,
        }
        gauges.log_out.set(f64::from(watched.log.degraded().is_some()));
        let is_out = watched.health.reasons().iter().any(|(condition, _)| *condition == Condition::Store);
        gauges.store_out.set(f64::from(is_out));
        watched.clock.sleep(INTERVAL).await;
    }
}

impl Watched {
    fn look_at_log(&self) {
        let error = self.log.writable().err();
        let is_full = matches!(error, Some(LogError::Full { .. }));
        let reason = error.map(|error| error.to_string());
        self.set(Condition::Disk, reason.as_ref().filter(|_| is_full));
        self.set(Condition::Log, reason.as_ref().filter(|_| !is_full));
        let stuck = self.engine.as_ref().and_then(|engine| engine.stuck());
        self.set(Condition::Shards, stuck.as_ref());
    }

    async fn look_at_engine(&self, engine: &Engine, gauges: &Gauges) {
        gauges.backlog.set(engine.dispatch.room.backlog.ready() as f64);
        gauges.shards.set(engine.ownership.shards().len() as f64);
        let holds = engine.ownership.standing().holds(&*self.clock, Duration::ZERO);
        self.set(
            Condition::Leases,
            (!holds).then_some(&"the store does not confirm this node's leases: it sends nothing"),
        );
        match in_time(&self.clock, engine.accounting_here()).await {
            Ok(books) => {
                self.health.resolve(Condition::Store);
                gauges.unaccounted.set(books.unaccounted as f64);
                let waiting: i64 = books.lines.iter().map(|line| line.scheduled).sum();
                gauges.scheduled.set(waiting as f64);
            }
            Err(error) => self.health.report(Condition::Store, error.to_string()),
        }
    }

    /// Where there is no engine: whether the store answers, and who the other nodes are.
    async fn look_at_store(&self) {
        if let Some(keeper) = &self.keeper {
            self.set(Condition::Store, keeper.listen().await.err().as_ref());
        }
    }

    fn set(&self, condition: Condition, reason: Option<&impl ToString>) {
        match reason {
            Some(reason) => self.health.report(condition, reason.to_string()),
            None => self.health.resolve(condition),
        }
    }
}

/// The answer, or that there is none.
async fn in_time<T>(clock: &SharedClock, look: impl Future<Output = Result<T, StoreError>>) -> Result<T, StoreError> {
    match select(std::pin::pin!(look), clock.sleep(LOOK_WAIT_MAX)).await {
        Either::Left((answer, _)) => answer,
        Either::Right(_) => Err(StoreError::Failed(format!("no answer within {LOOK_WAIT_MAX:?}"))),
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;
    use crate::clock::ManualClock;
    use crate::domain::Timestamp;

    #[tokio::test]
    async fn a_store_that_stands_still_is_not_waited_for() {
        let manual = ManualClock::starting_at(Timestamp(0));
        let clock: SharedClock = manual.clone();
        let mut look = std::pin::pin!(in_time(&clock, std::future::pending::<Result<(), StoreError>>()));
        assert!(look.as_mut().now_or_never().is_none());
        manual.advance(LOOK_WAIT_MAX);
        assert!(look.await.is_err_and(|error| error.to_string().contains("no answer within 5s")));
    }
}
