//! What analytics report.

use crate::telemetry::{CounterMetric, GaugeMetric};

/// Worry when it stays above a quarter of an hour: what is answered is old.
const LAG: GaugeMetric<1> = GaugeMetric::new(
    "fanfare_analytics_lag_seconds",
    "Age of the oldest write that analytics have not looked at yet, by source.",
    ["source"],
);
/// Grows with the messages, and for some days after them with what is told of them.
const BLOCKS: CounterMetric<0> = CounterMetric::new(
    "fanfare_analytics_blocks_total",
    "Blocks of messages that were counted, again ones included.",
    [],
);
/// Worry when it grows: rows that were counted are gone.
const GONE: CounterMetric<0> = CounterMetric::new(
    "fanfare_analytics_blocks_gone_total",
    "Blocks that are not counted again, because rows of them have expired.",
    [],
);

pub(super) fn lag(source: u8, seconds: f64) {
    LAG.with([&source.to_string()]).set(seconds);
}

pub(super) fn computed() {
    BLOCKS.with([]).increment(1);
}

pub(super) fn gone() {
    GONE.with([]).increment(1);
}
