//! What schedules report.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::domain::{RunState, ScheduleRun};
use crate::homes::HOMES;
use crate::telemetry::{CounterMetric, Gauge, GaugeMetric};

/// Runs by what became of them. Worry about any that failed: a schedule begins nothing as it is defined, and its runs say why.
const RUNS: CounterMetric<2> = CounterMetric::new(
    "fanfare_schedule_runs_total",
    "Runs of schedules by why they ran and what became of them.",
    ["kind", "outcome"],
);
/// How late the latest is. Worry when it grows: something that runs begin cannot be begun.
const LATE: GaugeMetric<0> = GaugeMetric::new(
    "fanfare_schedule_late_seconds",
    "How long ago the due time was of the schedule that should have run first, among those this node looks after.",
    [],
);

/// A run came to its end.
pub(super) fn count(run: &ScheduleRun) {
    debug_assert!(run.state != RunState::Starting, "it may be begun again");
    RUNS.with([run.kind.name(), run.state.name()]).increment(1);
}

/// How late the schedules of each home are; written by the work there.
pub(super) struct Late {
    homes: Mutex<[Duration; HOMES as usize]>,
    gauge: Gauge,
}

impl Late {
    pub(super) fn new() -> Self {
        Self { homes: Mutex::default(), gauge: LATE.with([]) }
    }

    pub(super) fn set(&self, home: u16, late: Duration) {
        let mut homes = self.homes.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(of_home) = homes.get_mut(usize::from(home)) {
            *of_home = late;
        }
        self.gauge.set(homes.iter().max().copied().unwrap_or_default().as_secs_f64());
    }
}
