//! What the settler reports.

use std::collections::HashMap;
use std::sync::Arc;

use metrics::{Counter, counter};

use crate::domain::Channel;

/// Counters of ends other than "sent", resolved once per series.
#[derive(Default)]
pub(super) struct SettleMetrics {
    series: HashMap<(Channel, Arc<str>, &'static str), Counter>,
}

impl SettleMetrics {
    pub(super) fn count(&mut self, channel: Channel, provider: &Arc<str>, outcome: &'static str) {
        self.series
            .entry((channel, provider.clone(), outcome))
            .or_insert_with(|| {
                counter!("fanfare_deliveries_total",
                    "channel" => channel.name(), "provider" => provider.to_string(), "outcome" => outcome)
            })
            .increment(1);
        if outcome == "retried" {
            counter!("fanfare_retries_total", "channel" => channel.name()).increment(1);
        } else if outcome == "failed" {
            counter!("fanfare_dead_letters_total", "channel" => channel.name()).increment(1);
        }
    }
}
