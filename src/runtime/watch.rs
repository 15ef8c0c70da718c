//! What is looked at every few seconds, for `/readyz` and the gauges that no stage can set by itself.

use std::sync::Arc;
use std::time::Duration;

use super::engine::Engine;
use crate::log::SharedLog;
use crate::telemetry::{Condition, GaugeMetric, Health};

/// Worry about anything but 0 when the engine is idle: something is in no place, or in two.
const UNACCOUNTED: GaugeMetric<0> =
    GaugeMetric::new("fanfare_unaccounted", "By how much the books do not balance against what is in hand.", []);
/// Tasks that wait for a time.
const SCHEDULED: GaugeMetric<0> = GaugeMetric::new("fanfare_scheduled_tasks", "Tasks that wait for a time.", []);
/// Worry when it nears `dispatch.backlog_max`: intake of the lower lanes pauses there.
const BACKLOG: GaugeMetric<0> = GaugeMetric::new("fanfare_backlog_tasks", "Tasks ready in memory, all channels.", []);

const INTERVAL: Duration = Duration::from_secs(2);

/// Looks until it is aborted.
pub(super) async fn watch(engine: Arc<Engine>, log: SharedLog, health: Health) {
    let (unaccounted, scheduled, backlog) = (UNACCOUNTED.with([]), SCHEDULED.with([]), BACKLOG.with([]));
    loop {
        match log.writable() {
            Ok(()) => health.resolve(Condition::Disk),
            Err(error) => health.report(Condition::Disk, error.to_string()),
        }
        backlog.set(engine.dispatch.room.backlog.ready() as f64);
        match crate::insight::accounting(&engine.store, &engine.log, &engine.ownership).await {
            Ok(books) => {
                health.resolve(Condition::Store);
                unaccounted.set(books.unaccounted as f64);
                let waiting: i64 = books.lines.iter().map(|line| line.scheduled).sum();
                scheduled.set(waiting as f64);
            }
            Err(error) => health.report(Condition::Store, error.to_string()),
        }
        engine.clock().sleep(INTERVAL).await;
    }
}
