//! What is counted of Redis.

use metrics::{Counter, Gauge};

use crate::telemetry::{CounterMetric, GaugeMetric};

/// Whether this node decides alone. Worry when it stays at 1: rates are used at four fifths, and shared by a guess.
const DEGRADED: GaugeMetric<0> =
    GaugeMetric::new("fanfare_coordination_degraded", "1 while Redis does not answer and this node decides alone.", []);

/// Questions that Redis did not answer in time, or with an error.
const FAILURES: CounterMetric<1> =
    CounterMetric::new("fanfare_coordination_failures_total", "Questions that Redis did not answer.", ["operation"]);

/// What is asked of Redis.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Operation {
    Lease,
    Claim,
    Release,
    Presence,
    Publish,
    Subscribe,
}

impl Operation {
    const ALL: [(Operation, &'static str); 6] = [
        (Operation::Lease, "lease"),
        (Operation::Claim, "claim"),
        (Operation::Release, "release"),
        (Operation::Presence, "presence"),
        (Operation::Publish, "publish"),
        (Operation::Subscribe, "subscribe"),
    ];
}

/// The handles.
pub(super) struct RedisMetrics {
    degraded: Gauge,
    failures: [Counter; Operation::ALL.len()],
}

impl RedisMetrics {
    pub(super) fn new() -> Self {
        Self { degraded: DEGRADED.with([]), failures: Operation::ALL.map(|(_, name)| FAILURES.with([name])) }
    }

    pub(super) fn degraded(&self, degraded: bool) {
        self.degraded.set(f64::from(u8::from(degraded)));
    }

    pub(super) fn failed(&self, operation: Operation) {
        // The order of the variants is that of ALL.
        self.failures[operation as usize].increment(1);
    }
}
