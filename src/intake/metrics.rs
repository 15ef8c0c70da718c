//! What intake reports.

use std::collections::HashMap;
use std::sync::Arc;

use super::rejects::Reject;
use crate::domain::{Disposition, Plan, ShardId, Source, Verdict};
use crate::telemetry::{Counter, CounterMetric, Gauge, GaugeMetric};

/// Requests by what became of them, each once: at the door (`repeated`, `conflict`, `refused`, `unavailable`) or else in
/// planning (`rejected`: another program's record that could not be used). Worry about `unavailable`, and when `duplicate` or `no_address` take a larger share than usual.
pub(super) const REQUESTS: CounterMetric<3> = CounterMetric::new(
    "fanfare_requests_total",
    "Requests by source, priority and what became of them, at the door or in planning.",
    ["source", "priority", "outcome"],
);
/// Retry keys that were taken without asking the store, because it did not answer: a retry may then be answered with another id,
/// and one of the two records is skipped as a duplicate. Worry about any: the store is out.
pub(super) const UNCHECKED_KEYS: CounterMetric<0> = CounterMetric::new(
    "fanfare_unchecked_retry_keys_total",
    "Retry keys that were taken without asking the store, which did not answer.",
    [],
);
/// The verdicts of the gates.
const DECISIONS: CounterMetric<2> =
    CounterMetric::new("fanfare_decisions_total", "Verdicts by gate and outcome.", ["step", "outcome"]);
/// Records that wait to be planned, or taken in from the topic of events. Worry when it grows for minutes.
const LAG: GaugeMetric<2> =
    GaugeMetric::new("fanfare_partition_lag", "Records of the log that wait to be planned.", ["topic", "partition"]);

/// The lag of a partition of the topic of events.
pub fn events_lag(topic: &str, partition: u16) -> Gauge {
    LAG.with([topic, &partition.to_string()])
}
/// Worry when it falls where bursts are expected.
const MERGED: CounterMetric<1> = CounterMetric::new(
    "fanfare_merged_total",
    "Notifications that were merged into another's message, by priority.",
    ["priority"],
);
/// Records that could not be used. Worry about any.
pub(super) const REJECTED: CounterMetric<1> = CounterMetric::new(
    "fanfare_dead_letters_total",
    "What could not be delivered or used, by channel (none: a record of the log).",
    ["channel"],
);

/// Counters of one partition.
pub(super) struct PartitionMetrics {
    shard: ShardId,
    lag: Gauge,
    merged: Counter,
    requests: HashMap<(Source, &'static str), Counter>,
    decisions: HashMap<(&'static str, &'static str), Counter>,
    rejected: Counter,
}

impl PartitionMetrics {
    /// `topic`: the name of its lane.
    pub(super) fn new(shard: ShardId, topic: &str) -> Self {
        Self {
            shard,
            lag: LAG.with([topic, &shard.partition.to_string()]),
            merged: MERGED.with([shard.lane.name()]),
            requests: HashMap::new(),
            decisions: HashMap::new(),
            rejected: REJECTED.with(["none"]),
        }
    }

    /// Counts a batch that was planned: each series once per batch.
    pub(super) fn observe(&mut self, plans: &[Arc<Plan>], rejected: &[Reject]) {
        let mut requests: HashMap<(Source, &'static str), u64> = HashMap::new();
        let foreign = rejected.iter().filter(|reject| reject.is_foreign()).count();
        if foreign > 0 {
            requests.insert((Source::Kafka, "rejected"), foreign as u64);
        }
        let mut decisions: HashMap<(&'static str, &'static str), u64> = HashMap::new();
        let is_merged = |plan: &&Arc<Plan>| matches!(plan.disposition, Disposition::Merged { .. });
        self.merged.increment(plans.iter().filter(is_merged).count() as u64);
        for plan in plans {
            let outcome = match &plan.disposition {
                Disposition::Tasks(_) => "planned",
                Disposition::Skipped(reason) => reason.name(),
                Disposition::Merged { .. } => "merged",
            };
            *requests.entry((plan.source, outcome)).or_default() += 1;
            for decision in &plan.decisions {
                let outcome = match &decision.verdict {
                    Verdict::Pass => "pass",
                    Verdict::Skip(_) => "skip",
                    Verdict::Hold { .. } => "hold",
                    Verdict::Merge { .. } => "merge",
                };
                *decisions.entry((decision.step.name(), outcome)).or_default() += 1;
            }
        }
        let priority = self.shard.lane.name();
        for ((source, outcome), count) in requests {
            let counter = self.requests.entry((source, outcome));
            counter.or_insert_with(|| REQUESTS.with([source.name(), priority, outcome])).increment(count);
        }
        for ((step, outcome), count) in decisions {
            let counter = self.decisions.entry((step, outcome));
            counter.or_insert_with(|| DECISIONS.with([step, outcome])).increment(count);
        }
        self.rejected.increment(rejected.len() as u64);
    }

    pub(super) fn observe_lag(&self, records: u64) {
        self.lag.set(records as f64);
    }
}

/// Records of people that were written in clear, because the store told no secrets: an erasure does not reach them in the log. Worry
/// about any: the store is out.
pub(super) const UNSEALED_RECORDS: CounterMetric<0> = CounterMetric::new(
    "fanfare_unsealed_records_total",
    "Records that were written in clear, because the store told no secrets.",
    [],
);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Priority;
    use crate::telemetry;

    #[test]
    fn the_lag_is_that_of_a_topic() {
        let page = telemetry::install();
        let shard = ShardId { generation: 0, lane: Priority::Critical, partition: 77 };
        PartitionMetrics::new(shard, "fanfare.notifications.critical").observe_lag(3);
        let expected = r#"fanfare_partition_lag{topic="fanfare.notifications.critical",partition="77"} 3"#;
        assert!(page.render().contains(expected), "`{expected}` is not in:\n{}", page.render());
    }
}
