//! What the settler reports.

use std::collections::HashMap;
use std::sync::Arc;

use crate::domain::Channel;
use crate::telemetry::{Counter, CounterMetric};

/// Ends of attempts. Worry when `failed` or `retried` take a larger share than usual.
const DELIVERIES: CounterMetric<3> = CounterMetric::new(
    "fanfare_deliveries_total",
    "Messages by channel, provider and what came of them.",
    ["channel", "provider", "outcome"],
);
/// Worry when it grows faster than the sends.
const RETRIES: CounterMetric<1> =
    CounterMetric::new("fanfare_retries_total", "Attempts that are to be made again, by channel.", ["channel"]);
/// Worry about any that nobody expects.
const DEAD_LETTERS: CounterMetric<1> = CounterMetric::new(
    "fanfare_dead_letters_total",
    "What could not be delivered or used, by channel (none: a record of the log).",
    ["channel"],
);

/// In the place of a provider, for tasks that none was asked about.
const NO_PROVIDER: &str = "none";

/// Counters of ends other than "sent", resolved once per series.
pub(super) struct SettleMetrics {
    no_provider: Arc<str>,
    series: HashMap<(Channel, Arc<str>, &'static str), Counter>,
}

impl Default for SettleMetrics {
    fn default() -> Self {
        Self { no_provider: NO_PROVIDER.into(), series: HashMap::new() }
    }
}

impl SettleMetrics {
    pub(super) fn count(&mut self, channel: Channel, provider: &Arc<str>, outcome: &'static str) {
        let counter = self.series.entry((channel, provider.clone(), outcome));
        counter.or_insert_with(|| DELIVERIES.with([channel.name(), provider, outcome])).increment(1);
        if outcome == "retried" {
            RETRIES.with([channel.name()]).increment(1);
        }
    }

    /// Tasks of a fallback ended without having had their turn.
    pub(super) fn count_without_turn(&mut self, ended: &[(Channel, &'static str)]) {
        for (channel, outcome) in ended {
            let provider = self.no_provider.clone();
            self.count(*channel, &provider, outcome);
        }
    }

    /// A task ended as a dead letter; one that failed and left its turn to the next channel did not.
    pub(super) fn count_dead_letter(&self, channel: Channel) {
        DEAD_LETTERS.with([channel.name()]).increment(1);
    }
}
