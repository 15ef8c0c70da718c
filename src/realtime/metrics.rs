//! What the live side counts.

use crate::telemetry::{CounterMetric, GaugeMetric, HistogramMetric};

pub(super) const CONNECTIONS: GaugeMetric<0> = GaugeMetric::new(
    "fanfare_websocket_connections",
    "Connections of users' programs to this node, WebSockets and event streams.",
    [],
);
/// Worry when `resync` grows as fast as `notification`: clients are too slow, or too much comes at once.
pub(super) const FRAMES: CounterMetric<1> =
    CounterMetric::new("fanfare_live_frames_total", "Frames for users' programs, by kind.", ["kind"]);
/// Worry when it grows: other nodes' users hear late, by looking.
const LOST: CounterMetric<0> = CounterMetric::new(
    "fanfare_live_words_lost_total",
    "Words for other nodes that were dropped because too many waited.",
    [],
);
/// Worry when the slowest percent is above a second.
pub(super) const LATENCY: HistogramMetric<0> = HistogramMetric::new(
    "fanfare_live_latency_seconds",
    "Time from when a message in the product was due until it was made into a frame of a connection.",
    [],
);

pub(super) fn count_lost() {
    LOST.with([]).increment(1);
}
