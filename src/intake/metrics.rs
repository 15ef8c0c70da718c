//! What intake reports.

use std::collections::HashMap;
use std::sync::Arc;

use metrics::{Counter, Gauge, counter, gauge};

use crate::domain::{Disposition, Plan, ShardId, Source, Verdict};

/// Counters of one partition.
pub(super) struct PartitionMetrics {
    shard: ShardId,
    lag: Gauge,
    requests: HashMap<(Source, &'static str), Counter>,
    decisions: HashMap<(&'static str, &'static str), Counter>,
    rejected: Counter,
}

impl PartitionMetrics {
    pub(super) fn new(shard: ShardId) -> Self {
        let lag = gauge!("fanfare_partition_lag",
            "topic" => shard.lane.name(), "partition" => shard.partition.to_string());
        let rejected = counter!("fanfare_dead_letters_total", "channel" => "none");
        Self { shard, lag, requests: HashMap::new(), decisions: HashMap::new(), rejected }
    }

    /// Counts a batch that was planned: each series once per batch.
    pub(super) fn observe(&mut self, plans: &[Arc<Plan>], rejected: usize) {
        let mut requests: HashMap<(Source, &'static str), u64> = HashMap::new();
        let mut decisions: HashMap<(&'static str, &'static str), u64> = HashMap::new();
        for plan in plans {
            let outcome = match &plan.disposition {
                Disposition::Tasks(_) => "planned",
                Disposition::Skipped(reason) => reason.name(),
            };
            *requests.entry((plan.source, outcome)).or_default() += 1;
            for decision in &plan.decisions {
                let outcome = match &decision.verdict {
                    Verdict::Pass => "pass",
                    Verdict::Skip(_) => "skip",
                    Verdict::Hold { .. } => "hold",
                };
                *decisions.entry((decision.step.name(), outcome)).or_default() += 1;
            }
        }
        let priority = self.shard.lane.name();
        for ((source, outcome), count) in requests {
            let counter = self.requests.entry((source, outcome)).or_insert_with(|| {
                counter!("fanfare_requests_total",
                    "source" => source.name(), "priority" => priority, "outcome" => outcome)
            });
            counter.increment(count);
        }
        for ((step, outcome), count) in decisions {
            let counter = self
                .decisions
                .entry((step, outcome))
                .or_insert_with(|| counter!("fanfare_decisions_total", "step" => step, "outcome" => outcome));
            counter.increment(count);
        }
        self.rejected.increment(rejected as u64);
    }

    pub(super) fn observe_lag(&self, records: u64) {
        self.lag.set(records as f64);
    }
}
